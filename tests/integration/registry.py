"""A small school on real servers, for the scripts that take out or give away whole records."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import redis
from psycopg import sql

from tests.conftest import NOW
from tests.doubles import Time
from worker import wiring, wiring_jobs
from worker.adapters.memory import MemoryCheckpointer, MemoryMetrics
from worker.batch import Record, StateKey
from worker.domain.accounting import Accounting
from worker.domain.position import Position
from worker.ports import Ledger, Projection
from worker.reads import Disclosure
from worker.settings import load
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, World
from worker.stream.projecting import state_value


def attempt(
    student: str, course: str = "algebra", *, number: int = 1, score: object = 80, at: datetime = NOW
) -> dict[str, object]:
    """One event as a learning platform sends it."""
    return {
        "student_id": student,
        "course_id": course,
        "item_id": "quiz",
        "attempt": number,
        "score": score,
        "max_score": 100,
        "occurred_at": at.isoformat(),
    }


class Registry:
    """One ledger and one projection, as jobs find them, and a worker that the test turns by hand."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.settings = load(environment)
        self.office = wiring_jobs.office(self.settings)
        self.time = Time()
        self.metrics = MemoryMetrics()
        self._opened: list[Ledger | Projection] = []

    def close(self) -> None:
        self.office.close()
        for port in self._opened:
            port.close()

    def enter(self, **variables: str) -> None:
        """More of the environment, for this process too; the fixture takes it back."""
        self.environment = {**self.environment, **variables}
        os.environ.update(variables)
        self.settings = load(self.environment)

    def prefix(self) -> str:
        """What the sources of the stream begin with."""
        return wiring.stream_prefix(self.settings)()

    def key(self, student: str) -> UUID:
        return self.office.identity.identify(student, self.settings.realm).student_key

    def state(self, student: str, course: str = "algebra") -> StateKey:
        return StateKey(self.key(student), course)

    def pipeline(self, source: str = "shard") -> Pipeline:
        """A fresh owner of a source."""
        ledger = wiring.ledger(self.settings)
        projection = wiring.projection(self.settings, self.office.ledger.epoch())
        self._opened += [ledger, projection]
        world = World(
            ledger=ledger,
            projection=projection,
            metrics=self.metrics,
            now=self.time.now,
            pause=self.time.pause,
        )
        decoder = Decoder(self.office.identity, self.settings.realm)
        pipeline = Pipeline(source, decoder, world, wiring.policy(self.settings))
        pipeline.open(None)
        return pipeline

    def deliver(self, *records: Sequence[Mapping[str, object] | bytes], source: str = "shard") -> None:
        """The records to an owner of the source, from its beginning, all the way."""
        pipeline = self.pipeline(source)
        pipeline.process([record(n, *events) for n, events in enumerate(records, 1)])
        pipeline.settle(MemoryCheckpointer(), at_once=True)

    def look(self, who: str, *students: str, course: str | None = "algebra", at: datetime = NOW) -> None:
        """Somebody sees these students' records."""
        keys = [self.key(student) for student in students]
        self.office.disclosures.record([Disclosure(at, who, "teacher", "scores", course, None, keys)])

    def outcomes(self) -> dict[str, int]:
        """What became of all events."""
        total = sum((one.accounting for one in self.office.ledger.progress().values()), start=Accounting())
        assert total.closes
        return {outcome: n for outcome, n in total.outcomes.items() if n}

    def stale(self) -> list[StateKey]:
        """The states in Redis that are not the ledger's own words; absent ones are no harm."""
        keys = [key for page in self.office.ledger.versions(1_000) for key, _ in page]
        states = self.office.ledger.read(keys)
        found = self.office.projection.states(keys)
        return [
            key
            for key, value in zip(keys, found, strict=True)
            if value is not None and value != state_value(states[key])
        ]

    def waiting(self) -> int:
        """How many sessions of this database wait for a lock of another."""
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as admin:
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def kill(self, seen: Callable[[], bool], script: str, *argv: str, given: str = "") -> None:
        """Start a script as an operator does, and kill it at the moment something is seen."""
        process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.{script}", *argv],
            env={"PATH": os.environ["PATH"], **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        with process.stdin as told:
            told.write(given)
        while not seen() and process.poll() is None:
            pass
        assert process.poll() is None, "it ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def dump(self) -> dict[str, bytes]:
        """Every row of every table as text, and every key of Redis with what it holds."""
        found: dict[str, bytes] = {}
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as admin:
            tables = admin.execute(
                "SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            ).fetchall()
            for (table,) in tables:
                statement = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
                found[table] = "\n".join(row[0] for row in admin.execute(statement)).encode()
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            epoch = str(self.office.ledger.epoch()).encode()
            parts = []
            for name in sorted(client.scan_iter(count=1_000)):  # a scan has no order
                if epoch in name:
                    parts.append(name)
                    if client.type(name) == b"string":
                        parts.append(client.get(name) or b"")
            found["redis"] = b"\n".join(parts)
        return found


def record(sequence: int, *events: Mapping[str, object] | bytes) -> Record:
    """The events as one plain record, a line each; bytes as they are."""
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return Record(b"\n".join(lines), Position(sequence), NOW)
