"""The password of worker and API: two users that take turns, so that no connect is ever refused.

A rotation gives the other user a new password and then lets the secret name that user. Whoever read the
secret before goes on with a user that is still good until the next rotation, by when every task has long
read it again. Both are members of one role that holds the rights, so a second user doubles no grant. Only the
owner can change them: they have no rights over each other.
"""

import os
from collections.abc import Callable
from typing import Any

from deploy.rotating.database import connect, verifier
from deploy.rotating.names import APPLICATION_ROLE, APPLICATION_USERS
from deploy.rotating.steps import CURRENT, RotationError, Secret, read, rotate, with_new_password


def handler(event: dict[str, str], _context: object) -> None:
    """What Lambda calls."""
    import boto3  # noqa: PLC0415 - the runtime's own, and absent where only the steps are imported

    client = boto3.client("secretsmanager")
    owner_id = os.environ["OWNER_SECRET_ID"]
    rotate(event, client, Application(connect, lambda: read(client, owner_id, CURRENT)))


class Application:
    """The two users in PostgreSQL.

    Args:
        connect: opens a connection with a secret's user and password, or raises.
        owner: gives the secret of the database's owner.
    """

    def __init__(self, connect: Callable[[Secret], Any], owner: Callable[[], Secret]) -> None:
        self._connect = connect
        self._owner = owner

    def renew(self, current: Secret) -> Secret:
        _check(current)
        first, second = APPLICATION_USERS
        return {**with_new_password(current), "username": second if current["username"] == first else first}

    def set(self, current: Secret, pending: Secret) -> None:
        _check(pending)
        if pending["username"] == current["username"]:
            raise RotationError("the pending secret names the user that is in use")
        owner = self._owner()
        if any(current[field] != other[field] for field in ("host", "dbname") for other in (pending, owner)):
            raise RotationError(
                "the pending secret or the owner's names another database than the current one"
            )
        from pg8000.native import identifier, literal  # noqa: PLC0415 - packed beside the function

        user, proof = identifier(pending["username"]), literal(verifier(pending["password"]))
        connection = self._connect(owner)
        try:
            known = connection.run("SELECT FROM pg_roles WHERE rolname = :name", name=pending["username"])
            if not known:
                connection.run(f"CREATE ROLE {user}")
            connection.run(f"GRANT {identifier(APPLICATION_ROLE)} TO {user}")
            connection.run(f"ALTER ROLE {user} LOGIN PASSWORD {proof}")
        finally:
            connection.close()

    def test(self, pending: Secret) -> None:
        connection = self._connect(pending)
        try:
            # more than a connect: the rights come with the role
            connection.run("SELECT epoch FROM ledger")
        finally:
            connection.close()


def _check(secret: Secret) -> None:
    if secret["username"] not in APPLICATION_USERS:
        raise RotationError("the secret names a user that is none of the two")
