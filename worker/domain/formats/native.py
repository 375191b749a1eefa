"""The native dialect: our own JSON of one graded attempt, as producers send it and as envelopes carry it.

Only the fields named here survive. Everything else a producer sends, free text above all, is dropped unread.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from worker.domain import identity as ids
from worker.domain.errors import Poison, Reason
from worker.domain.event import EPOCH, Kind, ScoreEvent
from worker.domain.identity import Identity

MAX_EVENT_BYTES = 64 * 1024
MAX_AHEAD = timedelta(minutes=5)
MAX_RATIO = 1000

_Id = Annotated[str, Meta(min_length=1, max_length=256)]
_Sealed = Annotated[str, Meta(min_length=1, max_length=2048)]
_Score = Annotated[float, Meta(ge=-1e6, le=1e6)]
_MaxScore = Annotated[float, Meta(ge=0, le=1e6)]
_Moment = Annotated[datetime, Meta(tz=True)]
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class NativeEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The wire form: either `student_id`, or from a trusted producer `student_key` and `sealed_id`."""

    course_id: _Id
    item_id: _Id
    occurred_at: _Moment
    score: _Score | None | UnsetType = UNSET
    max_score: _MaxScore | UnsetType = UNSET
    student_id: _Id | None = None
    student_key: UUID | None = None
    sealed_id: _Sealed | None = None
    attempt: _Number | None = None
    event_id: _Id | None = None
    graded_at: _Moment | None = None
    kind: Literal["scored", "voided"] = "scored"
    source: _Id = "default"


_decoder = msgspec.json.Decoder(NativeEvent)
_encoder = msgspec.json.Encoder()
_FIELDS = frozenset(NativeEvent.__struct_fields__)
_TEXTS = ("course_id", "item_id", "student_id", "event_id", "source")


def parse(raw: bytes | msgspec.Raw) -> NativeEvent:
    """Read one event's JSON.

    Raises:
        Poison: it is not JSON, or a field is missing, mistyped or out of range; names the field.
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise Poison(Reason.EVENT_TOO_LARGE)
    try:
        event = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except UnicodeDecodeError:
        raise Poison(Reason.INVALID_UTF8) from None
    except (msgspec.DecodeError, RecursionError):
        raise Poison(_not_json(bytes(raw))) from None
    # the only way of NUL into a JSON text
    return _without_nul(event) if b"\\u0000" in bytes(raw) else event


def parse_all(raws: Sequence[bytes]) -> list[NativeEvent] | None:
    """What `parse` gives for each, or None where it would refuse one: then only one by one tells which."""
    if max(map(len, raws)) > MAX_EVENT_BYTES or any(b"\\u0000" in raw for raw in raws):
        return None
    try:
        return [*map(_decoder.decode, raws)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def from_fields(fields: Mapping[str, object]) -> NativeEvent:
    """The event of a row whose fields are values already, by the rules of `parse`.

    Raises:
        Poison: a field is missing, mistyped or out of range; names the field.
    """
    try:
        return _without_nul(msgspec.convert(fields, NativeEvent))
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None


class _Student(msgspec.Struct):
    student_key: UUID


_student_decoder = msgspec.json.Decoder(_Student)


def student_of(raw: bytes) -> UUID:
    """The pseudonym in an event that is otherwise not valid.

    Raises:
        Poison: there is none.
    """
    try:
        return _student_decoder.decode(raw).student_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Poison(Reason.MISSING_FIELD, "student_key") from None


class _Named(msgspec.Struct):
    student_id: str | None = None
    student_key: UUID | None = None


_named_decoder = msgspec.json.Decoder(_Named)


def named(raw: bytes) -> UUID | str | None:
    """Whose event it is as it says itself, valid or not: a pseudonym, else a plain id, else nobody.

    Raises:
        Poison: nobody can tell.
    """
    try:
        found = _named_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Poison(Reason.NOT_JSON) from None
    return found.student_key or found.student_id


def canonical(
    native: NativeEvent, *, sealed_id: str | None, identity: Identity, realm: str, arrived_at: datetime
) -> ScoreEvent:
    """The ScoreEvent of a wire event that arrived at `arrived_at` (aware).

    `sealed_id` is what the envelope says of this student; `realm` is used for a raw student id.

    Raises:
        Poison: a rule between fields is broken, or a time lies out of range.
    """
    student_key, sealed = whose(native, identity, realm, sealed_id)
    return event_of(native, student_key, sealed, arrived_at + MAX_AHEAD)


def event_of(native: NativeEvent, student_key: UUID, sealed: bytes, latest: datetime) -> ScoreEvent:
    """The ScoreEvent of a wire event whose student is known; no time in it may be after `latest`.

    Raises:
        Poison: a rule between fields is broken, or a time lies out of range.
    """
    occurred_at = _moment("occurred_at", native.occurred_at, latest)
    graded_at = occurred_at if native.graded_at is None else _moment("graded_at", native.graded_at, latest)
    score, max_score = _scores(native)
    return ScoreEvent(
        student_key=student_key,
        sealed_id=sealed,
        course_id=native.course_id,
        item_id=native.item_id,
        score=score,
        max_score=max_score,
        occurred_at=occurred_at,
        graded_at=graded_at,
        attempt=native.attempt,
        event_id=native.event_id,
        kind=Kind.VOIDED if native.kind == "voided" else Kind.SCORED,
        source=native.source,
    )


def encode(event: ScoreEvent) -> bytes:
    """One event's line in an envelope: pseudonym only, the sealed id stands in the envelope's first line."""
    scored = event.kind is Kind.SCORED
    return _encoder.encode(
        NativeEvent(
            course_id=event.course_id,
            item_id=event.item_id,
            occurred_at=event.occurred_at,
            score=event.score if scored else UNSET,
            max_score=event.max_score if scored else UNSET,
            student_key=event.student_key,
            attempt=event.attempt,
            event_id=event.event_id,
            graded_at=None if event.graded_at == event.occurred_at else event.graded_at,
            kind="scored" if scored else "voided",
            source=event.source,
        )
    )


def whose(
    native: NativeEvent, identity: Identity, realm: str, envelope_seal: str | None = None
) -> tuple[UUID, bytes]:
    """Whose event it is: the pseudonym and the sealed id.

    Raises:
        Poison: nobody's, or the seal is missing or broken.
    """
    if native.student_key is not None:
        sealed = native.sealed_id or envelope_seal
        if not sealed:
            raise Poison(Reason.MISSING_FIELD, "sealed_id")
        try:
            return native.student_key, ids.from_text(sealed)
        except ValueError:
            raise Poison(Reason.INVALID_FIELD, "sealed_id") from None
    if native.student_id is None:
        raise Poison(Reason.MISSING_FIELD, "student_id")
    return identity.identify(native.student_id, realm)


def _moment(name: str, moment: datetime, latest: datetime) -> datetime:
    if not EPOCH <= moment <= latest:
        raise Poison(Reason.TIME_OUT_OF_RANGE, name)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _scores(native: NativeEvent) -> tuple[float | None, float]:
    if native.kind == "voided":
        return None, 0.0
    if isinstance(native.score, UnsetType):
        raise Poison(Reason.MISSING_FIELD, "score")
    if isinstance(native.max_score, UnsetType):
        raise Poison(Reason.MISSING_FIELD, "max_score")
    if native.score is not None and abs(native.score) > MAX_RATIO * native.max_score > 0:
        raise Poison(Reason.RATIO_OUT_OF_RANGE, "score")
    return native.score, native.max_score


def _without_nul(event: NativeEvent) -> NativeEvent:
    """PostgreSQL's text cannot hold NUL, and an identifier has no use for it."""
    student_id, event_id = event.student_id or "", event.event_id or ""
    if "\0" in f"{event.course_id}{event.item_id}{student_id}{event_id}{event.source}":
        named = next(name for name in _TEXTS if "\0" in (getattr(event, name) or ""))
        raise Poison(Reason.INVALID_FIELD, named)
    return event


def _refusal(message: str) -> Poison:
    """Name the field of msgspec's message and nothing more: the rest of it may quote a value."""
    missing = re.fullmatch(r"Object missing required field `(\w+)`", message)
    if missing:
        return Poison(Reason.MISSING_FIELD, missing[1])
    at = re.search(r" - at `\$\.(\w+)`\Z", message)
    return Poison(Reason.INVALID_FIELD, at[1] if at and at[1] in _FIELDS else None)


def _not_json(raw: bytes) -> Reason:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    return Reason.NOT_JSON
