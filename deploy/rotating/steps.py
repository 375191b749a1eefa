"""The four steps of a rotation, each safe to run again.

Secrets Manager calls a function once a step and repeats a step whose answer it did not get, so each of them
first looks at what is already done. Nothing here logs: an error's text could hold what it was about.
"""

import json
import secrets
import string
from collections.abc import Mapping
from typing import Any, Protocol

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
PASSWORD_CHARACTERS = 48

Secret = dict[str, Any]


class RotationError(Exception):
    """The rotation cannot go on; Secrets Manager reports it and tries again."""


class Target(Protocol):
    """What the password opens."""

    def renew(self, current: Secret) -> Secret:
        """What the pending secret shall be."""

    def set(self, current: Secret, pending: Secret) -> None:
        """Make the pending password valid; may be called again."""

    def test(self, pending: Secret) -> None:
        """Enter with it; raises when that fails."""


def new_password() -> str:
    """Letters and digits, which need no quoting in a URL, in SQL or in JSON."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(PASSWORD_CHARACTERS))


def with_new_password(current: Secret) -> Secret:
    """The same secret with another password."""
    return {**current, "password": new_password()}


def rotate(event: Mapping[str, str], client: Any, target: Target) -> None:
    """Run one step.

    Args:
        event: the secret's ARN, the new version's token and the step.
        client: a boto3 Secrets Manager client.
        target: what the password opens.

    Raises:
        RotationError: the version is not one that is being rotated.
    """
    secret_id, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    stages: Mapping[str, list[str]] = client.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    if token not in stages:
        raise RotationError("Secrets Manager does not know this version of the secret")
    if CURRENT in stages[token]:
        return
    if PENDING not in stages[token]:
        raise RotationError("this version of the secret is not the pending one")
    if step == "createSecret":
        _create(client, secret_id, token, target)
    elif step == "setSecret":
        target.set(read(client, secret_id, CURRENT), read(client, secret_id, PENDING, token))
    elif step == "testSecret":
        target.test(read(client, secret_id, PENDING, token))
    elif step == "finishSecret":
        _finish(client, secret_id, token, stages)
    else:
        raise RotationError("Secrets Manager asked for a step that rotation does not have")


def _create(client: Any, secret_id: str, token: str, target: Target) -> None:
    try:
        read(client, secret_id, PENDING, token)
    except client.exceptions.ResourceNotFoundException:
        pending = target.renew(read(client, secret_id, CURRENT))
        client.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=token,
            SecretString=json.dumps(pending),
            VersionStages=[PENDING],
        )


def _finish(client: Any, secret_id: str, token: str, stages: Mapping[str, list[str]]) -> None:
    current = next(version for version, labels in stages.items() if CURRENT in labels)
    client.update_secret_version_stage(
        SecretId=secret_id, VersionStage=CURRENT, MoveToVersionId=token, RemoveFromVersionId=current
    )


def read(client: Any, secret_id: str, stage: str, token: str | None = None) -> Secret:
    """A version of a secret."""
    version = {} if token is None else {"VersionId": token}
    answer = client.get_secret_value(SecretId=secret_id, VersionStage=stage, **version)
    found: Secret = json.loads(answer["SecretString"])
    return found
