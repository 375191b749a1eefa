"""The password of the ledger's owner: one user, changed in place.

Open connections live on. A connect in the second between the change and the last step is refused; the owner
serves nobody, so only a migration or a job could meet that second, and is started again. The user that serves
is rotated by `application.py`, without such a second.
"""

import base64
import hashlib
import hmac
import os
import ssl
from collections.abc import Callable
from typing import Any

from deploy.rotating.steps import RotationError, Secret, rotate, with_new_password

_AUTHORITIES = "/etc/pki/tls/cert.pem"
"""Where Lambda's runtimes keep the authorities they trust, those of RDS included."""

_SECONDS = 5
_SALT_BYTES, _ITERATIONS = 16, 4096


def handler(event: dict[str, str], _context: object) -> None:
    """What Lambda calls."""
    import boto3  # noqa: PLC0415 - the runtime's own, and absent where only the steps are imported

    rotate(event, boto3.client("secretsmanager"), Database(connect))


def connect(secret: Secret) -> Any:
    """A connection with the secret's user and password, under TLS whose certificate and name are checked."""
    from pg8000.native import Connection  # noqa: PLC0415 - packed beside the function

    return Connection(
        secret["username"],
        host=secret["host"],
        port=int(secret.get("port", 5432)),
        database=secret["dbname"],
        password=secret["password"],
        timeout=_SECONDS,
        ssl_context=ssl.create_default_context(cafile=_AUTHORITIES),
    )


def verifier(password: str) -> str:
    """What PostgreSQL stores of a password; sent in its place, so that no log can hold the password."""
    salt = os.urandom(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt_text}${stored_text}:{server_text}"


class Database:
    """The owner in PostgreSQL, who changes the own password.

    Args:
        connect: opens a connection with a secret's user and password, or raises.
    """

    def __init__(self, connect: Callable[[Secret], Any]) -> None:
        self._connect = connect

    def renew(self, current: Secret) -> Secret:
        return with_new_password(current)

    def set(self, current: Secret, pending: Secret) -> None:
        if self._opens(pending):
            return
        if any(current[field] != pending[field] for field in ("username", "host", "dbname")):
            raise RotationError("the pending secret names another user or database than the current one")
        from pg8000.native import identifier, literal  # noqa: PLC0415 - packed beside the function

        connection = self._connect(current)
        try:
            user, proof = identifier(pending["username"]), literal(verifier(pending["password"]))
            connection.run(f"ALTER ROLE {user} PASSWORD {proof}")
        finally:
            connection.close()

    def test(self, pending: Secret) -> None:
        connection = self._connect(pending)
        try:
            connection.run("SELECT 1")
        finally:
            connection.close()

    def _opens(self, secret: Secret) -> bool:
        try:
            self._connect(secret).close()
        except Exception:  # whatever refused it, the current password has to do
            return False
        return True
