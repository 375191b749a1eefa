"""One turn of measured batches on one ledger, through the product's pipeline, and what each part has used."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

import psycopg
import redis

from benchmarks.growing import cpu
from benchmarks.growing.ballast import some_states
from benchmarks.growing.batches import EVENTS, Batches, Mix
from benchmarks.growing.plans import Explainable
from benchmarks.growing.yard import Ledger, Yard
from worker.adapters.memory import MemoryMetrics, MemoryVault
from worker.adapters.redis import RedisProjection
from worker.domain.identity import Identity, Key, Keyring
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, Policy, World

_IDENTITY = Identity(Keyring("k", {"k": Key(bytes(32), bytes(64))}))
_LANE = 10_000
"""Batches that one lane may have."""

# A table of more than a quarter of the memory is not kept when it is read from end to end.
_EVERYTHING = (
    "SET max_parallel_workers_per_gather = 0",
    "SELECT count(*) FROM attempts WHERE score IS NULL",
    "SELECT count(*) FROM course_scores WHERE version = 0",
    "SELECT count(*) FROM students WHERE sealed_id IS NULL",
    "SET enable_seqscan = off",
    "SELECT count(*) FROM (SELECT course_ref FROM attempts ORDER BY course_ref, student_ref OFFSET 0) a",
    "SELECT count(*) FROM (SELECT course_ref FROM course_scores ORDER BY course_ref, student_ref OFFSET 0) a",
    "SELECT count(*) FROM (SELECT student_key FROM students ORDER BY student_key OFFSET 0) a",
    "RESET enable_seqscan",
    "RESET max_parallel_workers_per_gather",
)


class Cost(NamedTuple):
    """Microseconds an event: of this process, of the session's backend, of PostgreSQL's other processes, of
    Valkey, and of the clock; and the bytes of PostgreSQL's log, and of what goes to Redis and comes back.
    """

    client_us: float
    backend_us: float
    duties_us: float
    valkey_us: float
    wall_us: float
    wal_bytes: float
    redis_bytes: float

    @property
    def postgres_us(self) -> float:
        return self.backend_us + self.duties_us

    @property
    def cpu_us(self) -> float:
        """Of all parts."""
        return self.client_us + self.postgres_us + self.valkey_us


class Subject:
    """A filled ledger with its states in Redis, and a pipeline that has it as its own.

    Args:
        yard: the servers, whose CPU is watched.
        ledger: the rows.
        most: batches that will be asked for.
        lane: whose attempts these are, where others write to the same ledger.
    """

    def __init__(self, yard: Yard, ledger: Ledger, most: int, lane: int = 0) -> None:
        self._yard = yard
        url = ledger.url
        self.watch = psycopg.connect(url, autocommit=True)
        self._redis = redis.Redis.from_url(yard.valkey.url)
        self.ledger = Explainable(lambda: url, MemoryVault())
        self.projection = RedisProjection(lambda: yard.valkey.url, ledger.epoch, 86_400)
        self.metrics = MemoryMetrics()
        source = f"file:growth-{lane}"
        turn = max(lane * _LANE, self.ledger.open_source(source).committed.sequence)
        self.batches = Batches(some_states(url, most * Mix.of(EVENTS).states, turn), turn, source)
        world = World(
            ledger=self.ledger,
            projection=self.projection,
            metrics=self.metrics,
            now=lambda: datetime.now(UTC),
            pause=_never,
        )
        self.pipeline = Pipeline(source, Decoder(_IDENTITY, "default"), world, Policy())
        self.pipeline.open(None)
        found = self.watch.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name = 'edu-worker'"
        ).fetchall()
        self._backend: int = found[0][0]

    def warm(self) -> None:
        """Read the whole ledger once in the session that is measured.

        One that has lived for a day has had every page before: the server holds it, and the kernel has mapped
        it into the session's memory.
        """
        self.ledger.run(_EVERYTHING)

    def turn(self, warm: int, count: int, events: int = EVENTS) -> Cost:
        """Some batches that are not counted, then some that are; of so many events each."""
        self.pipeline.take(self.batches.take(warm, events))
        cut = self.batches.take(count, events)
        with _as_small_as_a_shard_process():
            before = self._used()
            begun = time.perf_counter()
            self.pipeline.take(cut)
            wall = time.perf_counter() - begun
            after = self._used()
        parts = [last - first for first, last in zip(before, after, strict=True)]
        client, backend, duties, valkey, *amounts = (part / count / events for part in parts)
        us = 1e6
        return Cost(client * us, backend * us, duties * us, valkey * us, wall / count / events * us, *amounts)

    def _used(self) -> tuple[float, ...]:
        row = self.watch.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        children = cpu.of_children(self._yard.postmaster)
        backend = children.pop(self._backend)
        children.pop(self.watch.info.backend_pid)
        valkey = cpu.of_process(self._yard.valkey_pid)
        told = self._redis.info("stats")
        moved = float(told["total_net_input_bytes"]) + float(told["total_net_output_bytes"])
        return cpu.own(), backend, sum(children.values()), valkey, float(row[0]), moved

    def close(self) -> None:
        self.ledger.close()
        self.projection.close()
        self.watch.close()
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _as_small_as_a_shard_process() -> Iterator[None]:
    """What waits here for later turns is no work of the collector's, as a shard process has none of it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _never(seconds: float, because: Exception) -> None:  # noqa: ARG001 - a port's shape
    """Nothing may fail here: a wait would be measured as work."""
    raise because
