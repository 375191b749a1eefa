"""The projection's password: the user holds the old and the new one at once, so that no connect ever fails.

The old password goes at the next rotation, by when every task has long read the secret again.
"""

import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from deploy.rotating.steps import RotationError, Secret, rotate, with_new_password

_SECONDS = 5.0
_ACTIVE = "active"


def handler(event: dict[str, str], _context: object) -> None:
    """What Lambda calls."""
    import boto3  # noqa: PLC0415 - the runtime's own, and absent where only the steps are imported

    target = RedisUser(boto3.client("elasticache"), os.environ["USER_ID"], time.sleep)
    rotate(event, boto3.client("secretsmanager"), target)


class RedisUser:
    """The user in ElastiCache.

    Args:
        client: a boto3 ElastiCache client.
        user_id: of the user, which is not its name.
        sleep: waits so many seconds.
        patience: seconds that a change of the user may take.
    """

    def __init__(
        self, client: Any, user_id: str, sleep: Callable[[float], None], patience: float = 240
    ) -> None:
        self._client = client
        self._user_id = user_id
        self._sleep = sleep
        self._patience = patience

    def renew(self, current: Secret) -> Secret:
        return with_new_password(current)

    def set(self, current: Secret, pending: Secret) -> None:
        self._settle()
        passwords = list(dict.fromkeys((current["password"], pending["password"])))
        self._client.modify_user(
            UserId=self._user_id, AuthenticationMode={"Type": "password", "Passwords": passwords}
        )
        self._settle()

    def test(self, pending: Secret) -> None:
        authenticate(pending)

    def _settle(self) -> None:
        waited = 0.0
        while True:
            (user,) = self._client.describe_users(UserId=self._user_id)["Users"]
            if user["Status"] == _ACTIVE:
                return
            if waited >= self._patience:
                raise RotationError(f"the user is {user['Status']} and does not become active")
            self._sleep(_SECONDS)
            waited += _SECONDS


def authenticate(secret: Secret) -> None:
    """Enter as the secret's user; the protocol's one command needed here is not worth a library.

    Raises:
        RotationError: the server refuses the password; its answer is not repeated.
    """
    with socket.create_connection((secret["host"], int(secret["port"])), timeout=_SECONDS) as plain:
        if secret.get("tls", True):
            with ssl.create_default_context().wrap_socket(plain, server_hostname=secret["host"]) as secure:
                _enter(secure, secret)
        else:
            _enter(plain, secret)


def _enter(connection: socket.socket, secret: Secret) -> None:
    words = ("AUTH", secret["username"], secret["password"])
    sent = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    connection.sendall(sent.encode())
    with connection.makefile("rb") as answer:
        if not answer.readline().startswith(b"+OK"):
            raise RotationError("the projection refuses the pending password")
