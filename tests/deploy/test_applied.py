"""The template applied to an emulator through the API, and what describe calls then tell.

What the emulator drops is asked of the template instead, in test_figures.py, test_security.py and
test_availability.py: a service's grace and circuit breaker, Redis' user group, log delivery and number of
nodes (it always tells one), the gateway's TLS floor, link and target of an integration, transforms of
listener rules.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.deploy.applying.applier import Applier
from tests.deploy.applying.kinds import KINDS, NOT_KNOWN
from tests.deploy.synthesis import CERTIFICATE, DOMAIN, Synthesis, synthesis

TASKS = {"worker tasks; nothing enters", "api tasks", "one-off jobs; nothing enters"}
EVERYBODY = TASKS | {"the rotation of passwords; nothing enters"}


class Account:
    """An emulated account after the deployment of one environment."""

    def __init__(self, platform: Synthesis) -> None:
        self.platform = platform
        self.config = platform.config
        self.name = f"edu-analytics-{self.config.suffix}"
        self.client = Applier({}, self.config.region, self.config.suffix).client
        certificate = self.client("acm").request_certificate(DomainName=DOMAIN)["CertificateArn"]
        template = json.loads(json.dumps(platform.template).replace(CERTIFICATE, certificate))
        self.applier = Applier(template, self.config.region, self.config.suffix)
        self.applier.apply(KINDS)
        self.key = self.applier.made[platform.id_of("AWS::KMS::Key")].attributes["Arn"]

    def ref(self, kind: str) -> str:
        """The name of a type's one resource."""
        return self.applier.made[self.platform.id_of(kind)].ref

    def refs(self, kind: str) -> set[str]:
        """The names of all resources of a type."""
        return {self.applier.made[name].ref for name in self.platform.resources(kind)}

    def groups(self) -> dict[str, dict[str, Any]]:
        """Our security groups by their descriptions."""
        ours = sorted(self.refs("AWS::EC2::SecurityGroup"))
        found = self.client("ec2").describe_security_groups(GroupIds=ours)["SecurityGroups"]
        return {group["Description"]: group for group in found}

    def private(self) -> set[str]:
        """The private subnets."""
        found = self.client("ec2").describe_subnets(
            Filters=[{"Name": "cidr-block", "Values": list(self.config.private_cidrs)}]
        )
        return {subnet["SubnetId"] for subnet in found["Subnets"]}


@pytest.fixture(scope="module", params=["dev", "prod"])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield Account(synthesis(request.param))


def test_every_type_is_known(anywhere: Synthesis) -> None:
    assert {resource["Type"] for resource in anywhere.template["Resources"].values()} <= set(KINDS)


def test_what_the_emulator_cannot_make_is_still_needed(platform: Synthesis) -> None:
    assert set(NOT_KNOWN) <= {resource["Type"] for resource in platform.template["Resources"].values()}


def test_every_property_is_a_field_of_the_call_that_makes_it(account: Account) -> None:
    assert {kind: left for kind, left in account.applier.left.items() if left} == {}


def test_the_key_rotates(account: Account) -> None:
    kms = account.client("kms")
    assert kms.get_key_rotation_status(KeyId=account.key)["KeyRotationEnabled"] is True
    (alias,) = kms.list_aliases(KeyId=account.key)["Aliases"]
    assert alias["AliasName"] == f"alias/{account.name}"


def test_the_network_is_the_promised_one(account: Account) -> None:
    ec2, vpc = account.client("ec2"), account.ref("AWS::EC2::VPC")
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
    for switch in ("enableDnsHostnames", "enableDnsSupport"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=switch)
        assert answer[switch[0].upper() + switch[1:]] == {"Value": True}
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    assert {(s["CidrBlock"], s["AvailabilityZone"], s["MapPublicIpOnLaunch"]) for s in subnets} == {
        ("10.0.1.0/24", "ap-northeast-1a", False),
        ("10.0.2.0/24", "ap-northeast-1c", False),
        ("10.0.11.0/24", "ap-northeast-1a", False),
        ("10.0.12.0/24", "ap-northeast-1c", False),
    }
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    assert len(gateways) == (2 if account.config.prod else 1)
    ends = {e["ServiceName"] for e in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    assert {"com.amazonaws.ap-northeast-1.s3", "com.amazonaws.ap-northeast-1.dynamodb"} <= ends
    (log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert (log["ResourceId"], log["TrafficType"]) == (vpc, "ALL")


def test_the_internet_is_behind_a_nat_for_private_subnets(account: Account) -> None:
    tables = account.client("ec2").describe_route_tables()["RouteTables"]
    ways = {
        association["SubnetId"]: [r for r in table["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
        for table in tables
        for association in table["Associations"]
        if "SubnetId" in association
    }
    assert len(ways) == 4
    for subnet, (route,) in ways.items():
        assert ("NatGatewayId" in route) == (subnet in account.private())
        assert route.get("GatewayId", "").startswith("igw-") == (subnet not in account.private())


@pytest.mark.parametrize(
    ("store", "port", "sources"),
    [
        ("the ledger", 5432, EVERYBODY),
        ("the projection", 6379, EVERYBODY),
        ("the shared files", 2049, TASKS),
    ],
)
def test_stores_are_entered_by_our_processes_alone(
    account: Account, store: str, port: int, sources: set[str]
) -> None:
    groups = account.groups()
    named = {group["GroupId"]: description for description, group in groups.items()}
    entered = set()
    for rule in groups[store]["IpPermissions"]:
        assert rule["IpRanges"] == []
        assert rule["Ipv6Ranges"] == []
        assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (port, port, "tcp")
        entered |= {named[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]}
    assert entered == sources


def test_nothing_is_open_to_the_world(account: Account) -> None:
    for group in account.groups().values():
        assert [rule["IpRanges"] for rule in group["IpPermissions"] if rule["IpRanges"]] == []


def test_the_stream(account: Account) -> None:
    kinesis = account.client("kinesis")
    name = f"edu-analytics-stream-{account.config.suffix}"
    told = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert told["OpenShardCount"] == (4 if account.config.prod else 2)
    assert told["RetentionPeriodHours"] == (168 if account.config.prod else 24)
    assert (told["EncryptionType"], told["KeyId"]) == ("KMS", account.key)
    (metrics,) = told["EnhancedMonitoring"]
    assert "IteratorAgeMilliseconds" in metrics["ShardLevelMetrics"] or metrics["ShardLevelMetrics"] == [
        "ALL"
    ]
    assert told["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}


@pytest.mark.parametrize(
    ("suffix", "key"), [("", "leaseKey"), ("-CoordinatorState", "key"), ("-WorkerMetricStats", "wid")]
)
def test_the_kcl_tables(account: Account, suffix: str, key: str) -> None:
    dynamodb, name = account.client("dynamodb"), account.name + suffix
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (table["SSEDescription"]["Status"], table["SSEDescription"]["KMSMasterKeyArn"]) == (
        "ENABLED",
        account.key,
    )
    assert table["DeletionProtectionEnabled"] is account.config.prod
    kept = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert kept["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    indexes = {i["IndexName"]: i for i in table.get("GlobalSecondaryIndexes", ())}
    assert set(indexes) == (set() if suffix else {"LeaseOwnerToLeaseKeyIndex"})
    for index in indexes.values():
        assert [(k["AttributeName"], k["KeyType"]) for k in index["KeySchema"]] == [
            ("leaseOwner", "HASH"),
            ("leaseKey", "RANGE"),
        ]
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_redis(account: Account) -> None:
    cache = account.client("elasticache")
    (group,) = cache.describe_replication_groups(ReplicationGroupId=account.name)["ReplicationGroups"]
    assert group["MultiAZ"] == "enabled"
    assert group["AutomaticFailover"] == "enabled"
    assert group["TransitEncryptionEnabled"] is True
    assert group["AtRestEncryptionEnabled"] is True
    assert group["KmsKeyId"] == account.key
    assert group["CacheNodeType"] == ("cache.t4g.medium" if account.config.prod else "cache.t4g.micro")
    assert group["SnapshotRetentionLimit"] == account.config.redis_snapshot_days
    (subnets,) = cache.describe_cache_subnet_groups(
        CacheSubnetGroupName=account.ref("AWS::ElastiCache::SubnetGroup")
    )["CacheSubnetGroups"]
    assert {subnet["SubnetIdentifier"] for subnet in subnets["Subnets"]} == account.private()
    rights = {user["UserName"]: user["AccessString"] for user in cache.describe_users()["Users"]}
    assert rights["default"] == "off -@all"
    assert rights["app"].endswith("-@dangerous")


def test_aurora(account: Account) -> None:
    rds, prod = account.client("rds"), account.config.prod
    (cluster,) = rds.describe_db_clusters(DBClusterIdentifier=account.name)["DBClusters"]
    assert (cluster["Engine"], cluster["EngineVersion"]) == ("aurora-postgresql", "16.13")
    scaling = cluster["ServerlessV2ScalingConfiguration"]
    assert (scaling["MinCapacity"], scaling["MaxCapacity"]) == (0.5, 16 if prod else 2)
    assert cluster["DatabaseName"] == "eduanalytics"
    assert (cluster["StorageEncrypted"], cluster["KmsKeyId"]) == (True, account.key)
    assert cluster["BackupRetentionPeriod"] == (35 if prod else 1)
    assert cluster["DeletionProtection"] is prod
    assert cluster["IAMDatabaseAuthenticationEnabled"] is True
    assert cluster["EnabledCloudwatchLogsExports"] == ["postgresql"]
    assert len(cluster["DBClusterMembers"]) == 2
    instances = rds.describe_db_instances()["DBInstances"]
    assert {i["DBInstanceClass"] for i in instances} == {"db.serverless"}
    assert not any(i["PubliclyAccessible"] for i in instances)
    parameters = rds.describe_db_cluster_parameters(
        DBClusterParameterGroupName=cluster["DBClusterParameterGroup"]
    )["Parameters"]
    assert {p["ParameterName"]: p["ParameterValue"] for p in parameters} == {"rds.force_ssl": "1"}


def test_the_files(account: Account) -> None:
    efs = account.client("efs")
    (files,) = efs.describe_file_systems()["FileSystems"]
    assert (files["Encrypted"], files["KmsKeyId"]) == (True, account.key)
    assert (files["PerformanceMode"], files["ThroughputMode"]) == ("generalPurpose", "bursting")
    own = files["FileSystemId"]
    lifecycle = efs.describe_lifecycle_configuration(FileSystemId=own)["LifecyclePolicies"]
    assert lifecycle == [{"TransitionToIA": "AFTER_30_DAYS"}]
    (statement,) = json.loads(efs.describe_file_system_policy(FileSystemId=own)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    targets = efs.describe_mount_targets(FileSystemId=own)["MountTargets"]
    assert {target["SubnetId"] for target in targets} == account.private()
    (point,) = efs.describe_access_points(FileSystemId=own)["AccessPoints"]
    assert point["PosixUser"] == {"Uid": 1000, "Gid": 1000}
    assert point["RootDirectory"]["Path"] == "/edu-analytics"
    assert point["RootDirectory"]["CreationInfo"]["Permissions"] == "750"


def test_every_secret_is_under_the_key_and_every_password_rotates(account: Account) -> None:
    secrets = account.client("secretsmanager")
    rotated = 0
    for arn in account.refs("AWS::SecretsManager::Secret"):
        told = secrets.describe_secret(SecretId=arn)
        assert told["KmsKeyId"] == account.key
        if told.get("RotationEnabled"):
            rotated += 1
            assert told["RotationRules"] == {"AutomaticallyAfterDays": 30}
            assert told["RotationLambdaARN"].startswith("arn:aws:lambda:")
    assert rotated == 3


def test_the_worker_can_read_its_secrets(account: Account) -> None:
    told = account.applier.resolver.resolve(account.platform.environment("worker"))
    read = account.client("secretsmanager").get_secret_value
    documents = {
        name: json.loads(read(SecretId=told[f"{name}_SECRET_ID"])["SecretString"])
        for name in ("DATABASE", "REDIS", "IDENTITY_KEYS")
    }
    assert {"username", "password", "host", "port", "dbname", "sslmode"} <= set(documents["DATABASE"])
    assert set(documents["REDIS"]) == {"host", "port", "tls", "username", "password"}
    assert set(documents["IDENTITY_KEYS"]["keys"]) == {"k1"}
    assert "{{resolve" not in json.dumps(documents)


def test_every_log_group_is_under_the_key_for_a_week(account: Account) -> None:
    logs = account.client("logs").describe_log_groups()["logGroups"]
    names = {log["logGroupName"] for log in logs}
    assert names == account.refs("AWS::Logs::LogGroup")
    assert {f"/ecs/{account.name}", f"/aws/apigateway/{account.name}"} <= names
    for log in logs:
        assert (log["retentionInDays"], log["kmsKeyId"]) == (7, account.key)


def test_the_cluster_and_its_services(account: Account) -> None:
    ecs, named = account.client("ecs"), f"edu-ecs-cluster-{account.config.suffix}"
    (cluster,) = ecs.describe_clusters(clusters=[named], include=["SETTINGS"])["clusters"]
    assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    services = ecs.describe_services(
        cluster=named,
        services=[f"edu-analytics-{name}-{account.config.suffix}" for name in ("api", "worker")],
    )["services"]
    api, worker = sorted(services, key=lambda s: str(s["serviceName"]))
    assert api["desiredCount"] == 2
    assert [b["containerPort"] for b in api["loadBalancers"]] == [8080]
    assert worker["loadBalancers"] == []
    for service in services:
        assert service["launchType"] == "FARGATE"
        place = service["networkConfiguration"]["awsvpcConfiguration"]
        assert (set(place["subnets"]), place["assignPublicIp"]) == (account.private(), "DISABLED")


@pytest.mark.parametrize("name", ["worker", "api"])
def test_the_tasks(account: Account, name: str) -> None:
    family = f"edu-analytics-{name}-{account.config.suffix}"
    task = account.client("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]
    assert (task["cpu"], task["memory"], task["networkMode"]) == ("512", "1024", "awsvpc")
    assert task["requiresCompatibilities"] == ["FARGATE"]
    assert task["taskRoleArn"] != task["executionRoleArn"]
    (files,) = (v["efsVolumeConfiguration"] for v in task["volumes"] if v["name"] == "files")
    assert (files["transitEncryption"], files["authorizationConfig"]["iam"]) == ("ENABLED", "ENABLED")
    container = next(c for c in task["containerDefinitions"] if c["name"] == name)
    assert {m["containerPath"] for m in container["mountPoints"]} == {"/mnt/efs", "/tmp"}
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "1000:1000"
    assert container["logConfiguration"]["options"]["awslogs-group"] == f"/ecs/{account.name}"


def test_tasks_scale_between_two_and_the_shards(account: Account) -> None:
    scaling = account.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    limits = {t["ResourceId"].rpartition("/")[2]: (t["MinCapacity"], t["MaxCapacity"]) for t in targets}
    suffix = account.config.suffix
    assert limits[f"edu-analytics-worker-{suffix}"] == (2, account.config.shards)
    assert limits[f"edu-analytics-api-{suffix}"] == (2, account.config.max_api_tasks)
    kinds = [
        p["PolicyType"] for p in scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    ]
    assert sorted(kinds) == ["StepScaling", *["TargetTrackingScaling"] * 3]


def test_the_load_balancer_is_private(account: Account) -> None:
    elb = account.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    assert (balancer["Type"], balancer["Scheme"]) == ("application", "internal")
    assert {zone["SubnetId"] for zone in balancer["AvailabilityZones"]} == account.private()
    (targets,) = elb.describe_target_groups()["TargetGroups"]
    assert (targets["TargetType"], targets["Port"]) == ("ip", 8080)
    assert (targets["HealthCheckPath"], targets["HealthCheckPort"]) == ("/healthz", "8080")
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert listener["Protocol"] == ("HTTPS" if account.config.prod else "HTTP")
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])
    told = {a["Key"]: a["Value"] for a in attributes["Attributes"]}
    assert told["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert told["deletion_protection.enabled"] == str(account.config.prod).lower()


def test_the_api(account: Account) -> None:
    gateway, own = account.client("apigateway"), account.ref("AWS::ApiGateway::RestApi")
    api = gateway.get_rest_api(restApiId=own)
    assert api["name"] == f"edu-analytics-api-{account.config.suffix}"
    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
    stage = gateway.get_stage(restApiId=own, stageName="v1")
    assert stage["tracingEnabled"] is True
    assert stage["accessLogSettings"]["destinationArn"].endswith(f":/aws/apigateway/{account.name}")
    assert "$context.path" not in stage["accessLogSettings"]["format"]
    settings = stage["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (5_000, 5_000)
    assert settings["dataTraceEnabled"] is False


def test_the_routes(account: Account) -> None:
    gateway, own = account.client("apigateway"), account.ref("AWS::ApiGateway::RestApi")
    routes = {
        (verb, resource["path"]): method
        for resource in gateway.get_resources(restApiId=own, limit=500)["items"]
        for verb, method in resource.get("resourceMethods", {}).items()
    }
    assert routes["POST", "/students"]["authorizationType"] == "AWS_IAM"
    assert routes["GET", "/metrics"]["authorizationType"] == "COGNITO_USER_POOLS"
    for method in routes.values():
        integration = method["methodIntegration"]
        assert (integration["type"], integration["connectionType"]) == ("HTTP_PROXY", "VPC_LINK")
    link = account.client("apigatewayv2").get_vpc_link(VpcLinkId=account.ref("AWS::ApiGatewayV2::VpcLink"))
    assert set(link["SubnetIds"]) == account.private()


def test_the_web_acl_stands_before_the_stage(account: Account) -> None:
    waf = account.client("wafv2")
    (acl,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    rules = waf.get_web_acl(Name=acl["Name"], Scope="REGIONAL", Id=acl["Id"])["WebACL"]["Rules"]
    assert {"AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"} <= {
        r["Name"] for r in rules
    }
    stage = f"/restapis/{account.ref('AWS::ApiGateway::RestApi')}/stages/v1"
    arn = f"arn:aws:apigateway:{account.config.region}::{stage}"
    assert waf.get_web_acl_for_resource(ResourceArn=arn)["WebACL"]["ARN"] == acl["ARN"]
    assert waf.get_logging_configuration(ResourceArn=acl["ARN"])["LoggingConfiguration"]["RedactedFields"]


def test_the_people(account: Account) -> None:
    cognito, pool = account.client("cognito-idp"), account.ref("AWS::Cognito::UserPool")
    told = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    assert told["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert told["Policies"]["PasswordPolicy"]["MinimumLength"] == 12
    groups = {g["GroupName"] for g in cognito.list_groups(UserPoolId=pool)["Groups"]}
    assert groups == {"student", "teacher", "official", "analyst", "operator"}
    assert cognito.get_user_pool_mfa_config(UserPoolId=pool)["SoftwareTokenMfaConfiguration"] == {
        "Enabled": True
    }


def test_alarms_reach_an_encrypted_topic(account: Account) -> None:
    topic = account.ref("AWS::SNS::Topic")
    assert (
        account.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"]
        == account.key
    )
    alarms = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    # target tracking adds alarms of its own
    alarms = [alarm for alarm in alarms if alarm["AlarmName"] in account.refs("AWS::CloudWatch::Alarm")]
    assert len(alarms) == len(account.refs("AWS::CloudWatch::Alarm"))
    policies = account.refs("AWS::ApplicationAutoScaling::ScalingPolicy")
    assert {action for alarm in alarms for action in alarm["AlarmActions"]} <= {topic, *policies}
    late = [a for a in alarms if a["MetricName"] == "MillisBehindLatest" and topic in a["AlarmActions"]]
    assert late
    for alarm in late:
        assert alarm["Dimensions"] == [{"Name": "Operation", "Value": "ApplicationTracker"}]
        assert alarm["TreatMissingData"] == "breaching"


def test_the_rotation_runs_in_the_private_network(account: Account) -> None:
    functions = account.client("lambda").list_functions()["Functions"]
    assert len(functions) == 3
    for function in functions:
        assert function["KMSKeyArn"] == account.key
        assert function["Runtime"].startswith("python3.")
        assert set(function["VpcConfig"]["SubnetIds"]) == account.private()


def test_the_roles_hold_no_wildcard_action(account: Account) -> None:
    iam = account.client("iam")
    for name in account.refs("AWS::IAM::Role"):
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            for statement in iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"][
                "Statement"
            ]:
                assert "*" not in str(statement["Action"])
