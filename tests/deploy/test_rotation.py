"""The schedules and the functions behind them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.synthesis import Synthesis, actions

COMMON = {
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}


def test_every_password_lives_for_30_days(anywhere: Synthesis) -> None:
    schedules = {
        s["SecretId"]["Ref"]: s for s in anywhere.properties("AWS::SecretsManager::RotationSchedule")
    }
    told = anywhere.environment("worker")
    owner = anywhere.environment("migrate")["DATABASE_SECRET_ID"]["Ref"]
    assert set(schedules) == {told["DATABASE_SECRET_ID"]["Ref"], told["REDIS_SECRET_ID"]["Ref"], owner}
    for schedule in schedules.values():
        assert schedule["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
        # a deployment changes no password
        assert schedule["RotateImmediatelyOnUpdate"] is False


def test_only_the_secrets_schedule_calls_the_function(anywhere: Synthesis) -> None:
    permissions = anywhere.properties("AWS::Lambda::Permission")
    assert len(permissions) == 3
    for permission in permissions:
        assert permission["Principal"] == "secretsmanager.amazonaws.com"
        assert "Ref" in permission["SourceArn"]


def test_the_keyring_is_never_rotated(anywhere: Synthesis) -> None:
    keyring = anywhere.environment("worker")["IDENTITY_KEYS_SECRET_ID"]["Ref"]
    for schedule in anywhere.properties("AWS::SecretsManager::RotationSchedule"):
        assert schedule["SecretId"]["Ref"] != keyring


@pytest.mark.parametrize(
    ("module", "more"),
    [
        ("database", set()),
        ("application", set()),
        ("redis_user", {"elasticache:DescribeUsers", "elasticache:ModifyUser"}),
    ],
)
def test_each_function_may_do_exactly_this(anywhere: Synthesis, module: str, more: set[str]) -> None:
    (function,) = (
        f for f in anywhere.properties("AWS::Lambda::Function") if f["Handler"].split(".")[2] == module
    )
    role = function["Role"]["Fn::GetAtt"][0]
    assert actions(anywhere.statements(role)) == COMMON | more
    assert function["Runtime"] == "python3.14"
    # a new account has no concurrency to reserve, and Secrets Manager runs one rotation of a secret at a time
    assert "ReservedConcurrentExecutions" not in function
    assert len(function["VpcConfig"]["SubnetIds"]) == 2
    assert function["KmsKeyArn"] == {"Fn::GetAtt": [anywhere.id_of("AWS::KMS::Key"), "Arn"]}


def test_the_owner_changes_the_users_that_take_turns(anywhere: Synthesis) -> None:
    (function,) = (f for f in anywhere.properties("AWS::Lambda::Function") if "application" in f["Handler"])
    owner = anywhere.environment("migrate")["DATABASE_SECRET_ID"]
    assert function["Environment"]["Variables"] == {"OWNER_SECRET_ID": owner}
    statements = anywhere.statements(function["Role"]["Fn::GetAtt"][0])
    (read,) = (s for s in statements if s["Action"] == "secretsmanager:GetSecretValue")
    assert read["Resource"] == owner


def test_what_is_packed_runs_alone(platform: Synthesis, tmp_path: Path) -> None:
    assets = json.loads(
        platform.template_file.with_name(f"EduAnalytics-{platform.config.suffix}.assets.json").read_text()
    )
    (folder,) = (
        platform.template_file.parent / file["source"]["path"]
        for file in assets["files"].values()
        if file["source"]["packaging"] == "zip"
    )
    imports = "import deploy.rotating.application, deploy.rotating.redis_user, pg8000.native"
    subprocess.run(
        # isolated, without this machine's packages: the driver and all it needs are in the folder
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {imports}"],
        check=True,
        cwd=tmp_path,
    )
