"""What every measurement of the worker ends with: the counters close, and the ledger holds what was sent.

The counters tell of all events, the sample tells of each attempt. What must stand is computed by the text of
the protocol and not by the worker's code.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.classroom import Classroom
from worker.batch import Source
from worker.domain.accounting import Accounting, Outcome
from worker.local.edges import Edges
from worker.stream.projecting import state_value

_PAGE = 500


class Proven(NamedTuple):
    """Counts of events, and of the students that were looked at closely."""

    sent: int
    read: int
    applied: int
    closes: bool
    sample: int
    attempts: int
    ledger_right: int
    projection_right: int

    @property
    def good(self) -> bool:
        """Whether every event was applied once and every student of the sample is right."""
        everything = self.sent == self.read == self.applied and self.closes
        return everything and self.ledger_right == self.projection_right == self.sample > 0

    def __str__(self) -> str:
        return (
            f"{self.sent:,} sent = {self.read:,} read = {self.applied:,} applied, counters "
            f"{'close' if self.closes else 'do not close'}; of {self.sample:,} students with "
            f"{self.attempts:,} attempts the ledger is right for {self.ledger_right:,}, "
            f"Redis for {self.projection_right:,}"
        )


def streamed(edges: Edges) -> Mapping[Source, Accounting]:
    """What became of everything that came by the stream, by shard."""
    found = edges.ledger.progress()
    return {source: one.accounting for source, one in found.items() if source.startswith("kinesis:")}


def prove(edges: Edges, room: Classroom, sample: int, seed: int = 1) -> Proven:
    """Compare the counters, and so many students' states, with what was sent."""
    total = sum(streamed(edges).values(), Accounting())
    chosen = random.Random(seed).sample(range(room.students), min(sample, room.students))
    attempts = right = shown = 0
    for start in range(0, len(chosen), _PAGE):
        some = chosen[start : start + _PAGE]
        keys = [room.key(student) for student in some]
        held = edges.ledger.read(keys)
        for student, key, seen in zip(some, keys, edges.projection.states(keys), strict=True):
            state = held.get(key)
            if state is None:
                continue
            expected = room.standing(student)
            attempts += len(expected)
            found = {(key, occurred, ratio) for occurred, key, ratio in state.attempts}
            right += found == expected and len(found) == len(state.attempts)
            shown += seen == state_value(state)
    return Proven(
        sent=sum(len(one.students) for one in room.rounds),
        read=total.read,
        applied=total[Outcome.APPLIED],
        closes=total.closes,
        sample=len(chosen),
        attempts=attempts,
        ledger_right=right,
        projection_right=shown,
    )
