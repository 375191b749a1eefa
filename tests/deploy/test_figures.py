"""Every figure of the brief, in dev and in prod."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.jobs import JOBS
from deploy.refusals import FARGATE_MEMORY
from tests.deploy.synthesis import Synthesis, as_list, synthesis, texts


def test_network(platform: Synthesis) -> None:
    vpc = platform.only("AWS::EC2::VPC")
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    assert vpc["EnableDnsHostnames"] is True
    assert vpc["EnableDnsSupport"] is True
    subnets = {
        (s["CidrBlock"], s["AvailabilityZone"], s["MapPublicIpOnLaunch"])
        for s in platform.properties("AWS::EC2::Subnet")
    }
    assert subnets == {
        ("10.0.1.0/24", "ap-northeast-1a", False),
        ("10.0.2.0/24", "ap-northeast-1c", False),
        ("10.0.11.0/24", "ap-northeast-1a", False),
        ("10.0.12.0/24", "ap-northeast-1c", False),
    }
    assert len(platform.resources("AWS::EC2::InternetGateway")) == 1
    assert len(platform.resources("AWS::EC2::NatGateway")) == (2 if platform.config.prod else 1)
    gateways = [
        "".join(texts(e["ServiceName"]))
        for e in platform.properties("AWS::EC2::VPCEndpoint")
        if e["VpcEndpointType"] == "Gateway"
    ]
    assert [name.rsplit(".", 1)[1] for name in gateways] == ["s3", "dynamodb"]


@pytest.mark.parametrize(
    ("to", "port", "sources"),
    [
        ("Balancer", "entry", {"Link"}),
        ("Api", 8080, {"Balancer"}),
        ("Database", 5432, {"Api", "Worker", "Jobs", "Rotation"}),
        ("Redis", 6379, {"Api", "Worker", "Jobs", "Rotation"}),
        ("Files", 2049, {"Api", "Worker", "Jobs"}),
        ("Worker", 0, set()),
        ("Jobs", 0, set()),
        ("Rotation", 0, set()),
    ],
)
def test_who_may_talk_to_whom(platform: Synthesis, to: str, port: Any, sources: set[str]) -> None:
    groups = {
        name: name.removeprefix("Network")[:-8] for name in platform.resources("AWS::EC2::SecurityGroup")
    }
    entered = {
        (groups[rule["SourceSecurityGroupId"]["Fn::GetAtt"][0]], rule["FromPort"], rule["ToPort"])
        for rule in platform.properties("AWS::EC2::SecurityGroupIngress")
        if groups[rule["GroupId"]["Fn::GetAtt"][0]] == to
    }
    expected = (443 if platform.config.prod else 80) if port == "entry" else port
    assert entered == {(source, expected, expected) for source in sources}


def test_key(platform: Synthesis) -> None:
    key = platform.only("AWS::KMS::Key")
    assert key["EnableKeyRotation"] is True
    assert key["PendingWindowInDays"] == 10


def test_stream(platform: Synthesis) -> None:
    stream = platform.only("AWS::Kinesis::Stream")
    assert stream["Name"] == f"edu-analytics-stream-{platform.config.suffix}"
    assert stream["ShardCount"] == (4 if platform.config.prod else 2)
    assert stream["RetentionPeriodHours"] == (168 if platform.config.prod else 24)
    assert stream["StreamEncryption"]["EncryptionType"] == "KMS"
    assert stream["DesiredShardLevelMetrics"] == ["ALL"]


def test_kcl_tables(platform: Synthesis) -> None:
    name = f"edu-analytics-{platform.config.suffix}"
    tables = {t["TableName"]: t for t in platform.properties("AWS::DynamoDB::Table")}
    keys = {table: t["KeySchema"][0]["AttributeName"] for table, t in tables.items()}
    assert keys == {name: "leaseKey", f"{name}-CoordinatorState": "key", f"{name}-WorkerMetricStats": "wid"}
    (index,) = tables[name]["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "LeaseOwnerToLeaseKeyIndex"
    assert [(k["AttributeName"], k["KeyType"]) for k in index["KeySchema"]] == [
        ("leaseOwner", "HASH"),
        ("leaseKey", "RANGE"),
    ]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_redis(platform: Synthesis) -> None:
    group = platform.only("AWS::ElastiCache::ReplicationGroup")
    assert group["Engine"] == "redis"
    assert group["EngineVersion"] == "7.1"
    assert group["CacheNodeType"] == ("cache.t4g.medium" if platform.config.prod else "cache.t4g.micro")
    assert group["NumCacheClusters"] == 2
    assert group["UserGroupIds"] == [{"Ref": platform.id_of("AWS::ElastiCache::UserGroup")}]
    assert [log["LogType"] for log in group["LogDeliveryConfigurations"]] == ["engine-log"]
    parameters = platform.only("AWS::ElastiCache::ParameterGroup")
    assert parameters["Properties"] == {"maxmemory-policy": "volatile-lru"}
    users = {u["UserName"]: u for u in platform.properties("AWS::ElastiCache::User")}
    assert users["default"]["AccessString"] == "off -@all"
    assert users["app"]["AccessString"].endswith("-@dangerous")


def test_aurora(platform: Synthesis) -> None:
    cluster = platform.only("AWS::RDS::DBCluster")
    assert cluster["Engine"] == "aurora-postgresql"
    assert cluster["EngineVersion"] == "16.13"
    assert cluster["ServerlessV2ScalingConfiguration"] == {
        "MinCapacity": 0.5,
        "MaxCapacity": 16 if platform.config.prod else 2,
    }
    assert cluster["DatabaseName"] == "eduanalytics"
    assert cluster["EnableCloudwatchLogsExports"] == ["postgresql"]
    assert cluster["BackupRetentionPeriod"] == (35 if platform.config.prod else 1)
    assert {i["DBInstanceClass"] for i in platform.properties("AWS::RDS::DBInstance")} == {"db.serverless"}


def test_files(platform: Synthesis) -> None:
    files = platform.only("AWS::EFS::FileSystem")
    assert files["PerformanceMode"] == "generalPurpose"
    assert files["ThroughputMode"] == "bursting"
    assert files["LifecyclePolicies"] == [{"TransitionToIA": "AFTER_30_DAYS"}]
    for name in ("worker", "api"):
        mounts = {m["ContainerPath"]: m["SourceVolume"] for m in platform.container(name)["MountPoints"]}
        assert mounts["/mnt/efs"] == "files"


@pytest.mark.parametrize(
    ("process", "user"),
    [
        ("worker", "edu_app_a"),
        ("api", "edu_app_a"),
        ("migrate", "eduanalytics"),
        ("rebuild", "eduanalytics"),
    ],
)
def test_each_process_enters_the_ledger_as_its_user(platform: Synthesis, process: str, user: str) -> None:
    attachment = platform.template["Resources"][platform.environment(process)["DATABASE_SECRET_ID"]["Ref"]]
    # host, port and dbname come with the attachment
    assert attachment["Type"] == "AWS::SecretsManager::SecretTargetAttachment"
    assert attachment["Properties"]["TargetType"] == "AWS::RDS::DBCluster"
    secret = platform.template["Resources"][attachment["Properties"]["SecretId"]["Ref"]]["Properties"]
    made = secret["GenerateSecretString"]
    assert json.loads(made["SecretStringTemplate"]) == {"username": user, "sslmode": "verify-full"}
    assert made["GenerateStringKey"] == "password"


def _document(platform: Synthesis, secret_id: dict[str, str], generated: str) -> Any:
    """A composed secret as Secrets Manager would hold it, with a text in place of what is generated."""
    joined = platform.template["Resources"][secret_id["Ref"]]["Properties"]["SecretString"]["Fn::Join"][1]
    text = "".join(piece if isinstance(piece, str) else "\0" for piece in joined)
    return json.loads(
        text.replace("{{resolve:secretsmanager:\0:SecretString:::}}", generated).replace("\0", "host")
    )


def test_redis_secret_has_what_the_worker_reads(platform: Synthesis) -> None:
    secret = _document(platform, platform.environment("worker")["REDIS_SECRET_ID"], "generated")
    assert secret == {"host": "host", "port": 6379, "tls": True, "username": "app", "password": "generated"}


def test_the_keyring_is_one(platform: Synthesis) -> None:
    lengths = {
        p["GenerateSecretString"]["PasswordLength"]
        for p in platform.properties("AWS::SecretsManager::Secret")
        if "generated part" in p["Description"]
    }
    assert {42, 85} <= lengths
    keyring_id = platform.environment("api")["IDENTITY_KEYS_SECRET_ID"]
    for field, characters, size in (("pseudonym", 42, 32), ("seal", 85, 64)):
        keyring = _document(platform, keyring_id, "z" * characters)
        key = base64.b64decode(keyring["keys"][keyring["current"]][field], validate=True)
        assert len(key) == size
        assert base64.b64encode(key).decode() == keyring["keys"]["k1"][field]


def test_cluster(platform: Synthesis) -> None:
    cluster = platform.only("AWS::ECS::Cluster")
    assert cluster["ClusterName"] == f"edu-ecs-cluster-{platform.config.suffix}"
    assert cluster["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}]


@pytest.mark.parametrize("name", ["worker", "api"])
def test_tasks(platform: Synthesis, name: str) -> None:
    task = platform.task(name)
    assert (task["Cpu"], task["Memory"]) == ("512", "1024")
    assert task["NetworkMode"] == "awsvpc"
    assert task["RequiresCompatibilities"] == ["FARGATE"]
    container = platform.container(name)
    assert container["Cpu"] == 512
    assert container["Command"] == ["python", "-m", "worker", "daemon" if name == "worker" else "api"]
    assert container["LogConfiguration"]["LogDriver"] == "awslogs"
    logs = container["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
    group = platform.template["Resources"][logs]["Properties"]["LogGroupName"]
    assert group == f"/ecs/edu-analytics-{platform.config.suffix}"


def test_services(platform: Synthesis) -> None:
    api, worker = platform.service("api"), platform.service("worker")
    assert api["DesiredCount"] == 2
    assert api["HealthCheckGracePeriodSeconds"] == 60
    assert [b["ContainerPort"] for b in api["LoadBalancers"]] == [8080]
    assert not worker.get("LoadBalancers")
    # a deployment must not undo what the scaling has chosen
    assert "DesiredCount" not in worker


def test_load_balancer(platform: Synthesis) -> None:
    balancer = platform.only("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert balancer["Type"] == "application"
    assert balancer["Scheme"] == "internal"
    targets = platform.only("AWS::ElasticLoadBalancingV2::TargetGroup")
    assert targets["TargetType"] == "ip"
    assert (targets["Port"], targets["HealthCheckPort"]) == (8080, "8080")
    assert targets["HealthCheckPath"] == "/healthz"


def test_the_stage_is_cut_off_the_path(platform: Synthesis) -> None:
    rules = sorted(
        platform.properties("AWS::ElasticLoadBalancingV2::ListenerRule"), key=lambda r: int(r["Priority"])
    )
    assert rules[0]["Transforms"][0]["UrlRewriteConfig"]["Rewrites"] == [
        {"Regex": "^/v1/(.*)$", "Replace": "/$1"}
    ]
    assert "Transforms" not in rules[1]


def test_rest_api(platform: Synthesis) -> None:
    api = platform.only("AWS::ApiGateway::RestApi")
    assert api["Name"] == f"edu-analytics-api-{platform.config.suffix}"
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    stage = platform.only("AWS::ApiGateway::Stage")
    assert stage["TracingEnabled"] is True
    (settings,) = stage["MethodSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (5_000, 5_000)
    logs = stage["AccessLogSetting"]["DestinationArn"]["Fn::Join"][1][-1]["Ref"]
    group = platform.template["Resources"][logs]["Properties"]
    assert group["LogGroupName"] == f"/aws/apigateway/edu-analytics-{platform.config.suffix}"


def test_routes(platform: Synthesis) -> None:
    paths = {
        name: r["Properties"]["PathPart"]
        for name, r in platform.resources("AWS::ApiGateway::Resource").items()
    }
    routes = {
        (method["HttpMethod"], paths[method["ResourceId"]["Ref"]]): method
        for method in platform.properties("AWS::ApiGateway::Method")
        if "Ref" in method["ResourceId"]
    }
    assert routes["POST", "students"]["AuthorizationType"] == "AWS_IAM"
    for path in ("metrics", "attempts", "disclosures", "session"):
        assert routes["GET", path]["AuthorizationType"] == "COGNITO_USER_POOLS"
    balancer = platform.id_of("AWS::ElasticLoadBalancingV2::LoadBalancer")
    for method in platform.properties("AWS::ApiGateway::Method"):
        integration = method["Integration"]
        assert integration["Type"] == "HTTP_PROXY"
        assert integration["ConnectionType"] == "VPC_LINK"
        assert integration["ConnectionId"] == {"Ref": platform.id_of("AWS::ApiGatewayV2::VpcLink")}
        assert integration["IntegrationTarget"] == {"Ref": balancer}


def test_producers_are_vouched_for_on_their_route_alone(platform: Synthesis) -> None:
    for method in platform.properties("AWS::ApiGateway::Method"):
        mapping = method["Integration"].get("RequestParameters", {})
        caller = mapping.get("integration.request.header.x-gateway-caller-arn")
        secret = mapping.get("integration.request.header.x-gateway-secret")
        if method["HttpMethod"] == "POST":
            assert caller == "context.identity.userArn"
            text = "".join(texts(secret))
            assert text.startswith("'{{resolve:secretsmanager:")
            assert text.endswith("}}'")
        else:
            assert caller is secret is None


def test_request_model(platform: Synthesis) -> None:
    models = {m["Name"]: m["Schema"] for m in platform.properties("AWS::ApiGateway::Model")}
    one, several = models["Events"]["oneOf"]
    assert several["items"] == one
    assert (several["minItems"], several["maxItems"]) == (1, 500)
    assert models["Event"]["required"] == ["course_id", "item_id", "occurred_at"]
    # the service drops unknown fields, so that a platform may send more than is kept
    assert "additionalProperties" not in models["Event"]


def test_logs_are_kept_for_a_week(platform: Synthesis) -> None:
    assert {g["RetentionInDays"] for g in platform.properties("AWS::Logs::LogGroup")} == {7}


def test_people(platform: Synthesis) -> None:
    groups = {g["GroupName"] for g in platform.properties("AWS::Cognito::UserPoolGroup")}
    assert groups == {"student", "teacher", "official", "analyst", "operator"}
    attributes = {a["Name"] for a in platform.only("AWS::Cognito::UserPool")["Schema"]}
    assert attributes == {"realm", "student_id", "courses"}
    client = platform.only("AWS::Cognito::UserPoolClient")
    assert not any(name.startswith("custom:") for name in client["WriteAttributes"])
    assert {"custom:realm", "custom:student_id", "custom:courses"} <= set(client["ReadAttributes"])
    assert platform.only("AWS::Cognito::UserPool")["AdminCreateUserConfig"] == {
        "AllowAdminCreateUserOnly": True
    }


def test_jobs(platform: Synthesis) -> None:
    for name, job in JOBS.items():
        container = platform.container(name)
        assert container["Command"] == list(job.command)
        assert "HealthCheck" not in container


def test_jobs_are_of_sizes_that_fargate_sells(platform: Synthesis) -> None:
    for name in JOBS:
        task = platform.task(name)
        assert int(task["Memory"]) in FARGATE_MEMORY[int(task["Cpu"])]


def test_the_jobs_reports_outlive_them(platform: Synthesis) -> None:
    for name in JOBS:
        mounted = {mount["ContainerPath"] for mount in platform.container(name)["MountPoints"]}
        assert str(Path(platform.environment(name)["STATE_DIR"]).parent) in mounted - {"/tmp"}


def test_retention_runs_every_night_in_the_private_subnets(anywhere: Synthesis) -> None:
    rule = anywhere.only("AWS::Events::Rule")
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0 17 * * ? *)", "ENABLED")
    (target,) = rule["Targets"]
    started = anywhere.template["Resources"][target["EcsParameters"]["TaskDefinitionArn"]["Ref"]]
    assert started["Properties"]["Family"] == f"edu-analytics-retention-{anywhere.config.suffix}"
    network = target["EcsParameters"]["NetworkConfiguration"]["AwsVpcConfiguration"]
    services = anywhere.service("worker")["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["Subnets"] == services["Subnets"]
    assert network["AssignPublicIp"] == "DISABLED"


def test_retention_drops_attempts_only_where_their_days_are_given(anywhere: Synthesis) -> None:
    (target,) = anywhere.only("AWS::Events::Rule")["Targets"]
    (override,) = json.loads(target["Input"])["containerOverrides"]
    days = anywhere.config.retention_days
    assert override == {
        "name": anywhere.container("retention")["Name"],
        "command": [*JOBS["retention"].command, *(["--older-than-days", str(days)] if days else [])],
    }


def test_migrations_run_before_the_new_version_serves(platform: Synthesis) -> None:
    for name in ("worker", "api"):
        assert platform.container(name)["DependsOn"] == [{"ContainerName": "migrate", "Condition": "SUCCESS"}]
        (first,) = (c for c in platform.task(name)["ContainerDefinitions"] if c["Name"] == "migrate")
        assert first["Command"] == ["python", "-m", "worker", "migrate"]
        assert first["Essential"] is False


def test_the_container_is_told_what_the_template_made(platform: Synthesis) -> None:
    told = platform.environment("worker")
    assert told["STREAM_NAME"] == platform.only("AWS::Kinesis::Stream")["Name"]
    assert told["APPLICATION_NAME"] in {t["TableName"] for t in platform.properties("AWS::DynamoDB::Table")}
    assert told["AWS_REGION"] == "ap-northeast-1"
    assert int(told["MAX_LEASES"]) >= platform.only("AWS::Kinesis::Stream")["ShardCount"] // 2
    api = platform.environment("api")
    assert api["TOKEN_CLIENTS"] == {"Ref": platform.id_of("AWS::Cognito::UserPoolClient")}
    assert "".join(texts(api["TOKEN_KEYS_URL"])).endswith("/.well-known/jwks.json")
    assert api["CLAIM_ROLES"] == "cognito:groups"


def test_the_switches() -> None:
    other = synthesis("other")
    endpoints = {
        "".join(texts(e["ServiceName"])).rsplit(".", 1)[1] for e in other.properties("AWS::EC2::VPCEndpoint")
    }
    assert {"s3", "dynamodb", "kinesis-streams", "secretsmanager", "kms", "logs", "cognito-idp"} <= endpoints
    assert not other.resources("AWS::EC2::NatGateway")
    private = [r for r in other.properties("AWS::EC2::Route") if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
    assert all("GatewayId" in route for route in private)
    assert not other.resources("AWS::ApiGatewayV2::VpcLink")
    assert not other.resources("AWS::ApiGateway::Account")
    for rule in other.properties("AWS::ElasticLoadBalancingV2::ListenerRule"):
        assert [c["Field"] for c in rule["Conditions"]] == ["path-pattern", "http-header"]
    default = other.only("AWS::ElasticLoadBalancingV2::Listener")["DefaultActions"]
    assert default[0]["FixedResponseConfig"]["StatusCode"] == "403"
    assert other.task("worker")["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    assert json.loads(other.environment("api")["PRODUCERS"]) == {
        "arn:aws:iam::111122223333:role/lms": {"realm": "north", "sources": ["lms"]},
        "arn:aws:iam::111122223333:role/sis": {"realm": "south"},
    }
    assert as_list(other.only("AWS::SNS::Subscription")["Protocol"]) == ["email"]
    anonymous = [m for m in other.properties("AWS::ApiGateway::Method") if m["AuthorizationType"] == "NONE"]
    assert not anonymous
