"""The CDK app: one environment's stack, with the checks that its synthesis must pass."""

import json
import os
from pathlib import Path
from typing import Any

from aws_cdk import App, CloudFormationValidatePlugin, Environment, ValidationRuleSource, Validations
from cdk_nag import AwsSolutionsChecks

from deploy.choosing import choose
from deploy.config import EnvConfig
from deploy.stack import EduAnalytics

_FOLDER = Path(__file__).parent


def build(config: EnvConfig, *, outdir: str | None = None) -> App:
    """The app of one environment; its synthesis fails on any finding that nobody has acknowledged."""
    # python and pytest do not read cdk.json; without its flags they would get another template than the CLI
    context: dict[str, Any] = json.loads((_FOLDER / "cdk.json").read_text())["context"]
    app = App(context=context, outdir=outdir, analytics_reporting=False)
    EduAnalytics(app, config=config, env=Environment(account=config.account, region=config.region))
    rules = ValidationRuleSource(name="edu-analytics", content=(_FOLDER / "rules.guard").read_text())
    Validations.of(app).add_plugins(
        AwsSolutionsChecks(app), CloudFormationValidatePlugin(guard_rules=[rules])
    )
    return app


if __name__ == "__main__":
    build(choose(os.environ)).synth()
