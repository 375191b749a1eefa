"""Roles proven by use: what each task really calls, against what its role in the template allows.

The processes run as a container runs them: in `aws` mode, each with an access key id of its own, secrets from
Secrets Manager, dead letters under a KMS key. The emulator writes down who calls what.

A new job gets a line in JOB_RUNS; without it the comparison fails.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from tests.deploy.synthesis import Synthesis, as_list
from worker.local.cloud import aws_client
from worker.local.recording import Call
from worker.local.session import APPLICATION, STREAM, Session

JOB_RUNS: Mapping[str, Callable[[Session, Mapping[str, str]], object]] = {
    "migrate": lambda session, settings: session.run("migrate", settings=settings),
}
"""How each job of the platform is run so that it makes all of its calls."""

IN_THE_CALLERS_NAME = {
    "secretsmanager:GetSecretValue": "kms:Decrypt",
    "kinesis:GetRecords": "kms:Decrypt",
    "kinesis:PutRecords": "kms:GenerateDataKey",
}
"""Calls upon which AWS itself uses our key with the caller's rights, which no emulator does."""

UNSEEN = {
    ("elasticfilesystem:ClientMount", None): "ECS mounts the shared files when the task starts; no emulator",
    ("elasticfilesystem:ClientWrite", None): "a write to the mounted files is no call of the API",
    ("dynamodb:PutItem", ""): "KCL writes the leases of new shards; here they are there from the start",
    ("dynamodb:DeleteItem", ""): "the lease of a shard that was read to its end; no shard ends here",
    ("dynamodb:UpdateItem", "-CoordinatorState"): "the leader's heartbeat, every 30 seconds",
}
"""Rights that a short run without a reshard does not use, and when they are; tables by their names' ends."""


class Hosting:
    """Gives processes of a session the settings that their containers have."""

    def __init__(self, session: Session, platform: Synthesis) -> None:
        self._platform = platform
        endpoints, environment = session.stack.endpoints, session.environment
        kms = aws_client("kms", endpoints.aws_endpoint_url)
        self._key: str = kms.create_key()["KeyMetadata"]["KeyId"]
        database = conninfo_to_dict(endpoints.database_url)
        redis = urlsplit(endpoints.redis_url)
        user = {"username": database["user"], "password": "", "sslmode": "disable"}
        secrets = {
            "DATABASE_SECRET_ID": json.dumps({**database, **user}),
            "REDIS_SECRET_ID": json.dumps({"host": redis.hostname, "port": redis.port, "tls": False}),
            "IDENTITY_KEYS_SECRET_ID": Path(environment["IDENTITY_KEYS_FILE"]).read_text(),
            "GATEWAY_SECRET_ID": "the word of the gateway",
        }
        client = aws_client("secretsmanager", endpoints.aws_endpoint_url)
        for name, text in secrets.items():
            client.create_secret(Name=name, SecretString=text)

    def settings(self, task: str, caller: str | None = None) -> dict[str, str]:
        """What the container of a task is told, with this machine's names in place of the template's."""
        told = self._platform.environment(task)
        return {
            "MODE": "aws",
            "AWS_ACCESS_KEY_ID": caller or task,
            **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "IDENTITY_KEYS_FILE"), ""),
            **{name: name for name in told if name.endswith("_SECRET_ID")},
            "DEAD_LETTER_KEY_FILE": "",
            "DEAD_LETTER_KMS_KEY_ID": self._key,
        }

    def problems(self, task: str, calls: set[Call]) -> Iterator[str]:
        """What a task's role lacks, and what it allows for nothing."""
        role = Role(self._platform, task, self._key)
        made = role.with_implied({call for call in calls if call.caller == task})
        if not made:
            yield f"{task} called nothing"
        for call in sorted(made, key=str):
            if not any(role.covers(grant, call) for grant in role.grants):
                yield f"{task} may not {call.action} on {call.resource}"
        for grant in role.grants:
            action, resource = grant
            if not role.unseen(grant) and not any(role.covers(grant, call) for call in made):
                yield f"{task} never needs {action} on {json.dumps(resource)}"

    def lacking(self, task: str, caller: str, calls: set[Call]) -> Iterator[str]:
        """What a task's role lacks for another program that is run in its place."""
        for call in calls:
            if call.caller == caller:
                wanted = {call._replace(caller=task)}
                yield from (p for p in self.problems(task, wanted) if "may not" in p)


Grant = tuple[str, Any]


class Role:
    """A task's role: one grant for each action and resource."""

    def __init__(self, platform: Synthesis, task: str, key: str) -> None:
        self._platform = platform
        self._told = platform.environment(task)
        self._key = key
        self.grants: list[Grant] = []
        self._namespaces: set[str] = set()
        for statement in platform.statements(platform.task_role(task)):
            conditions = statement.get("Condition", {}).get("StringEquals", {})
            self._namespaces |= {conditions[name] for name in conditions if name == "cloudwatch:namespace"}
            for action in as_list(statement["Action"]):
                self.grants += [(action, resource) for resource in as_list(statement["Resource"])]

    def with_implied(self, calls: set[Call]) -> set[Call]:
        """The calls, and those that AWS makes upon them in the caller's name."""
        implied = {
            Call(call.caller, IN_THE_CALLERS_NAME[call.action], self._key)
            for call in calls
            if call.action in IN_THE_CALLERS_NAME
        }
        return calls | implied

    def covers(self, grant: Grant, call: Call) -> bool:
        """Whether the grant allows the call."""
        action, resource = grant
        return action == call.action and (call.resource is None or self._is(resource, call.resource))

    def unseen(self, grant: Grant) -> bool:
        """Whether the run cannot show that the grant is needed."""
        action, resource = grant
        return any(
            action == one and (table is None or self._is(resource, APPLICATION + table))
            for one, table in UNSEEN
        )

    def _is(self, resource: Any, local: str) -> bool:
        if local in self._told:
            # a secret, named like the variable that names it
            return bool(resource == self._told[local])
        if resource == "*":
            return {local.replace(APPLICATION, self._platform.config.application_name)} == self._namespaces
        if "Fn::GetAtt" not in resource:
            *_, last = resource["Fn::Join"][1]
            return bool(last == f"/index/{local}")
        made = self._platform.template["Resources"][resource["Fn::GetAtt"][0]]
        properties = made["Properties"]
        if made["Type"] == "AWS::KMS::Key":
            return local == self._key
        if made["Type"] == "AWS::Kinesis::Stream":
            return local.endswith(STREAM) and properties["Name"] == self._platform.config.stream_name
        table = local.replace(APPLICATION, self._platform.config.application_name)
        return bool(properties.get("TableName") == table)
