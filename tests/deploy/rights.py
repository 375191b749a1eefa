"""Roles proven by use: the calls that a task is seen to make, against what its role in the template allows.

Every call must be allowed, and every action a role allows on every resource must be seen used, or stand in
UNSEEN or UNSEEN_OF with the reason. The calls come from the emulator's record (worker/local/recording.py), in
which a task is told by its access key id and a secret by the variable that names it.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.deploy.synthesis import Synthesis, as_list
from worker.local.recording import Call
from worker.local.session import APPLICATION, STREAM

IN_THE_CALLERS_NAME = {
    "secretsmanager:GetSecretValue": "kms:Decrypt",
    "kinesis:GetRecords": "kms:Decrypt",
    "kinesis:PutRecords": "kms:GenerateDataKey",
    "dynamodb:GetItem": "kms:Decrypt",
    "dynamodb:Query": "kms:Decrypt",
    "dynamodb:Scan": "kms:Decrypt",
    "dynamodb:UpdateItem": "kms:Decrypt",
}
"""Calls upon which AWS itself uses our key with the caller's rights, which no emulator does."""

UNSEEN = {
    ("elasticfilesystem:ClientMount", None): "ECS mounts the shared files when the task starts; no emulator",
    ("elasticfilesystem:ClientWrite", None): "a write to the mounted files is no call of the API",
    ("dynamodb:PutItem", ""): "KCL writes the leases of new shards; here they are there from the start",
    ("dynamodb:DeleteItem", ""): "the lease of a shard that was read to its end; no shard ends here",
    ("dynamodb:UpdateItem", "-CoordinatorState"): "the leader's heartbeat, every 30 seconds",
}
"""Rights that a short run without a reshard need not use, and when they are; tables by their names' ends."""

UNSEEN_OF = {
    ("redrive", "kms:GenerateDataKey"): "an event that passed and is refused all the same, because its "
    "student was erased in that moment or its key collides, is buried anew",
}
"""Rights of one task that it need not use, and when it does."""


class Grant(NamedTuple):
    """One action on one resource, as the template writes it; `via` a service alone, in the task's name."""

    action: str
    resource: Any
    via: str | None = None


class Use(NamedTuple):
    """One call, made by the task itself or, with `via`, by a service of AWS in its name."""

    call: Call
    via: str | None = None


class Role:
    """What a task may do.

    Args:
        platform: whose template is asked.
        task: its name.
        key: the local name of the platform's key.
    """

    def __init__(self, platform: Synthesis, task: str, key: str) -> None:
        self._platform = platform
        self._task = task
        self._key = key
        self._told = platform.environment(task)
        self._grants: list[Grant] = []
        self._namespaces: set[str] = set()
        for statement in platform.statements(platform.task_role(task)):
            conditions = statement.get("Condition", {}).get("StringEquals", {})
            self._namespaces |= {conditions[name] for name in conditions if name == "cloudwatch:namespace"}
            services = [name.partition(".")[0] for name in as_list(conditions.get("kms:ViaService", []))]
            self._grants += [
                Grant(action, resource, via)
                for action in as_list(statement["Action"])
                for resource in as_list(statement["Resource"])
                for via in services or [None]
            ]

    def lacks(self, calls: set[Call]) -> Iterator[str]:
        """A sentence for every call that is not allowed."""
        for use in sorted(self._uses(calls), key=str):
            if not any(self._covers(grant, use) for grant in self._grants):
                yield f"{self._task} may not {use.call.action} on {use.call.resource}{_by(use.via)}"

    def never_needs(self, calls: set[Call]) -> Iterator[str]:
        """A sentence for every right that no call uses."""
        made = self._uses(calls)
        for grant in self._grants:
            if not self._unseen(grant) and not any(self._covers(grant, use) for use in made):
                needless = f"{grant.action} on {json.dumps(grant.resource)}{_by(grant.via)}"
                yield f"{self._task} never needs {needless}"

    def _uses(self, calls: set[Call]) -> set[Use]:
        return {Use(call) for call in calls} | {
            Use(Call(call.caller, IN_THE_CALLERS_NAME[call.action], self._key), call.action.partition(":")[0])
            for call in calls
            if call.action in IN_THE_CALLERS_NAME
        }

    def _covers(self, grant: Grant, use: Use) -> bool:
        named = use.call.resource
        return (grant.action, grant.via) == (use.call.action, use.via) and (
            named is None or self._is(grant.resource, named)
        )

    def _unseen(self, grant: Grant) -> bool:
        return (self._task, grant.action) in UNSEEN_OF or any(
            grant.action == action and (table is None or self._is(grant.resource, APPLICATION + table))
            for action, table in UNSEEN
        )

    def _is(self, resource: Any, local: str) -> bool:
        """Whether a resource of the template is the one that this machine calls so."""
        if local in self._told:
            return bool(resource == self._told[local])
        there = local.replace(APPLICATION, self._platform.config.application_name)
        if resource == "*":
            return {there} == self._namespaces
        if "Fn::Join" in resource:
            return bool(resource["Fn::Join"][1][-1] == f"/index/{local}")
        if "Fn::GetAtt" not in resource:
            return False
        made = self._platform.template["Resources"][resource["Fn::GetAtt"][0]]
        match made["Type"]:
            case "AWS::KMS::Key":
                return local == self._key
            case "AWS::Kinesis::Stream":
                return local == STREAM
            case _:
                return bool(made["Properties"].get("TableName") == there)


def _by(service: str | None) -> str:
    return f" by {service}" if service else ""
