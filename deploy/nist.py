"""NIST 800-53 as a yardstick: what cdk-nag's pack finds in prod, each finding with its answer.

FERPA names no controls, so this is the honest measure of what a cautious reviewer will ask. It is a report
and no gate: some findings are wanted, some are wrong about what they see. `python -m deploy.nist` writes the
table of `NIST.md`, and a test compares both.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aws_cdk import App, Environment, Validations
from cdk_nag import NIST80053R5Checks

from deploy.config import EnvConfig, prod
from deploy.stack import EduAnalytics

PACK = "NIST.800.53.R5"
_FOLDER = Path(__file__).parent

ANSWERS: Mapping[str, str] = {
    "ALBWAFEnabled": "The load balancer is private and reached by the gateway's VPC link alone; the web ACL "
    "stands before the gateway.",
    "APIGWCacheEnabledAndEncrypted": "No cache, on purpose: every look at a record must reach the service, "
    "which writes it down.",
    "APIGWSSLEnabled": "A client certificate is not offered to a private integration. The service knows the "
    "gateway by a secret header, over TLS whose name is checked.",
    "DynamoDBInBackupPlan": "KCL's leases, restored to any second of 35 days by point-in-time recovery. "
    "Lost, they are made anew, and the ledger drops what is delivered again.",
    "EFSInBackupPlan": "The file system's own automatic backups are on in prod; the rule knows plans of this "
    "stack alone.",
    "ELBLoggingEnabled": "Its lines quote query strings, which name students. The gateway logs every request "
    "by its route.",
    "IAMNoInlinePolicy": "Each policy belongs to one role and is deployed and deleted with it; a managed one "
    "could be attached to another role.",
    "LambdaConcurrency": "Secrets Manager runs one rotation of a secret at a time, and a new account has no "
    "concurrency to reserve.",
    "LambdaDLQ": "Secrets Manager calls the functions, waits for the answer, repeats, and an alarm tells of "
    "errors; a queue would hold nothing.",
    "RDSEnhancedMonitoringEnabled": "Serverless v2 reports capacity, connections and waits; the operating "
    "system's processes would tell nothing to act on.",
    "RDSInBackupPlan": "Aurora's continuous backups reach back 35 days in prod, and a last snapshot outlives "
    "the stack; copies in another account are the operator's choice.",
    "SecretsManagerRotationEnabled": "Generated parts that nobody may read, the keyring (another one makes "
    "other pseudonyms), and the gateway's word (a new one is a deployment). Every password rotates.",
    "VPCDefaultSecurityGroupClosed": "Nothing is in it. Closing it needs a function with rights over "
    "security groups; an account's baseline closes it better.",
    "VPCNoUnrestrictedRouteToIGW": "The public subnets' own route, which NAT needs; tasks and stores stand "
    "in the private ones.",
}
"""By rule, without the pack's name."""


def findings(config: EnvConfig) -> dict[str, list[str]]:
    """What the pack finds: the constructs' paths by rule."""
    context: dict[str, Any] = json.loads((_FOLDER / "cdk.json").read_text())["context"]
    with TemporaryDirectory() as folder:
        app = App(context=context, outdir=folder, analytics_reporting=False)
        stack = EduAnalytics(
            app, config=config, env=Environment(account=config.account, region=config.region)
        )
        Validations.of(app).add_plugins(NIST80053R5Checks(app))
        report = Path(folder) / "validation-report.json"
        try:
            app.synth()
        except RuntimeError:  # what a finding does to a synthesis
            if not report.exists():
                raise
        (found,) = (r for r in json.loads(report.read_text())["pluginReports"] if r["pluginName"] == PACK)
    return {
        v["ruleName"].removeprefix(f"{PACK}-"): sorted(
            c["constructPath"].removeprefix(f"{stack.node.id}/") for c in v["violatingConstructs"]
        )
        for v in found["violations"]
    }


def table(found: Mapping[str, list[str]]) -> str:
    """The report, as Markdown."""
    rows = ["| rule | findings | answer |", "|---|---|---|"]
    rows += [f"| {rule} | {len(found[rule])} | {ANSWERS.get(rule, '**open**')} |" for rule in sorted(found)]
    return "\n".join(rows)


EXAMPLE = prod(
    certificate_arn="arn:aws:acm:ap-northeast-1:111122223333:certificate/3c1f0a52-0000-4000-8000-000000000000",
    internal_domain="api.internal.example.org",
)
"""What is judged: prod as it comes."""


if __name__ == "__main__":
    print(table(findings(EXAMPLE)))  # noqa: T201
