"""The journey of a batch. Read this first.

    records ── decode ──► events ── commit ──► ledger ── project ──► Redis ── checkpoint ──► KCL
                 │                     │
                 └── dead letters ─────┘

Rule R1 is the order of the lines in `_journey` and `settle`: the checkpoint never passes a record that is not
in the ledger and projected. Nothing is skipped by position and no state is kept between batches, so every
step may be repeated by anyone at any time: this process after an outage, the next owner after a crash, a
former owner that does not know it yet.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from worker.domain.errors import (
    CheckpointUnavailable,
    LedgerBehindCheckpoint,
    LedgerUnavailable,
    PoisonBatch,
    PoisonFlood,
    ProjectionUnavailable,
)
from worker.domain.poison import PoisonLimit, PoisonWindow
from worker.domain.position import ORIGIN, Position
from worker.ports import (
    Batch,
    Checkpointer,
    Clock,
    Committed,
    Ledger,
    Loaded,
    Metrics,
    Pause,
    Projection,
    Record,
    Source,
    Write,
)
from worker.stream.checkpointing import CheckpointPolicy
from worker.stream.decoding import Decoder, Limits, batches
from worker.stream.failures import poisoned, without_poison
from worker.stream.projecting import plan, rebuilt
from worker.stream.retrying import Backoff
from worker.stream.sweeping import lost_writes, sweep

T = TypeVar("T")
_HALT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """When the pipeline does what it need not do at once; durations, told the time by the clock."""

    limits: Limits = dataclasses.field(default_factory=Limits)
    checkpoint: CheckpointPolicy = dataclasses.field(default_factory=CheckpointPolicy)
    guard_every: timedelta = timedelta(seconds=5)
    redis_patience: timedelta = timedelta(seconds=30)
    backoff: Backoff = dataclasses.field(default_factory=Backoff)
    poison: PoisonLimit = dataclasses.field(default_factory=PoisonLimit)


@dataclasses.dataclass(frozen=True)
class World:
    """The ports of one pipeline; `alive` is told after every batch and page, however long a call takes."""

    ledger: Ledger
    projection: Projection
    metrics: Metrics
    now: Clock
    pause: Pause
    alive: Callable[[], None] = lambda: None
    chance: random.Random = dataclasses.field(default_factory=random.Random)


class Pipeline:
    """One source's way into ledger and projection.

    An outage of the ledger is waited out for as long as it lasts. When Redis is away for longer than its
    patience, commits go on without it (*adrift*): floor and checkpoint stand still until a sweep has healed
    the projection.
    """

    def __init__(self, source: Source, decoder: Decoder, world: World, policy: Policy) -> None:
        self._source = source
        self._decoder = decoder
        self._ledger = world.ledger
        self._projection = world.projection
        self._metrics = world.metrics
        self._now = world.now
        self._pause = world.pause
        self._alive = world.alive
        self._chance = world.chance
        self._policy = policy
        self._floor = ORIGIN  # projected, as far as this process knows: Redis must not be behind it
        self._committed = ORIGIN
        self._projected = ORIGIN
        self._checkpointed = ORIGIN
        self._checkpointed_at: datetime | None = None
        self._guarded_at: datetime | None = None
        self._poison = PoisonWindow()
        self._adrift = False
        self._degraded = False

    def open(self, checkpoint: Position | None) -> None:
        """Begin at the stream's checkpoint (None: at its start).

        Raises:
            LedgerBehindCheckpoint: the ledger has lost what the stream thinks is done.
        """
        progress = self._until_ledger(lambda: self._ledger.open_source(self._source))
        if checkpoint is not None and checkpoint > progress.committed:
            raise LedgerBehindCheckpoint
        self._floor = progress.projected
        self._poison = progress.poison

    def process(self, records: Sequence[Record]) -> None:
        """Take records all the way into ledger and projection; returns when they are there.

        Raises:
            Fatal: the process must end before it reports these records as done.
        """
        self._heal()
        for batch in batches(self._source, records, self._decoder, self._policy.limits):
            self._journey(batch)
            self._alive()
        if records and not self._adrift:
            waited = self._now() - min(record.arrived_at for record in records)
            self._metrics.observe("arrival_to_projected_seconds", waited.total_seconds())

    def settle(self, checkpointer: Checkpointer, *, at_once: bool = False) -> None:
        """Store how far the projection is: first the ledger's floor, then the stream's checkpoint.

        Raises:
            LeaseLost: another worker owns the shard.
        """
        now = self._now()
        if self._projected <= self._checkpointed:
            return
        if not at_once and not self._policy.checkpoint.due(self._checkpointed_at, now):
            return
        self._until_ledger(lambda: self._ledger.advance_floor(self._source, self._projected))
        self._checkpointed_at = now
        try:
            checkpointer.checkpoint(self._projected)
        except CheckpointUnavailable:
            self._metrics.count("checkpoints_total", result="unavailable")
            return
        self._checkpointed = self._projected
        self._metrics.count("checkpoints_total", result="stored")

    def finish(self) -> None:
        """Wait until everything processed is projected, however long Redis stays away."""
        while not self.settled:
            self._pause(self._chance.uniform(0, 1), ProjectionUnavailable("a sweep must come before the end"))
            self._guarded_at = None
            self._heal()

    @property
    def settled(self) -> bool:
        """Whether everything processed so far is in the ledger, projected and below the floor."""
        return not self._adrift and self._projected == self._committed

    def _journey(self, batch: Batch) -> None:
        batch, loaded, committed = self._until_ledger(lambda: self._commit(batch))
        self._committed = max(self._committed, batch.high)
        self._poison = batch.poison
        self._count(batch, committed)
        marker = None if loaded is None else self._project(batch, loaded, committed)
        if marker is not None:
            self._projected = max(self._projected, batch.high)
            self._floor = max(self._floor, marker)

    def _commit(self, batch: Batch) -> tuple[Batch, Loaded | None, Committed]:
        """One transaction, from its start: after an unknown outcome it is simply made again."""
        try:
            return self._transact(batch)
        except PoisonBatch:
            # The keys may be fewer then; states of the others stay claimed, which only costs a rebuild.
            return self._transact(without_poison(batch, self._ledger))

    def _transact(self, batch: Batch) -> tuple[Batch, Loaded | None, Committed]:
        batch = self._ledger.intern(self._within_limit(batch))
        with self._timed("load"):
            loaded = self._until_projection(lambda: self._load(batch))
        with self._timed("commit"):
            return batch, loaded, self._ledger.commit(batch)

    def _within_limit(self, batch: Batch) -> Batch:
        """The batch with its poison counted; halts for good, committing nothing, where that is too much.

        The way out is a new process: with a mended decoder, or a higher limit.
        """
        window, too_much = self._poison.after(poisoned(batch), self._policy.poison)
        if too_much:
            self._metrics.gauge("halted", 1)
        while too_much:
            self._pause(
                _HALT_SECONDS, PoisonFlood(f"{window.poison} poisoned events, {window.streak} in a row")
            )
        return dataclasses.replace(batch, poison=window)

    def _load(self, batch: Batch) -> Loaded:
        while True:
            loaded = self._projection.load_or_claim(self._source, batch.keys)
            if (loaded.marker or ORIGIN) >= self._floor:
                return loaded
            self._sweep({self._source: self._floor})

    def _project(self, batch: Batch, loaded: Loaded, committed: Committed) -> Position | None:
        """The marker once every state is the ledger's, or None when Redis stayed away."""
        with self._timed("project"):
            writes, rest = plan(committed.touched, loaded)
            if rest:
                states = self._until_ledger(lambda: self._ledger.read([key for key, _ in rest]))
                writes += [rebuilt(key, value, loaded.claim, states) for key, value in rest]
                self._metrics.count("states_rebuilt_total", len(rest))
            return self._until_projection(self._final(batch, loaded, writes))

    def _final(self, batch: Batch, loaded: Loaded, writes: list[Write]) -> Callable[[], Position]:
        """The final script as a step that may be repeated: after any failure only with a fresh look."""
        look: tuple[Loaded, list[Write]] | None = (loaded, writes)

        def write() -> Position:
            nonlocal look
            seen, planned = look or self._reload(batch)
            look = None
            delays = self._policy.backoff.delays(self._chance)
            while not self._projection.write(self._source, seen.marker, batch.reach, planned):
                # Two writers in step could take each other's claims for ever.
                self._pause(next(delays), ProjectionUnavailable("another writer was faster"))
                seen, planned = self._reload(batch)
            return max(batch.reach, seen.marker or ORIGIN)

        return write

    def _reload(self, batch: Batch) -> tuple[Loaded, list[Write]]:
        """After a failed final script: load again, and take every state from the ledger as it is now."""
        self._metrics.count("projection_retries_total")
        loaded = self._load(batch)
        keys = batch.keys
        states = self._until_ledger(lambda: self._ledger.read(keys))
        pairs = zip(keys, loaded.values, strict=True)
        return loaded, [rebuilt(key, value, loaded.claim, states) for key, value in pairs]

    def _heal(self) -> None:
        """On a tick: look for writes that Redis lost, and come back from being adrift."""
        now = self._now()
        if self._guarded_at is not None and now - self._guarded_at < self._policy.guard_every:
            return
        self._guarded_at = now
        try:
            if self._adrift:
                self._land()
            elif self._lost_writes():
                self._sweep({self._source: self._floor})
        except ProjectionUnavailable:
            return  # the next batch waits for it, or goes on adrift

    def _land(self) -> None:
        """Redis may be back: once swept, all that was committed adrift is either right or absent."""
        committed = self._committed
        swept = self._until_ledger(
            lambda: sweep(self._ledger, self._projection, {self._source: committed}, self._alive)
        )
        if swept is None:
            return
        self._note_sweep(swept.dropped)
        self._projected = committed
        self._floor = max(self._floor, committed)
        self._adrift = False
        self._recovered()

    def _lost_writes(self) -> bool:
        floors = dict(self._until_ledger(self._ledger.floors))
        floors[self._source] = max(self._floor, floors.get(self._source, ORIGIN))
        return lost_writes(floors, self._projection.markers(list(floors)))

    def _sweep(self, own: dict[Source, Position]) -> None:
        swept = self._until_ledger(lambda: sweep(self._ledger, self._projection, own, self._alive))
        if swept is None:
            self._pause(self._chance.uniform(0.1, 0.5), ProjectionUnavailable("another worker sweeps"))
        else:
            self._note_sweep(swept.dropped)

    def _note_sweep(self, dropped: int) -> None:
        self._metrics.count("sweeps_total")
        self._metrics.count("states_dropped_total", dropped)

    def _until_ledger(self, step: Callable[[], T]) -> T:
        """Repeat a step until PostgreSQL answers, however long that takes."""
        delays = self._policy.backoff.delays(self._chance)
        while True:
            try:
                result = step()
            except LedgerUnavailable as outage:
                self._wait(next(delays), outage, "ledger")
            else:
                self._recovered()
                return result

    def _until_projection(self, step: Callable[[], T]) -> T | None:
        """Repeat a step while Redis is away; None once patience ends and the pipeline is adrift."""
        if self._adrift:
            return None
        give_up_at = self._now() + self._policy.redis_patience
        delays = self._policy.backoff.delays(self._chance)
        while self._now() < give_up_at:
            try:
                result = step()
            except ProjectionUnavailable as outage:
                self._wait(next(delays), outage, "projection")
            else:
                self._recovered()
                return result
        self._adrift = True
        return None

    def _wait(self, delay: float, outage: Exception, dependency: str) -> None:
        self._degraded = True
        self._metrics.count("waits_total", dependency=dependency)
        self._metrics.gauge("degraded", 1)
        self._pause(delay, outage)

    def _recovered(self) -> None:
        if self._degraded and not self._adrift:
            self._degraded = False
            self._metrics.gauge("degraded", 0)

    def _count(self, batch: Batch, committed: Committed) -> None:
        accounting = committed.accounting
        self._metrics.count("events_read_total", accounting.read)
        for outcome, count in accounting.outcomes.items():
            self._metrics.count("events_total", count, outcome=outcome)
        self._metrics.count("transactions_total")
        self._metrics.count("states_touched_total", len(committed.touched))
        self._metrics.observe("batch_events", batch.read)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = self._now()
        yield
        self._metrics.observe("stage_seconds", (self._now() - started).total_seconds(), stage=stage)
