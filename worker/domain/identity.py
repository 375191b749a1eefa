"""Student identity at the edge: a keyed pseudonym, and the id itself sealed for those who may see it.

No plain student id is written anywhere. The pseudonym is an HMAC under a managed key, so it cannot be
recomputed from a list of student numbers; the sealed id is encrypted deterministically (AES-SIV, RFC 5297),
so the same id always seals to the same bytes and a table holds it once. The realm says who issued the id:
two sources of one realm speak of one student.
"""

import base64
import binascii
import functools
import hashlib
import hmac
from typing import NamedTuple
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from worker.domain.event import length_prefixed

_SEAL_VERSION = 1
_PSEUDONYM_BYTES = 32
_SEAL_BYTES = 64
_KID_BYTES = 255


class Key(msgspec.Struct, frozen=True):
    """One generation of secrets: 32 bytes for the pseudonym's HMAC, 64 bytes for AES-256-SIV."""

    pseudonym: bytes
    seal: bytes

    def __post_init__(self) -> None:
        if len(self.pseudonym) != _PSEUDONYM_BYTES or len(self.seal) != _SEAL_BYTES:
            msg = f"an identity key needs {_PSEUDONYM_BYTES} bytes of pseudonym and {_SEAL_BYTES} of seal"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return "Key(********)"


class Keyring(msgspec.Struct, frozen=True):
    """All generations by key id (`kid`), and the one that writes. Base64 in JSON."""

    current: str
    keys: dict[str, Key]

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            msg = f"the current identity key {self.current!r} is not in the keyring"
            raise ValueError(msg)
        if any(len(kid.encode()) > _KID_BYTES for kid in self.keys):
            msg = f"the id of an identity key has at most {_KID_BYTES} bytes"
            raise ValueError(msg)


class Identified(NamedTuple):
    """A student without a name: what travels, and what opens the name for those who may."""

    student_key: UUID
    sealed_id: bytes


class SealBroken(Exception):
    """The sealed id was not made with a key of this keyring, or it was altered."""


class Identity:
    """Turns student ids into pseudonyms and sealed ids, and sealed ids back.

    Args:
        keyring: the keys.
        remembered: how many students are known again, for whoever reads each of them many times over.
    """

    def __init__(self, keyring: Keyring, remembered: int = 0) -> None:
        self._keyring = keyring
        self._remembered = remembered
        self._identify = functools.lru_cache(remembered)(self._identified) if remembered else self._identified
        self._seals = {kid: AESSIV(key.seal) for kid, key in keyring.keys.items()}

    def __reduce__(self) -> tuple[type["Identity"], tuple[Keyring, int]]:
        """For a process of our own that shall do the same; only a pipe between the two sees the keys."""
        return Identity, (self._keyring, self._remembered)

    def identify(self, student_id: str, realm: str) -> Identified:
        """The pseudonym (first 16 bytes of HMAC-SHA256) and the sealed id, under the current key."""
        return self._identify(student_id, realm)

    def _identified(self, student_id: str, realm: str) -> Identified:
        return self.identify_under(self._keyring.current, student_id, realm)

    def identify_under(self, kid: str, student_id: str, realm: str) -> Identified:
        """The same under a given key of the ring."""
        sealed = self._seals[kid].encrypt(student_id.encode(), [realm.encode()])
        key = _pseudonym(self._keyring.keys[kid], student_id, realm)
        return Identified(key, _frame(kid, realm) + sealed)

    def pseudonym(self, student_id: str, realm: str) -> UUID:
        """The pseudonym alone, for who only looks a student up."""
        return _pseudonym(self._keyring.keys[self._keyring.current], student_id, realm)

    @property
    def current(self) -> str:
        """The id of the key that writes."""
        return self._keyring.current

    @property
    def kids(self) -> frozenset[str]:
        """The ids of all keys of the ring."""
        return frozenset(self._keyring.keys)

    def pseudonyms(self, student_id: str, realm: str) -> frozenset[UUID]:
        """The student's pseudonyms under every key of the ring."""
        return frozenset(_pseudonym(key, student_id, realm) for key in self._keyring.keys.values())

    def kin(self, sealed_id: bytes) -> frozenset[UUID]:
        """All pseudonyms of the student in a sealed id; none where the ring has one key or cannot open it."""
        if len(self._keyring.keys) == 1:
            return frozenset()
        try:
            realm, student_id = self.open(sealed_id)
        except SealBroken:
            return frozenset()
        return self.pseudonyms(student_id, realm)

    def open(self, sealed_id: bytes) -> tuple[str, str]:
        """The realm and the student id inside a sealed id.

        Raises:
            SealBroken: no key of the keyring opens it.
        """
        try:
            kid, realm, sealed = _unframe(sealed_id)
            return realm, self._seals[kid].decrypt(sealed, [realm.encode()]).decode()
        except (InvalidTag, KeyError, ValueError, IndexError) as error:
            raise SealBroken from error


def kid_of(sealed_id: bytes) -> str:
    """The id of the key that a sealed id was made with.

    Raises:
        SealBroken: it is no sealed id.
    """
    return _outside(sealed_id)[0]


def realm_of(sealed_id: bytes) -> str:
    """The realm that issued the id inside.

    Raises:
        SealBroken: it is no sealed id.
    """
    return _outside(sealed_id)[1]


def _outside(sealed_id: bytes) -> tuple[str, str]:
    """What a sealed id tells without being opened: key and realm."""
    try:
        return _unframe(sealed_id)[:2]
    except (ValueError, IndexError) as error:
        raise SealBroken from error


def text(sealed_id: bytes) -> str:
    """A sealed id as it travels in JSON: base64url without padding."""
    return base64.urlsafe_b64encode(sealed_id).decode().rstrip("=")


def from_text(sealed: str) -> bytes:
    """Read what `text` wrote.

    Raises:
        ValueError: it is not base64url.
    """
    standard = sealed.replace("-", "+").replace("_", "/") + "=" * (-len(sealed) % 4)
    return binascii.a2b_base64(standard, strict_mode=True)


def _pseudonym(key: Key, student_id: str, realm: str) -> UUID:
    message = length_prefixed(realm.encode(), student_id.encode())
    return UUID(bytes=hmac.digest(key.pseudonym, message, hashlib.sha256)[:16])


def _frame(kid: str, realm: str) -> bytes:
    k, r = kid.encode(), realm.encode()
    return bytes([_SEAL_VERSION, len(k)]) + k + len(r).to_bytes(2, "big") + r


def _unframe(sealed_id: bytes) -> tuple[str, str, bytes]:
    if sealed_id[0] != _SEAL_VERSION:
        msg = "unknown version of a sealed id"
        raise ValueError(msg)
    kid_end = 2 + sealed_id[1]
    realm_start = kid_end + 2
    realm_end = realm_start + int.from_bytes(sealed_id[kid_end:realm_start], "big")
    return sealed_id[2:kid_end].decode(), sealed_id[realm_start:realm_end].decode(), sealed_id[realm_end:]
