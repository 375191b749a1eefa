"""Who may do what: no wildcard action, `*` resources by this list alone, the key with every secret."""

from typing import Any

import pytest

from tests.deploy.synthesis import Synthesis, actions, as_list

ONLY_STAR = {
    "cloudwatch:PutMetricData": {"StringEquals"},
    "ecr:GetAuthorizationToken": set(),
    # Lambda's own network interfaces
    "ec2:AssignPrivateIpAddresses": set(),
    "ec2:CreateNetworkInterface": set(),
    "ec2:DeleteNetworkInterface": set(),
    "ec2:DescribeNetworkInterfaces": set(),
    "ec2:DescribeSubnets": set(),
    "ec2:UnassignPrivateIpAddresses": set(),
}
"""Actions that know no resource, and the conditions that each must carry instead."""

MANAGED = {"AmazonAPIGatewayPushToCloudWatchLogs"}

COMMON = {
    "secretsmanager:GetSecretValue",
    "kms:Decrypt",
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientWrite",
}
READING = {
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
}
CONSUMING = READING | {
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
    "cloudwatch:PutMetricData",
}
SEALING = {"kms:GenerateDataKey"}
PRODUCING = {"kinesis:ListShards", "kinesis:PutRecords", *SEALING}
NAMING = {"kinesis:DescribeStreamSummary"}

LETTERS = "dead-letters"
REGION = "ap-northeast-1.amazonaws.com"
OPENS_SECRETS = ("Decrypt", f"secretsmanager.{REGION}")
OPENS_RECORDS = ("Decrypt", f"kinesis.{REGION}")
OPENS_TABLES = ("Decrypt", f"dynamodb.{REGION}")
ENCRYPTS_RECORDS = ("GenerateDataKey", f"kinesis.{REGION}")
SEALS_LETTERS = ("GenerateDataKey", LETTERS)
OPENS_LETTERS = ("Decrypt", LETTERS)
"""Only these two tasks read what was never understood: it may hold anything that a producer has sent."""


def _all_statements(platform: Synthesis) -> list[dict[str, Any]]:
    return [s for role in platform.resources("AWS::IAM::Role") for s in platform.statements(role)]


def test_no_wildcard_action(anywhere: Synthesis) -> None:
    assert [a for a in actions(_all_statements(anywhere)) if "*" in a] == []


def test_star_resources_are_on_the_list(anywhere: Synthesis) -> None:
    for statement in _all_statements(anywhere):
        if "*" not in as_list(statement["Resource"]):
            continue
        for action in as_list(statement["Action"]):
            assert action in ONLY_STAR
            assert set(statement.get("Condition", {})) == ONLY_STAR[action]


def test_no_resource_is_a_pattern(anywhere: Synthesis) -> None:
    for statement in _all_statements(anywhere):
        for resource in as_list(statement["Resource"]):
            assert resource == "*" or "*" not in str(resource)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("worker", COMMON | CONSUMING | SEALING),
        ("api", COMMON | PRODUCING | NAMING),
        # what it enters with is given to it
        ("migrate", {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}),
        ("rebuild", COMMON),
        ("replay", COMMON | SEALING | READING),
        ("backfill", COMMON | PRODUCING),
        ("redrive", COMMON | SEALING),
        ("retention", COMMON),
        ("erase", COMMON),
        ("export", COMMON),
        ("epoch", COMMON | NAMING | {"dynamodb:Scan"}),
        ("rekey", COMMON),
        ("load-test", COMMON | PRODUCING),
        ("check", COMMON | SEALING | {"kinesis:ListShards", "dynamodb:DescribeTable"}),
    ],
)
def test_each_task_may_do_exactly_this(platform: Synthesis, name: str, expected: set[str]) -> None:
    assert actions(platform.statements(platform.task_role(name))) == expected


def _uses_of_the_key(platform: Synthesis, role: str) -> set[tuple[str, str]]:
    """Each action with the key, and by which service of AWS or in which context."""
    key = {"Fn::GetAtt": [platform.id_of("AWS::KMS::Key"), "Arn"]}
    found = set()
    for statement in platform.statements(role):
        for action in as_list(statement["Action"]):
            if action.startswith("kms:"):
                assert statement["Resource"] == key
                ((operator, where),) = statement["Condition"].items()
                ((name, values),) = where.items()
                assert operator == "StringEquals"
                assert name in ("kms:ViaService", "kms:EncryptionContext:purpose")
                found |= {(action.removeprefix("kms:"), value) for value in as_list(values)}
    return found


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("worker", {OPENS_RECORDS, OPENS_TABLES, SEALS_LETTERS}),
        ("api", {ENCRYPTS_RECORDS}),
        ("rebuild", set()),
        ("replay", {OPENS_RECORDS, SEALS_LETTERS}),
        ("backfill", {ENCRYPTS_RECORDS, SEALS_LETTERS}),
        ("redrive", {SEALS_LETTERS, OPENS_LETTERS}),
        ("retention", set()),
        ("erase", {OPENS_LETTERS}),
        ("export", set()),
        ("epoch", {OPENS_TABLES}),
        ("rekey", set()),
        ("load-test", {ENCRYPTS_RECORDS}),
        ("check", {SEALS_LETTERS}),
    ],
)
def test_each_task_uses_the_key_for_exactly_this(
    platform: Synthesis, name: str, uses: set[tuple[str, str]]
) -> None:
    assert _uses_of_the_key(platform, platform.task_role(name)) == {OPENS_SECRETS, *uses}


def test_nobody_else_uses_the_key_directly(anywhere: Synthesis) -> None:
    """Where a role may use the key at all, it is in the name of a service, or for dead letters."""
    tasks = {anywhere.task_role(name) for name in anywhere.tasks}
    for role in set(anywhere.resources("AWS::IAM::Role")) - tasks:
        assert LETTERS not in {where for _, where in _uses_of_the_key(anywhere, role)}


def test_every_task_has_two_roles_of_its_own(anywhere: Synthesis) -> None:
    roles = [
        task[kind]["Fn::GetAtt"][0]
        for task in anywhere.properties("AWS::ECS::TaskDefinition")
        for kind in ("TaskRoleArn", "ExecutionRoleArn")
    ]
    assert len(roles) == len(set(roles))


def test_execution_roles_only_start_tasks(anywhere: Synthesis) -> None:
    for task in anywhere.properties("AWS::ECS::TaskDefinition"):
        migrates = any(c["Name"] == "migrate" for c in task["ContainerDefinitions"])
        assert actions(anywhere.statements(task["ExecutionRoleArn"]["Fn::GetAtt"][0])) == {
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetAuthorizationToken",
            "ecr:GetDownloadUrlForLayer",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            # what a migration enters with is given to it, so that no process of the task can read it
            *(("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue") if migrates else ()),
        }


@pytest.mark.parametrize("name", ["worker", "api"])
def test_no_service_reads_the_owners_secret(anywhere: Synthesis, name: str) -> None:
    owner = next(
        given["ValueFrom"]["Ref"]
        for container in anywhere.task(name)["ContainerDefinitions"]
        for given in container.get("Secrets", ())
        if given["Name"] == "OWNER_SECRET"
    )
    read = [
        resource
        for statement in anywhere.statements(anywhere.task_role(name))
        if "secretsmanager:GetSecretValue" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert {"Ref": anywhere.environment(name)["DATABASE_SECRET_ID"]["Ref"]} in read
    assert {"Ref": owner} not in read


def test_reading_a_secret_implies_the_key(anywhere: Synthesis) -> None:
    key = anywhere.id_of("AWS::KMS::Key")
    # the library's own grants stand in the key's policy, and hold for Secrets Manager's use of it alone
    let_in = {
        principal["Fn::GetAtt"][0]
        for s in anywhere.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
        if "kms:Decrypt" in as_list(s["Action"]) and "kms:ViaService" in str(s.get("Condition"))
        for principal in as_list(s["Principal"]["AWS"])
        if "Fn::GetAtt" in principal
    }
    for role in anywhere.resources("AWS::IAM::Role"):
        statements = anywhere.statements(role)
        if "secretsmanager:GetSecretValue" in actions(statements):
            opened = [
                s
                for s in statements
                if "kms:Decrypt" in as_list(s["Action"])
                and s["Resource"] == {"Fn::GetAtt": [key, "Arn"]}
                and "secretsmanager" in str(s["Condition"]["StringEquals"].get("kms:ViaService"))
            ]
            assert opened or role in let_in, role


def test_nobody_reads_the_parts_of_secrets(anywhere: Synthesis) -> None:
    parts = {
        name
        for name, r in anywhere.resources("AWS::SecretsManager::Secret").items()
        if "generated part" in r["Properties"]["Description"]
    }
    for statement in _all_statements(anywhere):
        for resource in as_list(statement["Resource"]):
            assert not (isinstance(resource, dict) and resource.get("Ref") in parts)


def test_managed_policies_are_on_the_list(anywhere: Synthesis) -> None:
    for role in anywhere.properties("AWS::IAM::Role"):
        for policy in role.get("ManagedPolicyArns", ()):
            assert str(policy).split("/")[-1].rstrip("']}") in MANAGED


def test_only_this_account_lends_task_roles(anywhere: Synthesis) -> None:
    for task in anywhere.properties("AWS::ECS::TaskDefinition"):
        for kind in ("TaskRoleArn", "ExecutionRoleArn"):
            role = anywhere.template["Resources"][task[kind]["Fn::GetAtt"][0]]["Properties"]
            (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_rule_starts_retention_and_nothing_else(anywhere: Synthesis) -> None:
    (target,) = anywhere.only("AWS::Events::Rule")["Targets"]
    start, lend = anywhere.statements(target["RoleArn"]["Fn::GetAtt"][0])
    assert start["Action"] == "ecs:RunTask"
    assert start["Resource"] == target["EcsParameters"]["TaskDefinitionArn"]
    assert start["Condition"] == {"ArnEquals": {"ecs:cluster": target["Arn"]}}
    assert lend["Action"] == "iam:PassRole"
    task = anywhere.task("retention")
    lent = {resource["Fn::GetAtt"][0] for resource in lend["Resource"]}
    assert lent == {task[kind]["Fn::GetAtt"][0] for kind in ("TaskRoleArn", "ExecutionRoleArn")}
    assert lend["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
