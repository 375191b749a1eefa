"""What the template promises, asked of the account: the same expectations as those of `tests/deploy`."""

import json
import urllib.error
import urllib.request

import pytest

from tests.aws.conftest import Deployed

pytestmark = pytest.mark.aws

_HTTP_REFUSALS = {401, 403}


def test_network(deployed: Deployed) -> None:
    config = deployed.config
    (vpc,) = deployed.client("ec2").describe_vpcs(VpcIds=deployed.ids("AWS::EC2::VPC"))["Vpcs"]
    assert vpc["CidrBlock"] == config.vpc_cidr
    subnets = deployed.client("ec2").describe_subnets(SubnetIds=deployed.ids("AWS::EC2::Subnet"))["Subnets"]
    assert {(s["CidrBlock"], s["AvailabilityZone"]) for s in subnets} == {
        *zip(config.public_cidrs, config.zones, strict=True),
        *zip(config.private_cidrs, config.zones, strict=True),
    }
    assert not any(s["MapPublicIpOnLaunch"] for s in subnets)


def test_nothing_is_open_to_the_world(deployed: Deployed) -> None:
    groups = deployed.client("ec2").describe_security_groups(
        GroupIds=deployed.ids("AWS::EC2::SecurityGroup")
    )["SecurityGroups"]
    opened = [group["GroupName"] for group in groups for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert bool(opened) is deployed.config.public_load_balancer


def test_key(deployed: Deployed) -> None:
    assert deployed.key["Enabled"]
    rotation = deployed.client("kms").get_key_rotation_status(KeyId=deployed.key["KeyId"])
    assert rotation["KeyRotationEnabled"] is True


def test_stream(deployed: Deployed) -> None:
    config = deployed.config
    found = deployed.client("kinesis").describe_stream_summary(StreamName=config.stream_name)
    stream = found["StreamDescriptionSummary"]
    assert stream["OpenShardCount"] == config.shards
    assert stream["RetentionPeriodHours"] == config.stream_retention_hours
    assert stream["EncryptionType"] == "KMS"
    assert stream["KeyId"] in (deployed.key["Arn"], deployed.key["KeyId"])
    assert len(stream["EnhancedMonitoring"][0]["ShardLevelMetrics"]) >= 7


@pytest.mark.parametrize("suffix", ["", "-CoordinatorState", "-WorkerMetricStats"])
def test_kcl_tables(deployed: Deployed, suffix: str) -> None:
    name = deployed.config.application_name + suffix
    table = deployed.client("dynamodb").describe_table(TableName=name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSEDescription"]["KMSMasterKeyArn"] == deployed.key["Arn"]
    backups = deployed.client("dynamodb").describe_continuous_backups(TableName=name)
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


def test_aurora(deployed: Deployed) -> None:
    config = deployed.config
    (identifier,) = deployed.ids("AWS::RDS::DBCluster")
    (cluster,) = deployed.client("rds").describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    assert (cluster["Engine"], cluster["EngineVersion"]) == ("aurora-postgresql", config.aurora_version)
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    assert (scaling["MinCapacity"], scaling["MaxCapacity"]) == (config.aurora_min_acu, config.aurora_max_acu)
    assert cluster["DatabaseName"] == "eduanalytics"
    assert cluster["StorageEncrypted"] is True
    assert cluster["KmsKeyId"] == deployed.key["Arn"]
    assert cluster["BackupRetentionPeriod"] == config.backup_days
    assert cluster["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert cluster["DeletionProtection"] is config.prod
    assert sorted(member["PromotionTier"] for member in cluster["DBClusterMembers"]) == [0, 1]
    assert len(set(cluster["AvailabilityZones"])) >= 2


def test_redis(deployed: Deployed) -> None:
    config = deployed.config
    (group,) = deployed.client("elasticache").describe_replication_groups(
        ReplicationGroupId=f"edu-analytics-{config.suffix}"
    )["ReplicationGroups"]
    assert group["CacheNodeType"] == config.redis_node
    assert len(group["MemberClusters"]) == config.redis_nodes
    assert (group["AutomaticFailover"], group["MultiAZ"]) == ("enabled", "enabled")
    assert group["TransitEncryptionEnabled"] is True
    assert group["TransitEncryptionMode"] == "required"
    assert group["AtRestEncryptionEnabled"] is True
    assert group["KmsKeyId"] == deployed.key["Arn"]
    assert group["UserGroupIds"]


def test_files(deployed: Deployed) -> None:
    (file_system_id,) = deployed.ids("AWS::EFS::FileSystem")
    efs = deployed.client("efs")
    (files,) = efs.describe_file_systems(FileSystemId=file_system_id)["FileSystems"]
    assert files["Encrypted"] is True
    assert files["KmsKeyId"] == deployed.key["Arn"]
    assert (files["PerformanceMode"], files["ThroughputMode"]) == ("generalPurpose", "bursting")
    assert efs.describe_lifecycle_configuration(FileSystemId=file_system_id)["LifecyclePolicies"] == [
        {"TransitionToIA": "AFTER_30_DAYS"}
    ]
    (statement,) = json.loads(efs.describe_file_system_policy(FileSystemId=file_system_id)["Policy"])[
        "Statement"
    ]
    assert statement["Effect"] == "Deny"
    targets = efs.describe_mount_targets(FileSystemId=file_system_id)["MountTargets"]
    assert {target["AvailabilityZoneName"] for target in targets} == set(deployed.config.zones)


def test_every_password_rotates(deployed: Deployed) -> None:
    secrets = deployed.client("secretsmanager")
    found = [secrets.describe_secret(SecretId=arn) for arn in deployed.ids("AWS::SecretsManager::Secret")]
    assert all(secret["KmsKeyId"] in (deployed.key["Arn"], deployed.key["KeyId"]) for secret in found)
    rotated = [secret for secret in found if secret.get("RotationEnabled")]
    days = deployed.config.rotation_days
    assert [secret["RotationRules"]["ScheduleExpression"] for secret in rotated] == [f"rate({days} days)"] * 3


def test_logs(deployed: Deployed) -> None:
    for name in deployed.ids("AWS::Logs::LogGroup"):
        (group,) = [
            group
            for group in deployed.all("logs", "describe_log_groups", logGroupNamePrefix=name)
            if group["logGroupName"] == name
        ]
        assert group["retentionInDays"] == deployed.config.log_days
        assert group["kmsKeyId"] == deployed.key["Arn"]


@pytest.mark.parametrize("name", ["worker", "api"])
def test_services(deployed: Deployed, name: str) -> None:
    (service,) = deployed.client("ecs").describe_services(
        cluster=deployed.outputs["ClusterName"], services=[f"edu-analytics-{name}-{deployed.config.suffix}"]
    )["services"]
    assert service["runningCount"] >= deployed.config.min_tasks
    assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == {
        "enable": True,
        "rollback": True,
    }
    assert service["enableExecuteCommand"] is False
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    assert len(network["subnets"]) == 2


def test_load_balancer(deployed: Deployed) -> None:
    balancing = deployed.client("elbv2")
    arns = deployed.ids("AWS::ElasticLoadBalancingV2::LoadBalancer")
    (balancer,) = balancing.describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"]
    assert (balancer["Scheme"] == "internet-facing") is deployed.config.public_load_balancer
    (group,) = deployed.ids("AWS::ElasticLoadBalancingV2::TargetGroup")
    health = balancing.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert len(health) >= deployed.config.min_tasks
    assert {target["TargetHealth"]["State"] for target in health} == {"healthy"}


def test_stage(deployed: Deployed) -> None:
    (api,) = deployed.ids("AWS::ApiGateway::RestApi")
    stage = deployed.client("apigateway").get_stage(restApiId=api, stageName="v1")
    assert stage["tracingEnabled"] is True
    assert stage["accessLogSettings"]["destinationArn"]
    assert stage["webAclArn"]
    assert all(not settings["dataTraceEnabled"] for settings in stage["methodSettings"].values())


@pytest.mark.parametrize(("method", "path"), [("GET", "metrics"), ("POST", "students")])
def test_strangers_are_refused_over_the_public_way(deployed: Deployed, method: str, path: str) -> None:
    url = deployed.outputs["ApiUrl"].rstrip("/") + f"/{path}"
    assert url.startswith("https://")
    request = urllib.request.Request(url, method=method, data=b"[]" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value:
        assert refused.value.code in _HTTP_REFUSALS


def test_nobody_is_woken(deployed: Deployed) -> None:
    names = deployed.ids("AWS::CloudWatch::Alarm")
    ringing = deployed.all("cloudwatch", "describe_alarms", AlarmNames=names[:100], StateValue="ALARM")
    assert [alarm["AlarmName"] for alarm in ringing] == []
