"""From records to events: whatever arrives becomes events and dead letters, never an exception."""

from collections.abc import Iterable, Iterator
from heapq import merge
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
    """The most one ledger transaction takes: row locks stay short, the final script blocks Redis briefly.

    `events` counts the dead letters too.
    """

    events: int = 2_000
    keys: int = 1_000


def batches(source: Source, records: Iterable[Record], decoder: Decoder, limits: Limits) -> Iterator[Batch]:
    """Cut decoded records into transactions, in their order.

    A batch's `high` is the last record that it completes; the parts of a record too large for one transaction
    keep the position before it until the last part, and say in `inside` how far into it they are: up to the
    event or dead letter with which the next part begins. Dead letters count as events do, because each is
    sealed and stored in the same transaction.
    """
    part = _Part([], [], set())
    high = ORIGIN
    for record in records:
        for piece in _in_order(*decoder.decode(record)):
            if part.full(limits, piece):
                inside = record.position._replace(events=piece.number)
                yield Batch(source, high, part.events, part.letters, inside)
                part = _Part([], [], set())
            part.add(piece)
        high = record.position
        if part.full(limits):
            yield Batch(source, high, part.events, part.letters)
            part = _Part([], [], set())
    if part.events or part.letters:
        yield Batch(source, high, part.events, part.letters)


class _Part(NamedTuple):
    """What is gathered for the next transaction."""

    events: list[Delivered]
    letters: list[DeadLetter]
    keys: set[StateKey]

    def full(self, limits: Limits, piece: Delivered | DeadLetter | None = None) -> bool:
        """Whether nothing more goes in, or not this piece."""
        if len(self.events) + len(self.letters) >= limits.events:
            return True
        if not isinstance(piece, Delivered) or len(self.keys) < limits.keys:
            return False
        return piece.key not in self.keys

    def add(self, piece: Delivered | DeadLetter) -> None:
        if isinstance(piece, Delivered):
            self.events.append(piece)
            self.keys.add(piece.key)
        else:
            self.letters.append(piece)


def _in_order(events: list[Delivered], letters: list[DeadLetter]) -> Iterator[Delivered | DeadLetter]:
    """The pieces of one record by their numbers."""
    return merge(events, letters, key=lambda piece: piece.number)


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
