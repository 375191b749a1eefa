"""Seals dead-letter payloads: AES-256-GCM under a data key an hour, itself wrapped by a master key.

A worker can seal but, in AWS, only a job whose role may call kms:Decrypt in this context can open; one hour's
data key that leaks opens one process's hour.

    sealed = version u8 | length of the wrapped key u16 | wrapped key | nonce 12 | ciphertext
"""

import functools
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.domain.errors import LedgerUnavailable

CONTEXT = {"purpose": "dead-letters"}
"""KMS binds each wrapped data key to it, a role's rights may name it, and the audit trail shows it."""

_VERSION = 1
_NONCE = 12
_KEY_LIFE = timedelta(hours=1)
# KMS says that access is denied where it does not know the key that the bytes name.
_NOT_OURS = ("InvalidCiphertextException", "IncorrectKeyException", "AccessDeniedException")


class KeyWrapper(Protocol):
    """The master key: makes data keys, and opens them again."""

    def generate(self) -> tuple[bytes, bytes]:
        """A fresh 32-byte data key, plain and wrapped."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """The plain data key.

        Raises:
            ValueError: it was not wrapped by this master key.
            LedgerUnavailable: the key service is away.
        """


class EnvelopeVault:
    """The Vault port over a master key.

    Args:
        master: where data keys come from.
        now: the present; a data key is replaced after an hour.
    """

    def __init__(self, master: KeyWrapper, now: Callable[[], datetime]) -> None:
        self._master = master
        self._now = now
        self._key: tuple[datetime, bytes, bytes] | None = None
        # a redrive opens thousands of letters of a few hours; the key service is asked once for each hour
        self._unwrap = functools.lru_cache(maxsize=32)(master.unwrap)

    def seal(self, plain: bytes) -> bytes:
        key, wrapped = self._data_key()
        nonce = os.urandom(_NONCE)
        head = bytes([_VERSION]) + len(wrapped).to_bytes(2, "big") + wrapped
        return head + nonce + AESGCM(key).encrypt(nonce, plain, head)

    def open(self, sealed: bytes) -> bytes:
        if not sealed or sealed[0] != _VERSION:
            msg = "not a sealed payload of this version"
            raise ValueError(msg)
        end = 3 + int.from_bytes(sealed[1:3], "big")
        head, nonce, body = sealed[:end], sealed[end : end + _NONCE], sealed[end + _NONCE :]
        try:
            return AESGCM(self._unwrap(head[3:])).decrypt(nonce, body, head)
        except InvalidTag:
            msg = "the payload was altered or sealed under another master key"
            raise ValueError(msg) from None

    def _data_key(self) -> tuple[bytes, bytes]:
        now = self._now()
        # a clock that was set back must not lengthen the key's life
        if self._key is None or not timedelta(0) <= now - self._key[0] < _KEY_LIFE:
            plain, wrapped = self._master.generate()
            self._key = (now, plain, wrapped)
        return self._key[1], self._key[2]


class LocalMaster:
    """A master key in a file, for local mode."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def generate(self) -> tuple[bytes, bytes]:
        plain, nonce = AESGCM.generate_key(256), os.urandom(_NONCE)
        return plain, nonce + self._cipher.encrypt(nonce, plain, None)

    def unwrap(self, wrapped: bytes) -> bytes:
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], None)
        except InvalidTag:
            msg = "the data key was wrapped by another master key"
            raise ValueError(msg) from None


class KmsMaster:
    """A master key in AWS KMS.

    Args:
        client: a boto3 KMS client.
        key_id: the key's id, ARN or alias.
    """

    def __init__(self, client: Any, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def generate(self) -> tuple[bytes, bytes]:
        try:
            answer = self._client.generate_data_key(
                KeyId=self._key_id, KeySpec="AES_256", EncryptionContext=CONTEXT
            )
        except (BotoCoreError, ClientError) as error:
            msg = f"KMS gave no data key ({type(error).__name__})"
            raise LedgerUnavailable(msg) from None
        return answer["Plaintext"], answer["CiphertextBlob"]

    def unwrap(self, wrapped: bytes) -> bytes:
        try:
            answer = self._client.decrypt(
                CiphertextBlob=wrapped, KeyId=self._key_id, EncryptionContext=CONTEXT
            )
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
            if code in _NOT_OURS:
                msg = f"KMS does not open the data key: altered or of another master key ({code})"
                raise ValueError(msg) from None
            msg = f"KMS did not open the data key ({code or type(error).__name__})"
            raise LedgerUnavailable(msg) from None
        plain: bytes = answer["Plaintext"]
        return plain
