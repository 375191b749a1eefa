"""What every drill must end with: nothing lost, nothing double, Redis a rebuild of the ledger."""

import dataclasses
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Self

import pandas as pd
import psycopg

from tests.faults.load import Load
from tests.faults.observer import arrived
from worker.domain.accounting import Accounting, Outcome
from worker.local.edges import Edges
from worker.local.recompute import attempt_key, recompute
from worker.local.sending import Native
from worker.local.session import Task
from worker.local.verifying import scores_equal_recomputation, states_equal_ledger
from worker.local.watching import position, wait_for

_QUIET_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Proof:
    """The end of a run: counts of distinct attempts, and whether every figure is right."""

    sent: int
    lost: int
    double: int
    closes: bool
    states: str
    scores: str
    good: bool
    accounting: Accounting
    broken: tuple[str, ...] = ()

    def but(self, broken: Sequence[str]) -> Self:
        """The same, and not good if a promise beside it was broken."""
        return dataclasses.replace(self, good=self.good and not broken, broken=tuple(broken))


class Distinct:
    """Counts the distinct attempts among events that pass by, without keeping them: 16 bytes an event."""

    def __init__(self) -> None:
        self._states: dict[tuple[object, object], int] = {}
        self._of = array("q")
        self._keys = array("q")

    def watch(self, events: Iterable[Native]) -> Iterator[Native]:
        """The same events."""
        for event in events:
            state = event["student_id"], event["course_id"]
            self._of.append(self._states.setdefault(state, len(self._states)))
            self._keys.append(attempt_key(event)[0])
            yield event

    @property
    def count(self) -> int:
        return len(pd.DataFrame({"state": self._of, "key": self._keys}).drop_duplicates())


def wait_until_quiet(edges: Edges, task: Task, sent: int, seconds: float = 300) -> None:
    """Until everything sent is read and projected, and no redelivery is on its way."""
    last, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        where = position(edges.ledger)
        read = where.accounting.read
        if read != last or not where.projected or arrived(where.accounting) < sent:
            last, since = read, time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    wait_for(quiet, task, seconds=seconds, what="a quiet stream")


def count_attempts(database_url: str) -> int:
    """Rows of the ledger: one a distinct attempt, voided ones included."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM attempts").fetchone()
    return 0 if row is None else int(row[0])


def prove(edges: Edges, database_url: str, load: Load, dead_letters: int = 0) -> Proof:
    """Compare ledger and Redis with what was sent; `dead_letters` of it were bad on purpose."""
    as_of = datetime.now(UTC)
    distinct = Distinct()
    expected = recompute(distinct.watch(load.events), as_of)
    accounting = position(edges.ledger).accounting
    rows = count_attempts(database_url)
    scores = scores_equal_recomputation(edges, expected, as_of)
    states = states_equal_ledger(edges)
    lost = distinct.count - rows
    double = accounting[Outcome.APPLIED] - distinct.count
    good = (
        lost == double == 0
        and accounting.closes
        and accounting[Outcome.DEAD_LETTERED] >= dead_letters
        and states.full
        and scores.pairs == scores.pairs_equal > 0
    )
    return Proof(load.sent, lost, double, accounting.closes, str(states), str(scores), good, accounting)
