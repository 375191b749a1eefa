"""A system that a script is run on: a ledger of its own, keys, a stream, and what shall not be touched."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import score_event
from worker import wiring
from worker.domain import envelope
from worker.domain.event import ScoreEvent
from worker.local.cloud import Cloud, aws_client
from worker.local.edges import Edges
from worker.local.keys import ensure_keys
from worker.local.stack import Stack
from worker.local.verifying import states_equal_ledger
from worker.settings import load

_epochs = iter(range(10**6, 10**9))

ROWS = (
    "SELECT course_id, student_key, attempt_key, attempt_check, score, max_score, occurred_at, graded_at,"
    " kind, rev, digest, event_key, item, source FROM attempts JOIN students USING (student_ref)"
    " JOIN courses USING (course_ref) ORDER BY 1, 2, 3"
)


class System:
    """Servers of the stack with a database, a stream and a state folder of one test.

    Args:
        stack: the servers.
        database: a fresh migrated one.
        folder: for keys and reports.
        kinesis: another Kinesis than the stack's.
    """

    def __init__(self, stack: Stack, database: str, folder: Path, kinesis: str | None = None) -> None:
        self.stream = f"stream-{uuid.uuid4().hex}"
        self.folder = folder
        self.environment: dict[str, str] = {
            **stack.endpoints.environment(),
            **ensure_keys(folder / "keys"),
            "DATABASE_URL": database,
            "MODE": "local",
            "STREAM_NAME": self.stream,
            "STATE_DIR": str(folder / "state"),
        }
        if kinesis is not None:
            self.environment |= {"KINESIS_ENDPOINT_URL": kinesis, "CBOR_ENABLED": "true"}
        self.database = database
        # the servers are shared with other tests: another epoch, and nothing of theirs is seen in Redis
        self.execute("UPDATE ledger SET epoch = %s", [next(_epochs)])
        self.kinesis = aws_client("kinesis", kinesis or stack.endpoints.aws_endpoint_url)
        Cloud.at(stack.endpoints.aws_endpoint_url, kinesis).create_stream(self.stream, shards=2)
        self.edges: Edges = wiring.edges(load(self.environment))

    def close(self) -> None:
        self.edges.close()

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> list[Any]:
        """The ledger's attempts, as they would be whoever wrote them and how often."""
        return self.execute(ROWS)

    def counters(self, like: str) -> dict[str, int]:
        """The counters of the sources whose name begins so, summed."""
        names = (
            "read",
            "applied",
            "revised",
            "duplicate",
            "superseded",
            "redelivered",
            "erased",
            "dead_lettered",
        )
        sums = ", ".join(f"coalesce(sum({name}), 0)::int" for name in names)
        statement = f"SELECT {sums} FROM source_progress WHERE starts_with(source, %s)"
        return dict(zip(names, self.execute(statement, [like])[0], strict=True))

    def projected(self) -> bool:
        """Whether Redis holds every state of the ledger, byte for byte."""
        return states_equal_ledger(self.edges).full

    def run(self, main: Callable[[Sequence[str]], int], *argv: str) -> tuple[int, dict[str, Any]]:
        """Run a script in this process; its exit code and report."""
        report = self.folder / f"{uuid.uuid4().hex}.json"
        kept = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            code = main([*argv, "--report", str(report)])
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        return code, json.loads(report.read_bytes()) if report.exists() else {}

    def start(self, script: str, *argv: str, broken_at: int | None = None) -> "subprocess.Popen[str]":
        """Start a script as a process of its own, to be killed at a word of it; see `breaking`."""
        module = [f"scripts.{script}"]
        if broken_at is not None:
            module = ["tests.integration.breaking", str(broken_at), str(int(signal.SIGKILL)), script]
        return subprocess.Popen(
            [sys.executable, "-m", *module, *argv],
            env={**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )


def stop_once(
    process: "subprocess.Popen[str]", reached: Callable[[], bool], by: signal.Signals = signal.SIGKILL
) -> int:
    """Signal a script as soon as it has reached that; how it ended."""
    try:
        while process.poll() is None and not reached():
            pass
        process.send_signal(by)
        return process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def some_events(count: int, seed: int = 0, ago: timedelta = timedelta(hours=1)) -> list[ScoreEvent]:
    """Events of 40 students in two courses; every tenth is a later grading of an earlier attempt."""
    now = datetime.now(UTC) - ago
    found = []
    for n in range(count):
        regrade = n % 10 == 9
        m = n - 5 if regrade else n
        found.append(
            score_event(
                f"student-{m % 40}",
                f"course-{m % 2}",
                attempt=seed + m,
                score=(n * 7) % 101,
                at=now + timedelta(milliseconds=m),
                graded=now + timedelta(seconds=n),
            )
        )
    return found


def as_record(events: Sequence[ScoreEvent]) -> bytes:
    return envelope.seal(events)
