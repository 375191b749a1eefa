"""No public store, our key everywhere, TLS everywhere, no id in any log."""

import json
from typing import Any

import pytest

from tests.deploy.synthesis import Synthesis, as_list, synthesis

ENCRYPTED = {
    "AWS::Kinesis::Stream": ("StreamEncryption", "KeyId"),
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::RDS::DBCluster": ("KmsKeyId",),
    "AWS::ElastiCache::ReplicationGroup": ("KmsKeyId",),
    "AWS::EFS::FileSystem": ("KmsKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::Lambda::Function": ("KmsKeyArn",),
}
WITHOUT_A_KEY = {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::ECR::Repository"}
"""Types that hold data and are not in the template; one that comes must come with the key."""


@pytest.mark.parametrize("kind", sorted(ENCRYPTED))
def test_our_key_encrypts(anywhere: Synthesis, kind: str) -> None:
    key = {"Fn::GetAtt": [anywhere.id_of("AWS::KMS::Key"), "Arn"]}
    resources = anywhere.properties(kind)
    assert resources
    for properties in resources:
        found: Any = properties
        for step in ENCRYPTED[kind]:
            found = found[step]
        assert found in (key, {"Ref": anywhere.id_of("AWS::KMS::Key")})


def test_nothing_else_holds_data(anywhere: Synthesis) -> None:
    kinds = {r["Type"] for r in anywhere.template["Resources"].values()}
    assert not kinds & WITHOUT_A_KEY


def test_encryption_at_rest_is_on(anywhere: Synthesis) -> None:
    assert anywhere.only("AWS::RDS::DBCluster")["StorageEncrypted"] is True
    assert anywhere.only("AWS::ElastiCache::ReplicationGroup")["AtRestEncryptionEnabled"] is True
    assert anywhere.only("AWS::EFS::FileSystem")["Encrypted"] is True


def test_no_store_is_public(anywhere: Synthesis) -> None:
    assert all(i["PubliclyAccessible"] is False for i in anywhere.properties("AWS::RDS::DBInstance"))
    private = {
        name
        for name, r in anywhere.resources("AWS::EC2::Subnet").items()
        if r["Properties"]["CidrBlock"] in anywhere.config.private_cidrs
    }
    placed = [
        *anywhere.only("AWS::RDS::DBSubnetGroup")["SubnetIds"],
        *anywhere.only("AWS::ElastiCache::SubnetGroup")["SubnetIds"],
        *(m["SubnetId"] for m in anywhere.properties("AWS::EFS::MountTarget")),
        *(
            subnet
            for s in anywhere.properties("AWS::ECS::Service")
            for subnet in s["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
        ),
    ]
    assert {subnet["Ref"] for subnet in placed} == private
    for service in anywhere.properties("AWS::ECS::Service"):
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


def test_nothing_is_open_to_the_world(platform: Synthesis) -> None:
    for rule in platform.properties("AWS::EC2::SecurityGroupIngress"):
        assert "CidrIp" not in rule
    for group in platform.properties("AWS::EC2::SecurityGroup"):
        assert not group.get("SecurityGroupIngress")


def test_only_the_public_load_balancer_is_when_it_is_switched_on() -> None:
    other = synthesis("other")
    opened = [g for g in other.properties("AWS::EC2::SecurityGroup") if g.get("SecurityGroupIngress")]
    assert [g["GroupDescription"] for g in opened] == ["the load balancer"]
    (rule,) = opened[0]["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"], rule["ToPort"]) == ("0.0.0.0/0", 443, 443)


def test_stores_send_nothing_out(anywhere: Synthesis) -> None:
    for group in anywhere.properties("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupEgress", ()):
            nothing = rule["CidrIp"] == "255.255.255.255/32"
            https = (rule["FromPort"], rule["ToPort"]) == (443, 443)
            assert nothing or https
            if group["GroupDescription"] in ("the ledger", "the projection", "the shared files"):
                assert nothing


def test_tls_to_the_stores(anywhere: Synthesis) -> None:
    assert anywhere.only("AWS::RDS::DBClusterParameterGroup")["Parameters"] == {"rds.force_ssl": "1"}
    redis = anywhere.only("AWS::ElastiCache::ReplicationGroup")
    assert redis["TransitEncryptionEnabled"] is True
    assert redis["TransitEncryptionMode"] == "required"
    (statement,) = anywhere.only("AWS::EFS::FileSystem")["FileSystemPolicy"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for task in anywhere.properties("AWS::ECS::TaskDefinition"):
        (volume,) = (v["EFSVolumeConfiguration"] for v in task["Volumes"] if v["Name"] == "files")
        assert volume["TransitEncryption"] == "ENABLED"
        assert volume["AuthorizationConfig"]["IAM"] == "ENABLED"


def test_tls_at_the_edge(anywhere: Synthesis) -> None:
    api = anywhere.only("AWS::ApiGateway::RestApi")
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2")
    assert api["EndpointAccessMode"] == "STRICT"
    listener = anywhere.only("AWS::ElasticLoadBalancingV2::Listener")
    if anywhere.config.certificate_arn:
        assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
        assert "TLS13" in listener["SslPolicy"]
    else:
        assert not anywhere.config.prod
        assert not anywhere.config.public_load_balancer


def test_the_access_log_knows_no_one(anywhere: Synthesis) -> None:
    line = anywhere.only("AWS::ApiGateway::Stage")["AccessLogSetting"]["Format"]
    json.loads(line)
    for leak in ("querystring", "$context.path", "identity", "authorizer", "requestOverride", "claims"):
        assert leak not in line.replace("resourcePath", "")


def test_no_log_quotes_requests(anywhere: Synthesis) -> None:
    (settings,) = anywhere.only("AWS::ApiGateway::Stage")["MethodSettings"]
    assert settings["DataTraceEnabled"] is False
    assert settings["LoggingLevel"] == "ERROR"
    logging = anywhere.only("AWS::WAFv2::LoggingConfiguration")
    redacted = json.dumps(logging["RedactedFields"])
    assert "QueryString" in redacted
    assert "authorization" in redacted
    acl = anywhere.only("AWS::WAFv2::WebACL")
    for visible in (acl["VisibilityConfig"], *(r["VisibilityConfig"] for r in acl["Rules"])):
        assert visible["SampledRequestsEnabled"] is False
    attributes = anywhere.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["LoadBalancerAttributes"]
    assert not any(a["Key"].startswith("access_logs") and a["Value"] == "true" for a in attributes)


def test_the_execution_log_is_ours(anywhere: Synthesis) -> None:
    api = anywhere.id_of("AWS::ApiGateway::RestApi")
    (group,) = (
        name
        for name, r in anywhere.resources("AWS::Logs::LogGroup").items()
        if "API-Gateway-Execution-Logs_" in json.dumps(r["Properties"].get("LogGroupName"))
    )
    name = anywhere.resources("AWS::Logs::LogGroup")[group]["Properties"]["LogGroupName"]
    assert name == {"Fn::Join": ["", ["API-Gateway-Execution-Logs_", {"Ref": api}, "/v1"]]}
    (stage,) = anywhere.resources("AWS::ApiGateway::Stage").values()
    assert group in as_list(stage["DependsOn"])


def test_a_batch_passes_the_web_acl(anywhere: Synthesis) -> None:
    rules = {r["Name"]: r for r in anywhere.only("AWS::WAFv2::WebACL")["Rules"]}
    common = rules["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    assert common["RuleActionOverrides"] == [{"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}}]
    assert rules["RatePerAddress"]["Action"] == {"Block": {}}
    assert len(anywhere.resources("AWS::WAFv2::WebACLAssociation")) == 1


def test_containers_are_closed(anywhere: Synthesis) -> None:
    for task in anywhere.properties("AWS::ECS::TaskDefinition"):
        for container in task["ContainerDefinitions"]:
            assert container["ReadonlyRootFilesystem"] is True
            assert container["User"] == "1000:1000"
            assert container["LinuxParameters"]["InitProcessEnabled"] is True
            # what ECS injects is frozen at the start and would not outlive a rotation; a migration does not
            assert ("Secrets" in container) == (container["Name"] == "migrate")
            assert not any(m["ContainerPort"] == 9102 for m in container.get("PortMappings", ()))
    for service in anywhere.properties("AWS::ECS::Service"):
        assert service["EnableExecuteCommand"] is False


def test_the_worker_takes_no_connection(anywhere: Synthesis) -> None:
    (group,) = anywhere.service("worker")["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"]
    assert [
        rule for rule in anywhere.properties("AWS::EC2::SecurityGroupIngress") if rule["GroupId"] == group
    ] == []
    assert not any(m.get("HostPort") for m in anywhere.container("worker").get("PortMappings", ()))


def test_the_key_policy_opens_no_door(anywhere: Synthesis) -> None:
    for statement in anywhere.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]:
        principal = statement["Principal"]
        assert principal != "*"
        if "Service" in principal:
            assert statement["Condition"]
