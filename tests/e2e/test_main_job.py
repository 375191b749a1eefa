"""The main job with the real daemon: kills in the middle of the load end with the same verdicts.

Every process is real: the supervisor, Java, the shard processes, PostgreSQL, Valkey, the emulator.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.faults.stage import family
from worker import wiring
from worker.domain.accounting import Outcome
from worker.local.edges import Edges
from worker.local.recompute import recompute
from worker.local.sending import Native, Sender
from worker.local.session import Session, Task
from worker.local.verifying import scores_equal_recomputation, states_equal_ledger
from worker.local.watching import position, wait_for
from worker.settings import load

pytestmark = pytest.mark.e2e

EVENTS = 30_000
BAD: list[bytes] = [b"", b"not json", b"[1, true]", b"\x28\xb5\x2f\xfdbroken", b'{"envelope":9,"count":1}']


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as running:
        yield running
    running.remove()


@pytest.fixture
def edges(session: Session) -> Iterator[Edges]:
    connected = wiring.edges(load(session.environment))
    yield connected
    connected.close()


def native_events(count: int) -> list[Native]:
    """Attempts of 2,000 students in 20 courses, some regraded, some voided, some without a score."""
    events: list[Native] = []
    for n in range(count):
        student, item = n % 2_000, n // 2_000
        event: Native = {
            "student_id": f"student-{student}",
            "course_id": f"course-{student % 20}",
            "item_id": f"item-{item}",
            "attempt": 1,
            "score": None if n % 97 == 0 else float(n % 101),
            "max_score": 100,
            "occurred_at": f"2026-01-{1 + item % 28:02}T10:{n % 60:02}:00Z",
        }
        events.append(event)
        if n % 50 == 0:
            events.append({**event, "score": 99.0, "graded_at": "2026-02-01T00:00:00Z"})
        if n % 71 == 0:
            events.append({**event, "score": None, "kind": "voided", "graded_at": "2026-02-02T00:00:00Z"})
    return events


def committed(edges: Edges, at_least: int) -> Callable[[], bool]:
    return lambda: position(edges.ledger).accounting.read >= at_least


def drained(edges: Edges, sent: int) -> Callable[[], bool]:
    """Everything sent is read, and all that was committed is projected."""

    def look() -> bool:
        where = position(edges.ledger)
        outcomes = where.accounting
        first_time = outcomes.read - outcomes[Outcome.REDELIVERED]
        return where.projected and outcomes.read >= sent and first_time >= 0

    return look


def verify(edges: Edges, events: list[Native], bad: int) -> None:
    """Both verdicts, and the accounting: every attempt once, every bad record a dead letter."""
    as_of = now()
    states = states_equal_ledger(edges)
    assert states.full, states
    comparison = scores_equal_recomputation(edges, recompute(events, as_of), as_of)
    assert not comparison.differences, comparison.differences[:5]
    assert comparison.pairs_equal == comparison.pairs == 2_000
    accounting = position(edges.ledger).accounting
    assert accounting.closes
    assert accounting[Outcome.DEAD_LETTERED] >= bad
    assert accounting[Outcome.APPLIED] == EVENTS


def kill_a_child(session: Session, task: Task) -> Task:
    """One shard process dies; KCL ends the daemon, the supervisor starts it again in place."""
    os.kill(family(task)["shard"][0].pid, signal.SIGKILL)
    return task


def kill_the_task(session: Session, task: Task) -> Task:
    """The whole task dies, as when its machine does; a task of the same state folder comes back."""
    processes = [process for kind in family(task).values() for process in kind]
    task.kill()
    psutil.wait_procs(processes, timeout=30)
    assert not [process for process in processes if process.is_running()]
    return session.start_task()


@pytest.mark.parametrize("kill", [kill_a_child, kill_the_task])
def test_a_kill_in_the_middle_of_the_load_loses_and_doubles_nothing(
    session: Session, edges: Edges, kill: Callable[[Session, Task], Task]
) -> None:
    events = native_events(EVENTS)
    task = session.start_task(settings={"TRANSACTION_EVENTS": "200"})
    wait_for(lambda: len(family(task)["shard"]) == 2, task, seconds=60, what="both shard processes")
    sender = Sender(edges, now)
    for record in BAD:
        edges.producer.put_raw(record, 0)
    half = len(events) // 2
    sender.send(events[:half])
    wait_for(committed(edges, 1_000), task, seconds=60, what="the first commits")
    task = kill(session, task)
    sender.send(events[half:])
    wait_for(drained(edges, sender.sent + len(BAD)), task, seconds=120, what="everything sent")
    wait_until_quiet(edges, task)
    verify(edges, events, bad=len(BAD) + 1)
    processes = [process for kind in family(task).values() for process in kind]
    task.stop()
    assert not [process for process in processes if process.is_running()]


def wait_until_quiet(edges: Edges, task: Task) -> None:
    """Redelivered records may still be on their way: wait until two looks a while apart see the same."""
    last = -1
    quiet_since = time.monotonic()

    def quiet() -> bool:
        nonlocal last, quiet_since
        where = position(edges.ledger)
        if where.accounting.read != last or not where.projected:
            last, quiet_since = where.accounting.read, time.monotonic()
        return time.monotonic() - quiet_since > 3.0

    wait_for(quiet, task, seconds=120, what="a quiet stream")
