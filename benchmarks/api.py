"""`python -m benchmarks.api`: what a request and an event cost the API, and how long readers wait.

The service runs on one core, everything else on the others: the load, PostgreSQL, Valkey, the emulator. Each
figure is measured several times and the median is told; the load's own CPU stands apart.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psutil
import psycopg
from rich.console import Console

from benchmarks.http_load import Outcome, Plan, request
from benchmarks.request_figures import BATCH, Figures, goals, kept, table
from benchmarks.result import keep
from worker import wiring
from worker.local.sending import Native, Sender
from worker.local.session import Api, Session
from worker.local.watching import position, wait_for
from worker.settings import load

STUDENTS, COURSES, ATTEMPTS = 2_000, 20, 20


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and keep; 0 when the goals are met, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1_000, help="reads a second (default: %(default)s)")
    arguments = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 110)
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder, Session(Path(folder)) as session:
        try:
            figures = measure(session, arguments.seconds, arguments.rounds, arguments.rate, console.print)
        finally:
            session.remove()
    console.print(table(figures))
    again = f"python -m benchmarks.api --seconds {arguments.seconds:g} --rounds {arguments.rounds}"
    found = goals(figures, arguments.rate)
    path = keep("api", f"{again} --rate {arguments.rate:g}", found, kept(figures))
    console.print(f"kept in {path}")
    return 0 if all(goal.met for goal in found) else 1


def measure(
    session: Session, seconds: float, rounds: int, rate: float, say: Callable[[str], None]
) -> Figures:
    """All rounds on one running stack."""
    task = session.start_task()
    edges = wiring.edges(load(session.environment))
    events = _history(random.Random(1))
    say(f"sending {len(events):,} events to read from")
    sender = Sender(edges, lambda: datetime.now(UTC))
    sender.send(events)
    wait_for(
        lambda: position(edges.ledger).accounting.read >= len(events) and position(edges.ledger).projected,
        task,
        seconds=300,
        what="states to read",
    )
    edges.close()
    task.stop()
    api = session.start_api({"LINGER_MILLIS": "5"})
    _apart(api)
    reads, writes = _reads(session), _writes(session, events)
    rounds_of_reads: list[tuple[Outcome, float]] = []
    rounds_of_writes: list[tuple[Outcome, float]] = []
    _settle(session)
    _load(api, reads, connections=64, per_second=rate, seconds=3)  # everything is warm and cached then
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        rounds_of_reads.append(_load(api, reads, connections=64, per_second=rate, seconds=seconds))
        read, _ = rounds_of_reads[-1]
        say(f"  reads: p50 {read.quantile(0.5) * 1000:.1f} ms, p99 {read.quantile(0.99) * 1000:.1f} ms")
        rounds_of_writes.append(_load(api, writes, connections=8, per_second=0, seconds=seconds))
    return _figures(rounds_of_reads, rounds_of_writes)


def _settle(session: Session) -> None:
    """What was written before the rounds is on the disk before them: their commits would wait for it.

    A checkpoint also leaves used WAL files to write into again, as a server has that runs for longer; a new
    file of zeros every few seconds is the fate of the first minutes alone.
    """
    with psycopg.connect(session.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    os.sync()


def _figures(reads: Sequence[tuple[Outcome, float]], writes: Sequence[tuple[Outcome, float]]) -> Figures:
    statuses: dict[str, int] = {}
    for outcome, _ in (*reads, *writes):
        for status, count in outcome.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    events = [(BATCH * len(outcome.latencies), outcome, cpu) for outcome, cpu in writes]
    return Figures(
        reads_per_second=_median(len(o.latencies) / o.wall_seconds for o, _ in reads),
        read_p50=_median(o.quantile(0.5) for o, _ in reads),
        read_p99=_median(o.quantile(0.99) for o, _ in reads),
        service_cpu_per_read=_median(cpu / len(o.latencies) for o, cpu in reads),
        events_per_second=_median(count / o.wall_seconds for count, o, _ in events),
        events_per_core_second=_median(count / cpu for count, _, cpu in events),
        load_cpu_share_reads=_median(o.cpu_seconds / o.wall_seconds for o, _ in reads),
        load_cpu_share_events=_median(o.cpu_seconds / o.wall_seconds for o, _ in writes),
        statuses=statuses,
    )


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def _load(
    api: Api, requests: list[bytes], *, connections: int, per_second: float, seconds: float
) -> tuple[Outcome, float]:
    """One round: what the load saw, and the CPU seconds of the service meanwhile."""
    host, port = api.url.removeprefix("http://").split(":")
    plan = Plan(host, int(port), requests, connections, per_second, seconds)
    before = _cpu(api)
    command = [sys.executable, "-m", "benchmarks.http_load"]
    done = subprocess.run(command, input=msgspec.msgpack.encode(plan), stdout=subprocess.PIPE, check=True)
    outcome = msgspec.msgpack.decode(done.stdout, type=Outcome)
    return outcome, _cpu(api) - before


def _family(api: Api) -> list[psutil.Process]:
    assert api.process.pid is not None
    parent = psutil.Process(api.process.pid)
    return [parent, *parent.children(recursive=True)]


def _cpu(api: Api) -> float:
    return sum(float(times.user + times.system) for times in (p.cpu_times() for p in _family(api)))


def _apart(api: Api) -> None:
    """The service on the first core, everything else of ours on the others, where there are others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return
    ours = {p.pid for p in _family(api)}
    for process in psutil.Process().children(recursive=True):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, cores[:1] if process.pid in ours else cores[1:])
    os.sched_setaffinity(0, cores[1:])


def _history(chance: random.Random) -> list[Native]:
    begun = datetime.now(UTC) - timedelta(days=20)
    return [
        {
            "student_id": f"student-{student}",
            "course_id": f"course-{student % COURSES}",
            "item_id": f"quiz-{number}",
            "attempt": 1,
            "score": chance.randrange(101),
            "max_score": 100,
            "occurred_at": (begun + timedelta(days=number, seconds=student)).isoformat(),
        }
        for number in range(ATTEMPTS)
        for student in range(STUDENTS)
    ]


def _reads(session: Session) -> list[bytes]:
    """Teachers reading single students: each read is recorded."""
    courses = [argument for n in range(COURSES) for argument in ("--course", f"course-{n}")]
    token = session.token("teacher", "--role", "teacher", *courses)
    headers = {"Authorization": f"Bearer {token}"}
    order = random.Random(2).sample(range(STUDENTS), STUDENTS)
    return [
        request("GET", f"/metrics?student_id=student-{n}&course_id=course-{n % COURSES}", headers)
        for n in order
    ]


def _writes(session: Session, events: Sequence[Native]) -> list[bytes]:
    token = session.token("lms", "--role", "producer")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    mixed = random.Random(3).sample(list(events), len(events))
    return [
        request("POST", "/students", headers, json.dumps(mixed[start : start + BATCH]).encode())
        for start in range(0, len(mixed), BATCH)
    ]


if __name__ == "__main__":
    sys.exit(main())
