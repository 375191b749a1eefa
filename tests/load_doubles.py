"""A whole product in memory that a load can be sent to, and that can be made to lie."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from scripts.loading.targets import Entrance, Target
from scripts.loading.watching import Tasks
from tests.conftest import IDENTITY
from tests.doubles import DECODER
from worker.adapters.memory import MemoryCheckpointer, MemoryLedger, MemoryMetrics, MemoryProjection
from worker.batch import Record
from worker.domain import envelope
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.local.edges import Edges
from worker.stream.pipeline import Pipeline, Policy, World


def now() -> datetime:
    return datetime.now(UTC)


class System:
    """Two shards that commit what is put before the put returns.

    Args:
        spoil: what becomes of the events of a put on their way.
        refuse_every: so many puts, one is refused.
        slow_seconds: what a put takes.
        on_put: is told of each put.
    """

    def __init__(
        self,
        spoil: Callable[[Sequence[ScoreEvent]], Sequence[ScoreEvent]] = lambda events: events,
        *,
        refuse_every: int = 0,
        slow_seconds: float = 0.0,
        on_put: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.ledger = MemoryLedger()
        self.projection = MemoryProjection()
        self.puts = 0
        self._spoil = spoil
        self._refuse_every = refuse_every
        self._slow_seconds = slow_seconds
        self._on_put = on_put
        self._sequence = 0
        self._lock = threading.Lock()
        self._shards = [self._pipeline(f"kinesis:stream@now:shardId-00000000000{n}") for n in range(2)]
        self._checkpointer = MemoryCheckpointer()

    @property
    def target(self) -> Target:
        return Target("a system in memory", "not limited", Entrance(), Tasks(list), self.edges)

    def edges(self) -> Edges:
        return Edges(self.ledger, cast("Any", self.projection), cast("Any", self), IDENTITY, "default")

    def send(self, events: Sequence[ScoreEvent]) -> None:
        """The producer's half, and the worker's."""
        with self._lock:
            self.puts += 1
            self._on_put(self.puts)
            time.sleep(self._slow_seconds)
            if self._refuse_every and self.puts % self._refuse_every == 0:
                raise StreamUnavailable
            events = self._spoil(events)
            for number, pipeline in enumerate(self._shards):
                mine = [event for event in events if event.student_key.int >> 127 == number]
                self._sequence += 1
                if mine:
                    pipeline.process([Record(envelope.seal(mine), Position(self._sequence), now())])
                    pipeline.settle(self._checkpointer, at_once=True)

    def _pipeline(self, source: str) -> Pipeline:
        world = World(
            ledger=self.ledger,
            projection=self.projection,
            metrics=MemoryMetrics(),
            now=now,
            pause=lambda _seconds, because: (_ for _ in ()).throw(because),
            chance=random.Random(7),
        )
        pipeline = Pipeline(source, DECODER, world, Policy())
        pipeline.open(None)
        return pipeline
