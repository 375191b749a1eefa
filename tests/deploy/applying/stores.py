"""Stream, tables, ledger, projection, files, secrets and their rotation."""

import json
import re
from typing import Any

from tests.deploy.applying.applier import Applier
from tests.deploy.applying.foundation import simple
from tests.deploy.applying.resolving import Made

Properties = dict[str, Any]


def stream(to: Applier, _: str, given: Properties) -> Made:
    name, key = given.pop("Name"), given.pop("StreamEncryption")
    metrics, hours = given.pop("DesiredShardLevelMetrics"), given.pop("RetentionPeriodHours")
    to.call("kinesis", "create_stream", {"StreamName": name, **given})
    named = {"StreamName": name}
    to.call("kinesis", "start_stream_encryption", {**named, **key})
    to.call("kinesis", "enable_enhanced_monitoring", {**named, "ShardLevelMetrics": metrics})
    to.call("kinesis", "increase_stream_retention_period", {**named, "RetentionPeriodHours": hours})
    summary = to.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    return Made(name, {"Arn": summary["StreamARN"]})


def table(to: Applier, _: str, given: Properties) -> Made:
    recovery, sealed = given.pop("PointInTimeRecoverySpecification"), given["SSESpecification"]
    sealed["Enabled"] = sealed.pop("SSEEnabled")
    made = to.call("dynamodb", "create_table", given)["TableDescription"]
    asked = {"TableName": given["TableName"], "PointInTimeRecoverySpecification": recovery}
    to.call("dynamodb", "update_continuous_backups", asked)
    return Made(given["TableName"], {"Arn": made["TableArn"]})


def secret(to: Applier, name: str, given: Properties) -> Made:
    if generated := given.pop("GenerateSecretString", None):
        field, rest = generated.pop("GenerateStringKey", None), generated.pop("SecretStringTemplate", "{}")
        text = to.call("secretsmanager", "get_random_password", generated)["RandomPassword"]
        given["SecretString"] = json.dumps({**json.loads(rest), field: text}) if field else text
    made = to.call("secretsmanager", "create_secret", {"Name": to.name(name), **given})
    return Made(made["ARN"])


def attachment(to: Applier, _: str, given: Properties) -> Made:
    """What CloudFormation adds to the secret: where the database is."""
    secrets, identifier = to.client("secretsmanager"), given["TargetId"]
    (cluster,) = to.client("rds").describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    known = json.loads(secrets.get_secret_value(SecretId=given["SecretId"])["SecretString"])
    place = {
        "host": cluster["Endpoint"],
        "port": cluster["Port"],
        "dbname": cluster["DatabaseName"],
        "engine": "postgres",
    }
    secrets.put_secret_value(SecretId=given["SecretId"], SecretString=json.dumps({**known, **place}))
    return Made(given["SecretId"])


def schedule(to: Applier, name: str, given: Properties) -> Made:
    at_once, rules = given.pop("RotateImmediatelyOnUpdate"), given["RotationRules"]
    # the API takes both forms, the emulator keeps this one alone
    _, days, _ = re.split(r"rate\((\d+) days\)", rules.pop("ScheduleExpression"))
    rules["AutomaticallyAfterDays"] = days
    to.call("secretsmanager", "rotate_secret", {**given, "RotateImmediately": at_once})
    return Made(name)


def cluster_parameters(to: Applier, name: str, given: Properties) -> Made:
    called, parameters = to.name(name).lower(), given.pop("Parameters")
    given["DBParameterGroupFamily"] = given.pop("Family")
    asked = {"DBClusterParameterGroupName": called}
    to.call("rds", "create_db_cluster_parameter_group", {**asked, **given})
    changed = [
        {"ParameterName": one, "ParameterValue": value, "ApplyMethod": "immediate"}
        for one, value in parameters.items()
    ]
    to.call("rds", "modify_db_cluster_parameter_group", {**asked, "Parameters": changed})
    return Made(called)


def subnets(to: Applier, name: str, given: Properties) -> Made:
    called = to.name(name).lower()
    to.call("rds", "create_db_subnet_group", {"DBSubnetGroupName": called, **given})
    return Made(called)


def database_cluster(to: Applier, _: str, given: Properties) -> Made:
    made = to.call("rds", "create_db_cluster", given)["DBCluster"]
    return Made(made["DBClusterIdentifier"], {"Endpoint.Address": made["Endpoint"]})


def database(to: Applier, name: str, given: Properties) -> Made:
    asked = {"DBInstanceIdentifier": to.name(name).lower(), **given}
    return Made(to.call("rds", "create_db_instance", asked)["DBInstance"]["DBInstanceIdentifier"])


def cache_subnets(to: Applier, name: str, given: Properties) -> Made:
    called = to.name(name).lower()
    asked = {"CacheSubnetGroupName": called, "CacheSubnetGroupDescription": given.pop("Description"), **given}
    to.call("elasticache", "create_cache_subnet_group", asked)
    return Made(called)


def cache(to: Applier, _: str, given: Properties) -> Made:
    made = to.call("elasticache", "create_replication_group", given)["ReplicationGroup"]
    address = made["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    return Made(made["ReplicationGroupId"], {"PrimaryEndPoint.Address": address})


def files(to: Applier, name: str, given: Properties) -> Made:
    given.pop("FileSystemTags")
    policy, lifecycle = given.pop("FileSystemPolicy"), given.pop("LifecyclePolicies")
    backup = given.pop("BackupPolicy", {"Status": "DISABLED"})["Status"] == "ENABLED"
    made = to.call("efs", "create_file_system", {"CreationToken": to.name(name), "Backup": backup, **given})
    own = {"FileSystemId": made["FileSystemId"]}
    to.call("efs", "put_lifecycle_configuration", {**own, "LifecyclePolicies": lifecycle})
    to.call("efs", "put_file_system_policy", {**own, "Policy": policy})
    return Made(made["FileSystemId"], {"Arn": made["FileSystemArn"]})


def access_point(to: Applier, name: str, given: Properties) -> Made:
    given.pop("AccessPointTags")
    made = to.call("efs", "create_access_point", {"ClientToken": to.name(name), **given})
    return Made(made["AccessPointId"], {"Arn": made["AccessPointArn"]})


KINDS = {
    "AWS::Kinesis::Stream": stream,
    "AWS::DynamoDB::Table": table,
    "AWS::SecretsManager::Secret": secret,
    "AWS::SecretsManager::SecretTargetAttachment": attachment,
    "AWS::SecretsManager::RotationSchedule": schedule,
    "AWS::RDS::DBClusterParameterGroup": cluster_parameters,
    "AWS::RDS::DBSubnetGroup": subnets,
    "AWS::RDS::DBCluster": database_cluster,
    "AWS::RDS::DBInstance": database,
    "AWS::ElastiCache::SubnetGroup": cache_subnets,
    "AWS::ElastiCache::ReplicationGroup": cache,
    "AWS::ElastiCache::User": simple("elasticache", "create_user", "UserId"),
    "AWS::EFS::FileSystem": files,
    "AWS::EFS::MountTarget": simple("efs", "create_mount_target", "MountTargetId"),
    "AWS::EFS::AccessPoint": access_point,
}
