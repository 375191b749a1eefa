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
    """One action on one resource, as the template writes it."""

    action: str
    resource: Any


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
            for action in as_list(statement["Action"]):
                self._grants += [Grant(action, resource) for resource in as_list(statement["Resource"])]

    def lacks(self, calls: set[Call]) -> Iterator[str]:
        """A sentence for every call that is not allowed."""
        for call in sorted(self._with_implied(calls), key=str):
            if not any(self._covers(grant, call) for grant in self._grants):
                yield f"{self._task} may not {call.action} on {call.resource}"

    def never_needs(self, calls: set[Call]) -> Iterator[str]:
        """A sentence for every right that no call uses."""
        made = self._with_implied(calls)
        for grant in self._grants:
            if not self._unseen(grant) and not any(self._covers(grant, call) for call in made):
                yield f"{self._task} never needs {grant.action} on {json.dumps(grant.resource)}"

    def _with_implied(self, calls: set[Call]) -> set[Call]:
        return calls | {
            Call(call.caller, IN_THE_CALLERS_NAME[call.action], self._key)
            for call in calls
            if call.action in IN_THE_CALLERS_NAME
        }

    def _covers(self, grant: Grant, call: Call) -> bool:
        return grant.action == call.action and (
            call.resource is None or self._is(grant.resource, call.resource)
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
