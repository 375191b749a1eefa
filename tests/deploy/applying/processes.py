"""Cluster, tasks, services, how they scale, what starts one at night, and the functions that rotate."""

import io
import zipfile
from typing import Any

from tests.deploy.applying.applier import Applier
from tests.deploy.applying.foundation import simple
from tests.deploy.applying.resolving import Made

Properties = dict[str, Any]


def cluster(to: Applier, _: str, given: Properties) -> Made:
    given["Settings"] = given.pop("ClusterSettings")
    made = to.call("ecs", "create_cluster", given)["cluster"]
    return Made(made["clusterName"], {"Arn": made["clusterArn"]})


def service(to: Applier, _: str, given: Properties) -> Made:
    # its answer says how many run, which is the scaling's choice where the template says nothing
    made = to.call("ecs", "create_service", given)["service"]
    return Made(made["serviceArn"], {"Name": made["serviceName"]})


def target(to: Applier, _: str, given: Properties) -> Made:
    to.call("application-autoscaling", "register_scalable_target", given)
    return Made("|".join((given["ResourceId"], given["ScalableDimension"], given["ServiceNamespace"])))


def scaling(to: Applier, _: str, given: Properties) -> Made:
    names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
    parts = dict(zip(names, given.pop("ScalingTargetId").split("|"), strict=True))
    return Made(to.call("application-autoscaling", "put_scaling_policy", {**parts, **given})["PolicyARN"])


def function(to: Applier, name: str, given: Properties) -> Made:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("empty.py", "")
    # what the package holds is tested by running it
    given["Code"] = {"ZipFile": packed.getvalue()}
    made = to.call("lambda", "create_function", {"FunctionName": to.name(name), **given})
    return Made(made["FunctionName"], {"Arn": made["FunctionArn"]})


def permission(to: Applier, name: str, given: Properties) -> Made:
    to.call("lambda", "add_permission", {"StatementId": name, **given})
    return Made(name)


def rule(to: Applier, _: str, given: Properties) -> Made:
    targets = given.pop("Targets")
    made = to.call("events", "put_rule", given)["RuleArn"]
    to.call("events", "put_targets", {"Rule": given["Name"], "Targets": targets})
    return Made(given["Name"], {"Arn": made})


KINDS = {
    "AWS::ECS::Cluster": cluster,
    "AWS::ECS::TaskDefinition": simple(
        "ecs", "register_task_definition", "taskDefinition", "taskDefinitionArn"
    ),
    "AWS::ECS::Service": service,
    "AWS::ApplicationAutoScaling::ScalableTarget": target,
    "AWS::ApplicationAutoScaling::ScalingPolicy": scaling,
    "AWS::Events::Rule": rule,
    "AWS::Lambda::Function": function,
    "AWS::Lambda::Permission": permission,
}
