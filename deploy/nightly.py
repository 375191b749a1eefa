"""Retention every night: what must not be kept any longer goes without anybody having to think of it.

The rule and its role are written out, because the library's own target asks for the right to tag every task
of the cluster.
"""

import json
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.cluster import Cluster
from deploy.config import EnvConfig
from deploy.jobs import JOBS, Jobs
from deploy.network import Network

RETENTION: Final = "retention"


class Nightly(Construct):
    """The rule that runs retention once a day, and the role by which it may."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        cluster: Cluster,
        jobs: Jobs,
    ) -> None:
        super().__init__(scope, construct_id)
        task = jobs.tasks[RETENTION]
        days = () if config.retention_days is None else ("--older-than-days", str(config.retention_days))
        command = [*JOBS[RETENTION].command, *days]
        events.CfnRule(
            self,
            "Rule",
            name=f"edu-analytics-{RETENTION}-{config.suffix}",
            description="Drops what has expired",
            schedule_expression=f"cron(0 {config.retention_hour} * * ? *)",
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id=RETENTION,
                    arn=cluster.cluster.cluster_arn,
                    role_arn=self._role(cluster, task).role_arn,
                    input=json.dumps({"containerOverrides": [{"name": RETENTION, "command": command}]}),
                    ecs_parameters=events.CfnRule.EcsParametersProperty(
                        task_definition_arn=task.task_definition_arn,
                        task_count=1,
                        launch_type="FARGATE",
                        network_configuration=events.CfnRule.NetworkConfigurationProperty(
                            aws_vpc_configuration=events.CfnRule.AwsVpcConfigurationProperty(
                                subnets=network.private_ids,
                                security_groups=[network.jobs.security_group_id],
                                assign_public_ip="DISABLED",
                            )
                        ),
                    ),
                )
            ],
        )

    def _role(self, cluster: Cluster, task: ecs.FargateTaskDefinition) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description="Starts retention",
            assumed_by=iam.ServicePrincipal(
                "events.amazonaws.com",
                # another account's rules must not talk EventBridge into lending them this role
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="StartTask",
                actions=["ecs:RunTask"],
                resources=[task.task_definition_arn],
                conditions={"ArnEquals": {"ecs:cluster": cluster.cluster.cluster_arn}},
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="LendRoles",
                actions=["iam:PassRole"],
                resources=[task.task_role.role_arn, task.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            )
        )
        return role
