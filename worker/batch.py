"""What travels from a stream to the ledger and Redis: records, batches, and the states that they touch.

It holds no rule of its own; who writes the batches down is told in `worker.ports`, who cuts them in
`worker.stream.decoding`.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from worker.domain.errors import Reason
from worker.domain.event import Register, ScoreEvent
from worker.domain.poison import PoisonWindow
from worker.domain.position import ORIGIN, Position

Source: TypeAlias = str
"""Where positions count: `kinesis:{stream ARN}@{creation time}:{shard}`, `replay:...`, `file:...`."""

STREAMS = "kinesis:"
"""What the sources that never end by themselves begin with; all others are a job's and are closed."""

DELETIONS: Source = "deletions"
"""Where erasures and retention count, one a transaction: its floor is how many the ledger has seen."""


class StateKey(NamedTuple):
    """One rolling state: a student in a course."""

    student_key: UUID
    course_id: str


class Resident(NamedTuple):
    """Where a state stands in Redis: known without PostgreSQL, but not which course it is of."""

    student_key: UUID
    course_digest: bytes


def residence(key: StateKey) -> Resident:
    """Where this state stands."""
    return Resident(key.student_key, course_digest(key.course_id))


@functools.lru_cache(1 << 12)
def course_digest(course_id: str) -> bytes:
    """The course's part of a residence; there are thousands of courses and millions of looks."""
    return hashlib.blake2b(course_id.encode(), digest_size=8).digest()


class Record(NamedTuple):
    """One Kinesis record as delivered (KPL aggregates already split)."""

    data: bytes
    position: Position
    arrived_at: datetime


class Delivered(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One decoded event, the register it writes, and where it came from."""

    event: ScoreEvent
    register: Register
    position: Position
    number: int

    @property
    def key(self) -> StateKey:
        return StateKey(self.event.student_key, self.event.course_id)


class DeadLetter(NamedTuple):
    """What can never succeed: why, where it stood, and the record that would deliver it again.

    `payload` is plain in memory only; whoever stores it seals it first.
    """

    position: Position
    number: int
    reason: Reason
    field: str | None
    payload: bytes


class States:
    """The states that events touch, numbered in the order of their first events.

    Looked up by the number of the pseudonym, because the hash of a UUID is a call into Python.
    """

    def __init__(self, events: Iterable[Delivered] = ()) -> None:
        self._numbers: dict[tuple[int, str], int] = {}
        self.keys: list[StateKey] = []
        self.at: list[int] = []
        self.add(events)

    def add(self, events: Iterable[Delivered]) -> None:
        """Number the states of more events."""
        numbers, keys, at = self._numbers, self.keys, self.at
        for delivered in events:
            event = delivered.event
            student_key, course_id = event.student_key, event.course_id
            number = numbers.setdefault((student_key.int, course_id), len(keys))
            if number == len(keys):
                keys.append(StateKey(student_key, course_id))
            at.append(number)

    def most_with(self, events: Sequence[Delivered]) -> int:
        """How many there are with these events at the most, which is known at once."""
        return len(self.keys) + len(events)

    def with_all(self, events: Iterable[Delivered]) -> int:
        """How many there would be with these events."""
        more = {(one.event.student_key.int, one.event.course_id) for one in events}
        return len(self.keys) + len(more - self._numbers.keys())


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one ledger transaction takes: records of one source up to `high`, and the poison seen by then.

    A batch that ends inside a record says in `inside` how far; only the projection's marker goes there, so
    that it moves with every write and a Redis that forgot one shows it. `states` are those of its events,
    where whoever gathered them knows.
    """

    source: Source
    high: Position
    events: Sequence[Delivered]
    dead_letters: Sequence[DeadLetter] = ()
    inside: Position = ORIGIN
    poison: PoisonWindow = dataclasses.field(default_factory=PoisonWindow)
    states: States | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def reach(self) -> Position:
        """Where the projection's marker stands once this batch is projected."""
        return max(self.high, self.inside)

    @property
    def read(self) -> int:
        return len(self.events) + len(self.dead_letters)

    @property
    def keys(self) -> Sequence[StateKey]:
        """The touched states, each once, in the order of their first events."""
        return self._states.keys

    @property
    def at(self) -> Sequence[int]:
        """For each event the place of its state among `keys`."""
        return self._states.at

    def of(self, events: Sequence[Delivered], dead_letters: Sequence[DeadLetter] | None = None) -> "Batch":
        """The same batch with other events."""
        letters = self.dead_letters if dead_letters is None else dead_letters
        return dataclasses.replace(self, events=events, dead_letters=letters, states=None)

    @functools.cached_property
    def _states(self) -> States:
        return self.states or States(self.events)
