"""From records to events: whatever arrives becomes events and dead letters, never an exception."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from worker.batch import Batch, DeadLetter, Delivered, Record, Source, States
from worker.domain import envelope
from worker.domain import identity as ids
from worker.domain.envelope import Opened
from worker.domain.errors import Poison, Reason
from worker.domain.event import register_of
from worker.domain.formats import native
from worker.domain.formats.native import NativeEvent
from worker.domain.identity import Identity
from worker.domain.position import ORIGIN, Position

_PSEUDONYM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WHOLE_RECORD = -1
"""The event number of a dead letter that is a whole record."""

_Student: TypeAlias = tuple[UUID | None, bytes | None]
"""A student of an envelope: the pseudonym, and the seal; None where nobody can read it."""

_NOBODY: _Student = (None, None)


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
        wires = native.parse_all(opened.events)
        return self._delivered(record, opened, opened.events if wires is None else wires)

    def _delivered(
        self, record: Record, opened: Opened, found: Sequence[bytes | NativeEvent]
    ) -> tuple[list[Delivered], list[DeadLetter]]:
        position, latest = record.position, record.arrived_at + native.MAX_AHEAD
        students = _by_number(opened.students)
        events: list[Delivered] = []
        letters: list[DeadLetter] = []
        for number, one in enumerate(found):
            try:
                wire = native.parse(one) if isinstance(one, bytes) else one
                event = native.event_of(wire, *self._student(wire, students), latest)
            except Poison as poison:
                payload = _redeliverable(opened.events[number], opened)
                letters.append(_letter(position, number, poison, payload))
            else:
                events.append(Delivered(event, register_of(event), position, number))
        return events, letters

    def _student(self, wire: NativeEvent, students: Mapping[int, _Student]) -> tuple[UUID, bytes]:
        key = wire.student_key
        if key is None or wire.sealed_id is not None:
            return native.whose(wire, self.identity, self.realm)
        known, sealed = students.get(key.int, _NOBODY)
        if known is None:
            raise Poison(Reason.MISSING_FIELD, "sealed_id")
        if sealed is None:
            raise Poison(Reason.INVALID_FIELD, "sealed_id")
        return known, sealed


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
    part = _Part(limits)
    high = ORIGIN
    for record in records:
        events, letters = decoder.decode(record)
        if not part.take(events, letters):
            for piece in _in_order(events, letters):
                if part.full(piece):
                    yield part.batch(source, high, record.position._replace(events=piece.number))
                    part = _Part(limits)
                part.add(piece)
        high = record.position
        if part.full():
            yield part.batch(source, high)
            part = _Part(limits)
    if part.events or part.letters:
        yield part.batch(source, high)


class _Part:
    """What is gathered for the next transaction."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._states = States()
        self.events: list[Delivered] = []
        self.letters: list[DeadLetter] = []

    def take(self, events: Sequence[Delivered], letters: Sequence[DeadLetter]) -> bool:
        """Add a whole record if it fits."""
        most = self._limits
        if len(self.events) + len(events) + len(self.letters) + len(letters) > most.events:
            return False
        if self._states.most_with(events) > most.keys and self._states.with_all(events) > most.keys:
            return False
        self._states.add(events)
        self.events.extend(events)
        self.letters.extend(letters)
        return True

    def full(self, piece: Delivered | DeadLetter | None = None) -> bool:
        """Whether nothing more goes in, or not this piece."""
        if len(self.events) + len(self.letters) >= self._limits.events:
            return True
        if not isinstance(piece, Delivered) or len(self._states.keys) < self._limits.keys:
            return False
        return self._states.with_all([piece]) > self._limits.keys

    def add(self, piece: Delivered | DeadLetter) -> None:
        if isinstance(piece, Delivered):
            self.events.append(piece)
            self._states.add([piece])
        else:
            self.letters.append(piece)

    def batch(self, source: Source, high: Position, inside: Position = ORIGIN) -> Batch:
        return Batch(source, high, self.events, self.letters, inside, states=self._states)


def _by_number(students: Mapping[str, str]) -> Mapping[int, _Student]:
    """The students of an envelope by the numbers of their pseudonyms.

    To look for a pseudonym's text takes longer than to parse it, and its hash is a call into Python.
    """
    try:
        known = msgspec.convert(students, dict[UUID, str])
    except msgspec.ValidationError:
        known = {UUID(key): sealed for key, sealed in students.items() if _PSEUDONYM.fullmatch(key)}
    return {key.int: (key, _unsealed(sealed)) for key, sealed in known.items() if sealed}


@functools.lru_cache(1 << 14)
def _unsealed(text: str) -> bytes | None:
    """A student's seal comes again with every envelope that holds an attempt of theirs."""
    try:
        return ids.from_text(text)
    except ValueError:
        return None


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
