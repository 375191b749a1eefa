"""Processes run as containers run them, so that their calls of AWS are those of a deployment.

In `aws` mode, each with an access key id of its own, secrets from Secrets Manager, dead letters under KMS.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from tests.deploy.rights import Role
from tests.deploy.synthesis import Synthesis
from worker.local.cloud import aws_client
from worker.local.recording import Call
from worker.local.session import Session

JOB_RUNS: Mapping[str, Callable[[Session, Mapping[str, str]], object]] = {
    "migrate": lambda session, settings: session.run("migrate", settings=settings),
    "check": lambda session, settings: session.run("check", settings=settings),
    "rebuild": lambda session, settings: session.run(module="scripts.rebuild", settings=settings),
}
"""How each job of the platform is run so that it makes all of its calls; a new job gets a line."""

_LOCAL = ("DATABASE_URL", "REDIS_URL", "IDENTITY_KEYS_FILE", "DEAD_LETTER_KEY_FILE", "TOKEN_ISSUER")


class Hosting:
    """Gives processes of a session the settings of their containers, and judges their calls."""

    def __init__(self, session: Session, platform: Synthesis) -> None:
        self._platform = platform
        endpoints, environment = session.stack.endpoints, session.environment
        kms = aws_client("kms", endpoints.aws_endpoint_url)
        self._key: str = kms.create_key()["KeyMetadata"]["KeyId"]
        database, redis = conninfo_to_dict(endpoints.database_url), urlsplit(endpoints.redis_url)
        user = {"username": database["user"], "password": "", "sslmode": "disable"}
        secrets = {
            "DATABASE_SECRET_ID": json.dumps({**database, **user}),
            "REDIS_SECRET_ID": json.dumps({"host": redis.hostname, "port": redis.port, "tls": False}),
            "IDENTITY_KEYS_SECRET_ID": Path(environment["IDENTITY_KEYS_FILE"]).read_text(),
            "GATEWAY_SECRET_ID": "the word of the gateway",
        }
        self._owner = secrets["DATABASE_SECRET_ID"]
        client = aws_client("secretsmanager", endpoints.aws_endpoint_url)
        for name, text in secrets.items():
            client.create_secret(Name=name, SecretString=text)

    def settings(self, task: str) -> dict[str, str]:
        """What the container of a task is told, with this machine's names in place of the template's."""
        told = self._platform.environment(task)
        return {
            **{name: "" for name in _LOCAL if name not in told},
            **{name: name for name in told if name.endswith("_SECRET_ID")},
            "MODE": "aws",
            "AWS_ACCESS_KEY_ID": task,
            "DEAD_LETTER_KMS_KEY_ID": self._key,
            **({"OWNER_SECRET": self._owner} if task == "migrate" else {}),
        }

    def problems(self, task: str, calls: set[Call]) -> list[str]:
        """What a task's role lacks, and what it allows for nothing."""
        own = {call for call in calls if call.caller == task}
        role = Role(self._platform, task, self._key)
        return [*role.lacks(own), *role.never_needs(own)]
