"""The worker service: consumers of the stream, one KCL worker a task, which nothing may call."""

from aws_cdk import Duration
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.cluster import Cluster, Stores
from deploy.config import EnvConfig
from deploy.network import Network


def iterator_age(config: EnvConfig) -> cloudwatch.Metric:
    """How late the fleet is, in milliseconds: the latest shard of all tasks.

    KCL reports it once for the whole application; Kinesis' own metric knows polling consumers alone.
    """
    return cloudwatch.Metric(
        namespace=config.application_name,
        metric_name="MillisBehindLatest",
        dimensions_map={"Operation": "ApplicationTracker"},
        statistic="Maximum",
        period=Duration.minutes(1),
    )


class Worker(Construct):
    """The service, scaled out by lateness and in by idleness."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        cluster: Cluster,
        stores: Stores,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self.task = cluster.task(
            self,
            "worker",
            size=config.worker,
            command=["python", "-m", "worker", "daemon"],
            environment={
                "MAX_LEASES": str(config.max_leases),
                "SHUTDOWN_GRACE_MILLIS": str(config.grace_seconds * 1000),
                "REDIS_PATIENCE_SECONDS": str(config.longest_flush_seconds),
                # glibc's arenas, one a core and thread, would be a third of a small task's memory
                "MALLOC_ARENA_MAX": "2",
            },
            # flush < KCL's grace < this; config.py keeps them apart
            stop=Duration.seconds(config.stop_seconds),
            serves=True,
            reads=stores.everyday,
            seals=True,
        )
        role = self.task.task_role
        if isinstance(role, iam.Role):
            stores.stream.allow_consuming(role)
        self.service = ecs.FargateService(
            self,
            "Service",
            service_name=f"edu-analytics-worker-{config.suffix}",
            cluster=cluster.cluster,
            task_definition=self.task,
            vpc_subnets=network.private,
            security_groups=[network.worker],
            assign_public_ip=False,
            # no desired_count: each deployment would undo what the scaling has chosen
            # new workers take the leases before the old ones go
            min_healthy_percent=100,
            max_healthy_percent=200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        self.service.node.add_dependency(stores.files.file_system.mount_targets_available)
        self._scale()

    def _scale(self) -> None:
        tasks = self.service.auto_scale_task_count(
            # one task a zone, so that a lost zone costs lateness and no restart from nothing
            min_capacity=self._config.min_tasks,
            # a shard is read by one task: more than the shards would idle
            max_capacity=self._config.max_worker_tasks,
        )
        tasks.scale_on_metric(
            "Late",
            metric=iterator_age(self._config),
            adjustment_type=scaling.AdjustmentType.CHANGE_IN_CAPACITY,
            scaling_steps=[
                # under 30 s lies an ordinary deployment or takeover, which ends by itself; no change below
                # means no alarm below, so lateness never scales in and cannot fight the CPU's policy
                scaling.ScalingInterval(lower=0, upper=30_000, change=0),
                # a minute behind is the promised recovery point: the fleet is too small
                scaling.ScalingInterval(lower=60_000, change=1),
                # five minutes are the promised recovery time: two at once
                scaling.ScalingInterval(lower=300_000, change=2),
            ],
            # two of three minutes: one late reading at a reshard starts no task
            evaluation_periods=3,
            datapoints_to_alarm=2,
            metric_aggregation_type=scaling.MetricAggregationType.MAXIMUM,
            # a new task needs about a minute to start and another to take its leases and catch up
            cooldown=Duration.minutes(3),
        )
        tasks.scale_on_cpu_utilization(
            "Busy",
            # at 60 % on half a CPU a task still has the room to take a failed task's shards
            target_utilization_percent=60,
            # a school's day has lulls between lessons; leases that move in each of them cost more than a task
            scale_in_cooldown=Duration.minutes(15),
            scale_out_cooldown=Duration.minutes(3),
        )
