"""Which environment is meant: `STAGE` and `ENVIRONMENT_SUFFIX`, and what no repository can know."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config import ConfigError, EnvConfig, Producer, dev, prod

VARIABLES = {
    "CDK_DEFAULT_ACCOUNT": "account",
    "CERTIFICATE_ARN": "certificate_arn",
    "INTERNAL_DOMAIN": "internal_domain",
    "ALARM_EMAIL": "alarm_email",
    "IMAGE": "image",
}
"""Variables and the fields of EnvConfig that they fill."""


def choose(environment: Mapping[str, str]) -> EnvConfig:
    """The environment that the variables name.

    Raises:
        ConfigError: it cannot be deployed.
    """
    stage = environment.get("STAGE", "dev")
    if stage not in ("dev", "prod"):
        raise ConfigError([f"STAGE {stage!r}: dev or prod"])
    choices: dict[str, object] = {
        field: environment[variable] for variable, field in VARIABLES.items() if environment.get(variable)
    }
    if days := environment.get("RETENTION_DAYS"):
        if not days.isdecimal():
            raise ConfigError([f"RETENTION_DAYS {days!r}: a whole number of days"])
        choices["retention_days"] = int(days)
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
    return make(environment.get("ENVIRONMENT_SUFFIX") or stage, **choices)
