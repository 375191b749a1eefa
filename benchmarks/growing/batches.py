"""The batches that are measured: the same kind at every size, so that only the size makes a difference.

Each is one transaction of a shard that is read four times a second at the promised rate. No state is touched
twice in it, so that nothing is cached by luck, and the states of a large ledger are never touched again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from worker.domain.event import Kind, ScoreEvent, register_of
from worker.domain.position import Position
from worker.ports import Batch, Delivered, StateKey

EVENTS = 600
_NEW_STUDENTS, _COURSES = 12, 5
_REGRADES, _VOIDS, _COPIES = 15, 6, 15
_BORN = _NEW_STUDENTS * _COURSES
_NEW = EVENTS - _BORN - _REGRADES - _VOIDS - _COPIES
STATES = _NEW + _REGRADES + _VOIDS
"""Old states that one batch touches."""

SOURCE = "file:growth"
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


def batches(states: Sequence[Known], turn: int) -> Iterator[Batch]:
    """Endlessly many after so many that the ledger has had, going round where there are few states."""
    before: list[ScoreEvent] = []
    drawn = _round(states)
    while True:
        turn += 1
        events = list(_events(turn, list(islice(drawn, STATES))))
        yield _batch(turn, [*events, *before[:_COPIES]])
        before = events


def repeated(taken: Sequence[Batch]) -> Batch:
    """A replay's: every event of those that the ledger has just taken."""
    return _batch(taken[-1].high.sequence + 1, [one.event for batch in taken for one in batch.events])


def _round(states: Sequence[Known]) -> Iterator[Known]:
    while True:
        yield from states


def _events(turn: int, states: Sequence[Known]) -> Iterator[ScoreEvent]:
    """New attempts first, so that the next batch can hold copies of some."""
    score = turn * 37 % 1_000 / 10
    for state in states[:_NEW]:
        yield attempt(state, 1_000 + turn, score=score)
    for place, state in enumerate(states[_NEW:]):
        old = place * 7 % state.attempts
        again = timedelta(days=turn)
        if place < _REGRADES:
            yield attempt(state, old, score=score, again=again)
        else:
            yield attempt(state, old, score=None, again=again, void=True)
    courses = list(dict.fromkeys(state.key.course_id for state in states))[:_COURSES]
    for number in range(_NEW_STUDENTS):
        name = hashlib.blake2b(f"new-{turn}-{number}".encode(), digest_size=32).digest()
        for course in courses:
            born = Known(StateKey(UUID(bytes=name[:16]), course), 0, name)
            yield attempt(born, 0, score=score)


def _batch(turn: int, events: Sequence[ScoreEvent]) -> Batch:
    position = Position(turn)
    delivered = [Delivered(event, register_of(event), position, at) for at, event in enumerate(events)]
    return Batch(SOURCE, position, delivered)
