"""From records to events: whatever arrives becomes events and dead letters, never an exception."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from worker.domain import envelope
from worker.domain.envelope import Opened
from worker.domain.errors import Poison, Reason
from worker.domain.event import register_of
from worker.domain.formats import native
from worker.domain.identity import Identity
from worker.domain.position import ORIGIN, Position
from worker.ports import Batch, DeadLetter, Delivered, Record, Source

_PSEUDONYM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
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
        seals = _by_number(opened.students)
        events: list[Delivered] = []
        letters: list[DeadLetter] = []
        for number, raw in enumerate(opened.events):
            try:
                events.append(self._deliver(record, number, raw, seals))
            except Poison as poison:
                payload = _redeliverable(raw, opened)
                letters.append(_letter(record.position, number, poison, payload))
        return events, letters

    def _deliver(self, record: Record, number: int, raw: bytes, seals: Mapping[int, str]) -> Delivered:
        wire = native.parse(raw)
        key = wire.student_key
        event = native.canonical(
            wire,
            sealed_id=None if key is None else seals.get(key.int),
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
        events, letters = decoder.decode(record)
        if not part.take(limits, events, letters):
            for piece in _in_order(events, letters):
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


_Place: TypeAlias = tuple[int, str]


def _place(delivered: Delivered) -> _Place:
    """Which state, as what is hashed without a call into Python; a UUID's hash is one."""
    event = delivered.event
    return event.student_key.int, event.course_id


class _Part(NamedTuple):
    """What is gathered for the next transaction."""

    events: list[Delivered]
    letters: list[DeadLetter]
    keys: set[_Place]

    def take(self, limits: Limits, events: Sequence[Delivered], letters: Sequence[DeadLetter]) -> bool:
        """Add a whole record if it fits."""
        if len(self.events) + len(events) + len(self.letters) + len(letters) > limits.events:
            return False
        keys = self.keys.union(map(_place, events))
        if len(keys) > limits.keys:
            return False
        self.events.extend(events)
        self.letters.extend(letters)
        self.keys.update(keys)
        return True

    def full(self, limits: Limits, piece: Delivered | DeadLetter | None = None) -> bool:
        """Whether nothing more goes in, or not this piece."""
        if len(self.events) + len(self.letters) >= limits.events:
            return True
        if not isinstance(piece, Delivered) or len(self.keys) < limits.keys:
            return False
        return _place(piece) not in self.keys

    def add(self, piece: Delivered | DeadLetter) -> None:
        if isinstance(piece, Delivered):
            self.events.append(piece)
            self.keys.add(_place(piece))
        else:
            self.letters.append(piece)


def _by_number(students: Mapping[str, str]) -> Mapping[int, str]:
    """The sealed ids by the number of their pseudonym: to look for its text takes longer than to parse it."""
    try:
        return {key.int: sealed for key, sealed in msgspec.convert(students, dict[UUID, str]).items()}
    except msgspec.ValidationError:
        good = {key: sealed for key, sealed in students.items() if _PSEUDONYM.fullmatch(key)}
        return {UUID(key).int: sealed for key, sealed in good.items()}


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
