"""A Secrets Manager that holds one secret: versions, stages, and a pending version without a value."""

import json
from typing import Any

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Missing(Exception):
    """There is no such version, or it has no value."""


class _Exceptions:
    ResourceNotFoundException = Missing


class OneSecret:
    """The calls of the boto3 client that a rotation makes."""

    exceptions = _Exceptions

    def __init__(self, secret: dict[str, Any]) -> None:
        self.texts: dict[str, str | None] = {"first": json.dumps(secret)}
        self.stages: dict[str, list[str]] = {"first": [CURRENT]}

    def begin(self, token: str) -> None:
        """What Secrets Manager does before it calls the first step."""
        self.texts[token] = None
        self.stages[token] = [PENDING]

    def event(self, token: str, step: str) -> dict[str, str]:
        return {"SecretId": "the-secret", "ClientRequestToken": token, "Step": step}

    def at(self, stage: str) -> dict[str, Any]:
        version = next(version for version, labels in self.stages.items() if stage in labels)
        found: dict[str, Any] = json.loads(self.texts[version] or "null")
        return found

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        return {"VersionIdsToStages": {version: list(labels) for version, labels in self.stages.items()}}

    def get_secret_value(
        self, SecretId: str, VersionStage: str, VersionId: str | None = None
    ) -> dict[str, str]:
        for version, labels in self.stages.items():
            if VersionStage in labels and VersionId in (None, version):
                text = self.texts[version]
                if text is not None:
                    return {"SecretString": text}
        raise Missing

    def put_secret_value(
        self, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> None:
        self.texts[ClientRequestToken] = SecretString
        self.stages[ClientRequestToken] = VersionStages

    def update_secret_version_stage(
        self, SecretId: str, VersionStage: str, MoveToVersionId: str, RemoveFromVersionId: str
    ) -> None:
        assert VersionStage in self.stages[RemoveFromVersionId]
        for labels in self.stages.values():
            if PREVIOUS in labels:
                labels.remove(PREVIOUS)
        self.stages[RemoveFromVersionId].remove(VersionStage)
        self.stages[RemoveFromVersionId].append(PREVIOUS)
        self.stages[MoveToVersionId].append(VersionStage)
