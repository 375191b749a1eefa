"""The CDK app: which environment, with which checks.

`ENVIRONMENT_SUFFIX` and `STAGE` choose; the other variables are what a repository cannot know.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App, Environment, Validations
from cdk_nag import AwsSolutionsChecks

from deploy.config import EnvConfig, Producer, dev, prod
from deploy.stack import EduAnalytics

_FOLDER = Path(__file__).parent


def build(config: EnvConfig, *, outdir: str | None = None) -> App:
    """The app of one environment; its synthesis fails on any finding that nobody has acknowledged."""
    # python and pytest do not read cdk.json; without its flags they would get another template than the CLI
    context: dict[str, Any] = json.loads((_FOLDER / "cdk.json").read_text())["context"]
    app = App(context=context, outdir=outdir, analytics_reporting=False)
    EduAnalytics(app, config=config, env=Environment(account=config.account, region=config.region))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def choose(environment: Mapping[str, str]) -> EnvConfig:
    """The environment that the variables name.

    Raises:
        ConfigError: it cannot be deployed.
    """
    stage = environment.get("STAGE", "dev")
    choices: dict[str, object] = {
        field: value
        for field, variable in (
            ("account", "CDK_DEFAULT_ACCOUNT"),
            ("certificate_arn", "CERTIFICATE_ARN"),
            ("internal_domain", "INTERNAL_DOMAIN"),
            ("alarm_email", "ALARM_EMAIL"),
            ("image", "IMAGE"),
        )
        if (value := environment.get(variable))
    }
    if path := environment.get("PRODUCERS_FILE"):
        bound: dict[str, Any] = json.loads(Path(path).read_text())
        choices["producers"] = tuple(
            Producer(
                role_arn=arn,
                realm=its["realm"],
                sources=tuple(its["sources"]) if its.get("sources") is not None else None,
            )
            for arn, its in bound.items()
        )
    make = prod if stage == "prod" else dev
    return make(environment.get("ENVIRONMENT_SUFFIX", stage), **choices)


if __name__ == "__main__":
    build(choose(os.environ)).synth()
