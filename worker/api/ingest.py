"""POST /students without HTTP: from a body to events that may go on, and refusals by index.

The same decoder as the worker's reads each event by itself, so that one bad event costs only itself, and what
the edge accepts the worker accepts too.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from worker.api.access import Caller
from worker.api.counting import EVENTS
from worker.api.problems import BadRequest, NothingValid, TooLarge, Unsupported
from worker.domain.errors import Poison, Reason
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.domain.identity import Identity, SealBroken

MOST_EVENTS = 500
_REMEMBERED_STUDENTS = 100_000
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_list = msgspec.json.Decoder(list[msgspec.Raw])


class Rejected(msgspec.Struct, frozen=True):
    """One event that was not accepted: its place in the request, the field at fault, and why."""

    index: int
    field: str | None
    error: str


class Admitted(NamedTuple):
    """What became of a request's events."""

    events: Sequence[ScoreEvent]
    rejected: Sequence[Rejected]


class Edge:
    """Decodes, checks and pseudonymises.

    Args:
        identity: pseudonyms and seals.
        now: the present, aware.
    """

    def __init__(self, identity: Identity, now: Callable[[], datetime]) -> None:
        self._open = identity.open
        self._now = now
        self._identity = _Remembering(identity)

    def admit(self, body: bytes, content_type: str, caller: Caller) -> Admitted:
        """The events of a body.

        Raises:
            Unsupported: the type is not JSON.
            BadRequest: the body as a whole is not of its type.
            TooLarge: more than 500 events.
            NothingValid: not one event is valid.
        """
        raws = split(body, content_type)
        now = self._now()
        events: list[ScoreEvent] = []
        rejected: list[Rejected] = []
        for index, raw in enumerate(raws):
            try:
                events.append(self._admit(raw, caller, now))
            except Poison as poison:
                rejected.append(Rejected(index, poison.field, poison.reason.value))
            except _NotBound as refusal:
                rejected.append(Rejected(index, refusal.field, "not_allowed"))
        EVENTS.labels("rejected").inc(len(rejected))
        if not events:
            detail = "no event is valid; `rejected` names the field at fault in each"
            raise NothingValid(detail, accepted=0, rejected=msgspec.to_builtins(rejected))
        return Admitted(events, rejected)

    def _admit(self, raw: bytes | msgspec.Raw, caller: Caller, now: datetime) -> ScoreEvent:
        wire = native.parse(raw)
        if caller.sources is not None and wire.source not in caller.sources:
            raise _NotBound("source")
        event = native.canonical(
            wire, sealed_id=None, identity=self._identity, realm=caller.realm, arrived_at=now
        )
        if wire.student_key is not None:
            self._check_seal(event, caller)
        return event

    def _check_seal(self, event: ScoreEvent, caller: Caller) -> None:
        """A pseudonym from outside counts only with a seal that says the same, of the caller's own realm."""
        try:
            realm, student_id = self._open(event.sealed_id)
        except SealBroken:
            raise Poison(Reason.INVALID_FIELD, "sealed_id") from None
        if realm != caller.realm:
            raise _NotBound("sealed_id")
        if self._identity.identify(student_id, realm).student_key != event.student_key:
            raise Poison(Reason.INVALID_FIELD, "student_key")


def split(body: bytes, content_type: str) -> Sequence[bytes | msgspec.Raw]:
    """The events of a body, each still undecoded.

    Raises:
        Unsupported, BadRequest, TooLarge: as `Edge.admit`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    found: Sequence[bytes | msgspec.Raw]
    if kind in _LINES:
        found = [line for piece in body.split(b"\n", MOST_EVENTS * 2) if (line := piece.strip())]
    elif kind == "application/json" or kind.endswith("+json"):
        found = _documents(body.strip())
    else:
        raise Unsupported("Content-Type may be application/json or application/x-ndjson")
    if not found:
        raise BadRequest("the body holds no event")
    if len(found) > MOST_EVENTS:
        raise TooLarge(f"a request holds at most {MOST_EVENTS} events; send several requests")
    return found


def _documents(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    if not body.startswith(b"["):
        return [body] if body else []
    try:
        return _list.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not JSON") from None


class _NotBound(Exception):
    """The caller may not write this."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class _Remembering(Identity):
    """The same pseudonyms, computed once for each student: sealing costs more than the rest of an event."""

    def __init__(self, identity: Identity) -> None:
        self.identify = lru_cache(_REMEMBERED_STUDENTS)(identity.identify)  # type: ignore[method-assign]
