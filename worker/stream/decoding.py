"""From records to events: whatever arrives becomes events and dead letters, never an exception."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from worker.domain import envelope
from worker.domain.envelope import Opened
from worker.domain.errors import Poison, Reason
from worker.domain.event import register_of
from worker.domain.formats import native
from worker.domain.identity import Identity
from worker.domain.position import ORIGIN, Position
from worker.ports import Batch, DeadLetter, Delivered, Record, Source, StateKey

WHOLE_RECORD = -1
"""The event number of a dead letter that is a whole record."""


class Decoder(NamedTuple):
    """How raw student ids become pseudonyms at this edge."""

    identity: Identity
    realm: str

    def decode(self, record: Record) -> tuple[list[Delivered], list[DeadLetter]]:
        """The events of a record in their order, and the dead letters of those that can never succeed."""
        try:
            opened = envelope.open_record(record.data)
        except Poison as poison:
            letter = _letter(record.position, WHOLE_RECORD, poison, record.data)
            return [], [letter]
        events: list[Delivered] = []
        letters: list[DeadLetter] = []
        for number, raw in enumerate(opened.events):
            try:
                events.append(self._deliver(record, number, raw, opened))
            except Poison as poison:
                payload = _redeliverable(raw, opened)
                letters.append(_letter(record.position, number, poison, payload))
        return events, letters

    def _deliver(self, record: Record, number: int, raw: bytes, opened: Opened) -> Delivered:
        wire = native.parse(raw)
        event = native.canonical(
            wire,
            sealed_id=opened.students.get(str(wire.student_key)),
            identity=self.identity,
            realm=self.realm,
            arrived_at=record.arrived_at,
        )
        return Delivered(event, register_of(event), record.position, number)


class Limits(NamedTuple):
    """The most one ledger transaction takes: row locks stay short, the final script blocks Redis briefly."""

    events: int = 2_000
    keys: int = 1_000


def batches(source: Source, records: Iterable[Record], decoder: Decoder, limits: Limits) -> Iterator[Batch]:
    """Cut decoded records into transactions.

    A batch's `high` is the last record that it completes; the parts of a record too large for one transaction
    keep the position before it until the last part, and say in `inside` how far into it they are.
    """
    events: list[Delivered] = []
    letters: list[DeadLetter] = []
    keys: set[StateKey] = set()
    high = ORIGIN
    for record in records:
        found, refused = decoder.decode(record)
        letters += refused
        for delivered in found:
            if len(events) >= limits.events or (len(keys) >= limits.keys and delivered.key not in keys):
                inside = record.position._replace(events=delivered.number)
                yield Batch(source, high, events, letters, inside)
                events, letters, keys = [], [], set()
            events.append(delivered)
            keys.add(delivered.key)
        high = record.position
        if len(events) >= limits.events or len(letters) >= limits.events:
            yield Batch(source, high, events, letters)
            events, letters, keys = [], [], set()
    if events or letters:
        yield Batch(source, high, events, letters)


def _redeliverable(raw: bytes, opened: Opened) -> bytes:
    """A record that delivers this one event again, with the sealed id it may need."""
    try:
        student = str(native.student_of(raw))
    except Poison:
        return envelope.single(raw, {})
    sealed = opened.students.get(student)
    return envelope.single(raw, {} if sealed is None else {student: sealed})


def _letter(position: Position, number: int, poison: Poison, payload: bytes) -> DeadLetter:
    return DeadLetter(position, number, poison.reason, poison.field, payload)


def refused(delivered: Delivered) -> DeadLetter:
    """The dead letter of an event whose data the database refused."""
    payload = envelope.seal([delivered.event])
    return DeadLetter(delivered.position, delivered.number, Reason.REFUSED_BY_DATABASE, None, payload)
