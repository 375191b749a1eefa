"""Where credentials and keys come from: Secrets Manager in AWS, files and URLs locally.

Everything is read when asked, never kept: a rotated password is found by the next connect.
"""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import orjson
from botocore.exceptions import BotoCoreError, ClientError
from psycopg.conninfo import make_conninfo

from worker.domain.errors import Fatal, Unavailable
from worker.domain.identity import Keyring

_MASTER_BYTES = 32
_CURRENT = "AWSCURRENT"  # the default, said aloud because not every emulator knows it


class SecretsManager:
    """Reads secrets by id.

    Args:
        client: a boto3 Secrets Manager client.
        unavailable: the error of the port that the secret opens.
    """

    def __init__(self, client: Any, unavailable: type[Unavailable]) -> None:
        self._client = client
        self._unavailable = unavailable

    def text(self, secret_id: str) -> str:
        """The secret's current value.

        Raises:
            Unavailable: Secrets Manager did not give it; a wrong id looks the same and is reported the same.
        """
        try:
            value: str = self._client.get_secret_value(SecretId=secret_id, VersionStage=_CURRENT)[
                "SecretString"
            ]
        except (BotoCoreError, ClientError) as error:
            msg = f"Secrets Manager did not give {secret_id} ({type(error).__name__})"
            raise self._unavailable(msg) from None
        return value

    def database(self, secret_id: str) -> str:
        """A connection string from a secret, see `conninfo`."""
        return conninfo(self.text(secret_id))

    def redis(self, secret_id: str) -> str:
        """A URL from host, port, username, password and tls."""
        secret = orjson.loads(self.text(secret_id))
        scheme = "rediss" if secret.get("tls", True) else "redis"
        user, password = quote(secret.get("username", ""), ""), quote(secret.get("password", ""), "")
        return f"{scheme}://{user}:{password}@{secret['host']}:{secret.get('port', 6379)}/0"


def conninfo(text: str) -> str:
    """A connection string from the fields RDS keeps: host, port, dbname, username, password.

    A field `sslmode` of libpq's values may be added; without it the connection is encrypted or refused.

    Raises:
        Fatal: the text is not such a secret; says nothing of its content.
    """
    try:
        secret = orjson.loads(text)
        return make_conninfo(
            host=secret["host"],
            port=secret.get("port", 5432),
            dbname=secret["dbname"],
            user=secret["username"],
            password=secret["password"],
            sslmode=secret.get("sslmode", "require"),
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = f"a database secret cannot be read ({type(error).__name__}): it is JSON of host, dbname, ..."
        raise Fatal(msg) from None


_keyring = msgspec.json.Decoder(Keyring)


def keyring(text: str) -> Keyring:
    """The identity keys of a secret or file.

    Raises:
        Fatal: it is not a keyring; says what is wrong, never a byte of it.
    """
    try:
        return _keyring.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        reason = "it is not JSON" if type(error) is msgspec.DecodeError else str(error)
        msg = f"the identity keyring cannot be read: {reason}"
        raise Fatal(msg) from None


def master_key(path: str) -> bytes:
    """The 32 bytes of a local master key, kept as base64.

    Raises:
        Fatal: the file is missing or holds something else.
    """
    try:
        key = base64.b64decode(Path(path).read_text(), validate=True)
    except (OSError, ValueError) as error:
        msg = f"the dead-letter key cannot be read ({type(error).__name__}): {path}"
        raise Fatal(msg) from None
    if len(key) != _MASTER_BYTES:
        msg = f"the dead-letter key must be {_MASTER_BYTES} bytes of base64: {path}"
        raise Fatal(msg)
    return key
