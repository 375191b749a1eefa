"""The canonical score event, and the register of the ledger that it writes to.

An attempt is a last-writer-wins register. Its key names the attempt, its order decides which of two writers
wins; both are functions of the event alone, so every worker, replay and backfill agrees without talking.
"""

import enum
import functools
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HALVES = struct.Struct(">qq")
_LENGTH = struct.Struct(">I")
_CONTENT = struct.Struct(">B?dBdq")

REVISION_OF_NORMALISER = 1
"""Raised whenever a decoder is mended, so that a replay through it wins over what it wrote before."""


class Kind(enum.IntEnum):
    """What an event does to its attempt."""

    SCORED = 0
    VOIDED = 1


class ScoreEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One graded attempt, validated and pseudonymised; times are aware UTC, scores as sent.

    `score` is None for activity without a score. A void carries no score and names the attempt it removes.
    """

    student_key: UUID
    sealed_id: bytes
    course_id: str
    item_id: str
    score: float | None
    max_score: float
    occurred_at: datetime
    graded_at: datetime
    attempt: int | None = None
    event_id: str | None = None
    kind: Kind = Kind.SCORED
    source: str = "default"


class Register(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The ledger's view of one event: the attempt it writes, and its place in the order of writers.

    `key` and `check` are the two big-endian signed halves of one 128-bit hash: equal keys with different
    checks are two attempts that collide. `occurred` and `graded` are the event's times in microseconds since
    1970.
    """

    key: int
    check: int
    event_key: str
    rev: int
    digest: bytes
    occurred: int
    graded: int


def micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z of an aware datetime, exactly."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(value: int) -> datetime:
    """The aware UTC datetime of `value` microseconds since 1970-01-01T00:00:00Z."""
    return EPOCH + value * _MICROSECOND


def length_prefixed(*parts: bytes) -> bytes:
    """Join parts so that no two different lists of parts give the same bytes (4-byte big-endian lengths)."""
    return b"".join([piece for part in parts for piece in (_LENGTH.pack(len(part)), part)])


def register_of(event: ScoreEvent) -> Register:
    """The register that `event` writes: BLAKE2b-128 over source, item and the attempt's own name.

    The attempt is named by its number, else by the event id, else by its time in microseconds.
    """
    occurred = micros(event.occurred_at)
    graded = occurred if event.graded_at is event.occurred_at else micros(event.graded_at)
    event_id, attempt, score = event.event_id, event.attempt, event.score
    if attempt is not None:
        key, check = _numbered(event.source, event.item_id, attempt)
    else:
        name = f"t:{occurred}" if event_id is None else f"e:{event_id}"
        key, check = _named(event.source, event.item_id, name)
    content = _CONTENT.pack(1, score is not None, score or 0.0, event.kind, event.max_score, occurred)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return Register(key, check, event_id or "", REVISION_OF_NORMALISER, digest, occurred, graded)


@functools.lru_cache(1 << 14)
def _numbered(source: str, item_id: str, attempt: int) -> tuple[int, int]:
    """A whole class takes the first attempt of one item: one hash for all of them."""
    return _named(source, item_id, f"a:{attempt}")


def _named(source: str, item_id: str, name: str) -> tuple[int, int]:
    parts = length_prefixed(source.encode(), item_id.encode(), name.encode())
    key, check = _HALVES.unpack(hashlib.blake2b(parts, digest_size=16).digest())
    return key, check


def order_of(event: ScoreEvent, register: Register) -> tuple[datetime, int, str, int, bytes]:
    """The place of a writer among those of one attempt; the greatest wins.

    The newer grading wins, then a void, then event key, decoder revision and content.
    """
    return event.graded_at, event.kind, register.event_key, register.rev, register.digest


def ratio_micros(score: float | None, max_score: float) -> int | None:
    """The score over its maximum in whole millionths, or None where the attempt is activity only."""
    if score is None or max_score <= 0:
        return None
    return round(score / max_score * 1_000_000)
