"""What every drill must end with: nothing lost, nothing double, Redis a rebuild of the ledger."""

import dataclasses
import time
from datetime import UTC, datetime

import psycopg

from tests.faults.load import Load
from worker.domain.accounting import Accounting, Outcome
from worker.local.edges import Edges
from worker.local.recompute import attempt_key, recompute
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


def wait_until_quiet(edges: Edges, task: Task, sent: int) -> None:
    """Until everything sent is read and projected, and no redelivery is on its way."""
    last, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        where = position(edges.ledger)
        read = where.accounting.read
        if read != last or not where.projected or read < sent:
            last, since = read, time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    wait_for(quiet, task, seconds=300, what="a quiet stream")


def count_attempts(database_url: str) -> int:
    """Rows of the ledger: one a distinct attempt, voided ones included."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM attempts").fetchone()
    return 0 if row is None else int(row[0])


def prove(edges: Edges, database_url: str, load: Load, dead_letters: int = 0) -> Proof:
    """Compare ledger and Redis with what was sent; `dead_letters` of it were bad on purpose."""
    as_of = datetime.now(UTC)
    distinct = {(event["student_id"], event["course_id"], attempt_key(event)[0]) for event in load.events}
    accounting = position(edges.ledger).accounting
    rows = count_attempts(database_url)
    scores = scores_equal_recomputation(edges, recompute(load.events, as_of), as_of)
    states = states_equal_ledger(edges)
    lost = len(distinct) - rows
    double = accounting[Outcome.APPLIED] - len(distinct)
    good = (
        lost == double == 0
        and accounting.closes
        and accounting[Outcome.DEAD_LETTERED] >= dead_letters
        and states.full
        and scores.pairs == scores.pairs_equal > 0
    )
    return Proof(load.sent, lost, double, accounting.closes, str(states), str(scores), good, accounting)
