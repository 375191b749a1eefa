"""What the static checks say: no error, nothing accepted without a reason, nothing accepted for nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.app import build
from deploy.config import dev
from tests.deploy.synthesis import Synthesis

_LIBRARY_OWN = "CloudFormation-Validate::F"
"""What the construct library accepts for its own resources; our code accepts no such finding."""

_CFN_LINT = Path(sys.executable).with_name("cfn-lint")
_WANTED = "W3010"  # the promised zones are written out


def _findings(platform: Synthesis, plugin: str) -> dict[str, list[str]]:
    (report,) = (r for r in platform.report["pluginReports"] if r["pluginName"] == plugin)
    return {
        v["ruleName"]: [c["constructPath"] for c in v["violatingConstructs"]] for v in report["violations"]
    }


@pytest.mark.parametrize("plugin", ["AwsSolutions", "CloudFormation Validate"])
def test_no_finding_is_open(anywhere: Synthesis, plugin: str) -> None:
    assert _findings(anywhere, plugin) == {}


def test_every_acknowledgement_has_a_reason_and_a_finding(anywhere: Synthesis) -> None:
    declared = {
        (path.lstrip("/"), rule): reason
        for path, entries in anywhere.metadata.items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
        if not rule.startswith(_LIBRARY_OWN)
    }
    needed = {
        (v["acknowledgedAt"].lstrip("/"), v["acknowledgedId"])
        for report in anywhere.report["pluginReports"]
        for v in report.get("suppressedViolations", ())
    }
    assert all(len(reason.split()) >= 6 for reason in declared.values())
    assert set(declared) - needed == set()


def _open_bucket(stack: Construct) -> None:
    s3.Bucket(stack, "Open")


def _plain_logs(stack: Construct) -> None:
    logs.LogGroup(stack, "Plain")


@pytest.mark.parametrize("slip", [_open_bucket, _plain_logs])
def test_an_open_finding_fails_the_synthesis(slip: Callable[[Construct], None], tmp_path: Path) -> None:
    app = build(dev("bad"), outdir=str(tmp_path))
    stack = app.node.find_child("EduAnalytics-bad")
    assert isinstance(stack, Construct)
    slip(stack)
    with pytest.raises(RuntimeError, match="Validation"):
        app.synth()


def test_cfn_lint(anywhere: Synthesis) -> None:
    answer = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "-r",
            "ap-northeast-1",
            "-f",
            "json",
            str(anywhere.template_file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stderr == ""
    findings = [f for f in json.loads(answer.stdout) if f["Rule"]["Id"] != _WANTED]
    assert [f"{f['Rule']['Id']} {f['Message']}" for f in findings if f["Level"] == "Error"] == []
    assert {f["Rule"]["Id"] for f in findings} <= {"W3005"}  # a dependency said twice harms nobody


def test_the_template_is_far_from_the_limits(platform: Synthesis) -> None:
    assert len(platform.template["Resources"]) < 350
    assert len(json.dumps(platform.template, separators=(",", ":"))) < 500_000


def test_no_secret_is_in_the_template(anywhere: Synthesis) -> None:
    for secret in anywhere.properties("AWS::SecretsManager::Secret"):
        assert ("GenerateSecretString" in secret) != ("SecretString" in secret)
        assert "{{resolve:secretsmanager:" in json.dumps(
            secret.get("SecretString", "{{resolve:secretsmanager:")
        )
