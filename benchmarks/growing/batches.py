"""The batches that are measured: the same kind at every size, so that only the size makes a difference.

Each is one transaction of a shard that is read four times a second at the promised rate. No state is touched
twice in it, so that nothing is cached by luck, and the states of a large ledger are never touched again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import NamedTuple
from uuid import UUID

from worker.batch import Batch, Delivered, StateKey
from worker.domain.event import Kind, ScoreEvent, register_of
from worker.domain.position import Position

EVENTS = 600
_BEGUN = 5
"""Courses in which a new student begins."""


class Mix(NamedTuple):
    """How many events of each kind: a tenth begins a state, 2.5 % regrade, 1 % void, 2.5 % are copies."""

    students: int
    """New ones."""
    regrades: int
    voids: int
    copies: int
    new: int

    @classmethod
    def of(cls, events: int) -> "Mix":
        """A batch of so many events."""
        students, regrades, voids, copies = (round(events * share) for share in (0.02, 0.025, 0.01, 0.025))
        return cls(students, regrades, voids, copies, events - _BEGUN * students - regrades - voids - copies)

    @property
    def states(self) -> int:
        """Old states that it touches."""
        return self.new + self.regrades + self.voids


_NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


class Known(NamedTuple):
    """A state that the ledger has: so many attempts, whose items are 0, 1, ..."""

    key: StateKey
    attempts: int
    sealed_id: bytes


def attempt(
    state: Known, item: int, *, score: float | None, again: timedelta | None = None, void: bool = False
) -> ScoreEvent:
    """The attempt at one item of a state; with `again` graded that long after it was first."""
    taken = _NOW + timedelta(minutes=item)
    return ScoreEvent(
        *(state.key.student_key, state.sealed_id, state.key.course_id),
        item_id=f"quiz-{item}",
        score=score,
        max_score=0.0 if void else 100.0,
        occurred_at=taken,
        graded_at=taken if again is None else taken + again,
        attempt=1,
        kind=Kind.VOIDED if void else Kind.SCORED,
    )


class Batches:
    """Endlessly many batches, going round where there are few states.

    Args:
        states: of the ledger, in no order.
        turn: how many batches the ledger has had.
        source: where they are said to come from.
    """

    def __init__(self, states: Sequence[Known], turn: int, source: str) -> None:
        self._source = source
        self._states = cycle(states)
        self._turn = turn
        self._before: list[ScoreEvent] = []

    def take(self, count: int, events: int = EVENTS) -> list[Batch]:
        """The next so many, of so many events each."""
        return [self._next(Mix.of(events)) for _ in range(count)]

    def _next(self, mix: Mix) -> Batch:
        self._turn += 1
        made = list(_events(self._turn, mix, list(islice(self._states, mix.states))))
        copies = self._before[: mix.copies]
        # the first batch has nothing to copy
        more = made[: mix.copies - len(copies)]
        self._before = made
        return _batch(self._source, self._turn, [*made, *copies, *more])


def repeated(taken: Sequence[Batch]) -> Batch:
    """A replay's: every event of those that the ledger has just taken."""
    last = taken[-1]
    return _batch(last.source, last.high.sequence + 1, [one.event for batch in taken for one in batch.events])


def _events(turn: int, mix: Mix, states: Sequence[Known]) -> Iterator[ScoreEvent]:
    """New attempts first, so that the next batch can hold copies of some."""
    score = turn * 37 % 1_000 / 10
    for state in states[: mix.new]:
        yield attempt(state, 1_000 + turn, score=score)
    for place, state in enumerate(states[mix.new :]):
        old = place * 7 % state.attempts
        again = timedelta(days=turn)
        if place < mix.regrades:
            yield attempt(state, old, score=score, again=again)
        else:
            yield attempt(state, old, score=None, again=again, void=True)
    courses = list(dict.fromkeys(state.key.course_id for state in states))[:_BEGUN]
    for number in range(mix.students):
        name = hashlib.blake2b(f"new-{turn}-{number}".encode(), digest_size=32).digest()
        for course in courses:
            yield attempt(Known(StateKey(UUID(bytes=name[:16]), course), 0, name), 0, score=score)


def _batch(source: str, turn: int, events: Sequence[ScoreEvent]) -> Batch:
    position = Position(turn)
    delivered = [Delivered(event, register_of(event), position, at) for at, event in enumerate(events)]
    return Batch(source, position, delivered)
