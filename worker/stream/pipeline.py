"""The journey of a batch. Read this first.

    records ── decode ──► events ── commit ──► ledger ── project ──► Redis ── checkpoint ──► KCL
                 │                     │
                 └── dead letters ─────┘

Rule R1 is the order of the lines in `_journey` and `settle`: the checkpoint never passes a record that is not
in the ledger and projected. Nothing is skipped by position and no state is kept between batches, so every
step may be repeated by anyone at any time: this process after an outage, the next owner after a crash, a
former owner that does not know it yet.

What happens while a server is away is told in `waiting.py`, what when Redis has lost something in
`healing.py`.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from worker.batch import Batch, Record, Source
from worker.domain.accounting import Outcome
from worker.domain.errors import (
    CheckpointUnavailable,
    LedgerBehindCheckpoint,
    PoisonBatch,
    PoisonFlood,
    ProjectionUnavailable,
    Reason,
)
from worker.domain.poison import PoisonWindow
from worker.domain.position import ORIGIN, Position
from worker.ports import Checkpointer, Committed, Loaded, Write
from worker.stream.decoding import Decoder, batches
from worker.stream.failures import poisoned, without_poison
from worker.stream.healing import Healing
from worker.stream.projecting import plan, rebuilt
from worker.stream.waiting import Waiting
from worker.stream.watermark import Watermark
from worker.stream.world import Policy, World

__all__ = ["Pipeline", "Policy", "World"]

_HALT_SECONDS = 5.0


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
        self._alive = world.alive
        self._policy = policy
        self._waiting = Waiting(world, policy)
        self._healing = Healing(source, world, policy, self._waiting)
        self._watermark = Watermark(source, world.projection, world.now)
        self._committed = ORIGIN
        self._projected = ORIGIN
        self._checkpointed = ORIGIN
        self._checkpointed_at: datetime | None = None
        self._poison = PoisonWindow()

    def open(self, checkpoint: Position | None) -> None:
        """Begin at the stream's checkpoint (None: at its start).

        Raises:
            LedgerBehindCheckpoint: the ledger has lost what the stream thinks is done.
        """
        progress = self._waiting.until_ledger(lambda: self._ledger.open_source(self._source))
        if checkpoint is not None and checkpoint > progress.committed:
            raise LedgerBehindCheckpoint
        self._healing.raise_floor(progress.projected)
        self._poison = progress.poison

    def process(self, records: Sequence[Record], *, at_tip: bool = False) -> None:
        """Take records all the way into ledger and projection; returns when they are there.

        `at_tip` says that the stream had nothing after them.

        Raises:
            Fatal: the process must end before it reports these records as done.
        """
        self._watermark.begin()
        self.take(batches(self._source, records, self._decoder, self._policy.limits))
        if records and not self._waiting.adrift:
            waited = self._now() - min(record.arrived_at for record in records)
            # a clock behind the stream's would count back
            self._metrics.observe("arrival_to_projected_seconds", max(0.0, waited.total_seconds()))
        if self.settled:
            self._watermark.done(records[-1].arrived_at if records else None, at_tip=at_tip)

    def take(self, cut: Iterable[Batch]) -> None:
        """Take batches of this source, which somebody else has decoded, into ledger and projection.

        Raises:
            Fatal: the process must end; what is not committed has to be taken again.
        """
        self._heal()
        for batch in cut:
            self._journey(batch)
            self._alive()

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
        self._waiting.until_ledger(lambda: self._ledger.advance_floor(self._source, self._projected))
        self._checkpointed_at = now
        try:
            checkpointer.checkpoint(self._projected)
        except CheckpointUnavailable:
            self._metrics.count("checkpoints_total", result="unavailable")
            return
        self._checkpointed = self._projected
        self._metrics.count("checkpoints_total", result="stored")

    def finish(self) -> None:
        """End the source: wait until everything is projected, however long Redis stays away."""
        while not self.settled:
            self._waiting.pause_between(0, 1, ProjectionUnavailable("a sweep must come before the end"))
            self._heal(at_once=True)
        self._watermark.end()

    @property
    def settled(self) -> bool:
        """Whether everything processed so far is in the ledger, projected and below the floor."""
        return not self._waiting.adrift and self._projected == self._committed

    def _heal(self, *, at_once: bool = False) -> None:
        if self._healing.tick(self._committed, at_once=at_once):
            self._projected = self._committed

    def _journey(self, batch: Batch) -> None:
        batch, loaded, committed = self._waiting.until_ledger(lambda: self._commit(batch))
        self._committed = max(self._committed, batch.high)
        self._poison = batch.poison
        self._count(batch, committed)
        marker = None if loaded is None else self._project(batch, loaded, committed)
        if marker is not None:
            self._projected = max(self._projected, batch.high)
            self._healing.raise_floor(marker)

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
            loaded = self._waiting.until_projection(lambda: self._load(batch))
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
            self._waiting.pause(
                _HALT_SECONDS, PoisonFlood(f"{window.poison} poisoned events, {window.streak} in a row")
            )
        return dataclasses.replace(batch, poison=window)

    def _load(self, batch: Batch) -> Loaded:
        while True:
            loaded = self._projection.load_or_claim(self._source, batch.keys)
            if (loaded.marker or ORIGIN) >= self._healing.floor:
                return loaded
            self._healing.sweep()

    def _project(self, batch: Batch, loaded: Loaded, committed: Committed) -> Position | None:
        """The marker once every state is the ledger's, or None when Redis stayed away."""
        with self._timed("project"):
            writes, rest = plan(committed.touched, loaded)
            if rest:
                states = self._waiting.until_ledger(lambda: self._ledger.read([key for key, _ in rest]))
                writes += [rebuilt(key, value, loaded.claim, states) for key, value in rest]
                self._metrics.count("states_rebuilt_total", len(rest))
            return self._waiting.until_projection(self._final(batch, loaded, writes))

    def _final(self, batch: Batch, loaded: Loaded, writes: list[Write]) -> Callable[[], Position]:
        """The final script as a step that may be repeated: after any failure only with a fresh look."""
        look: tuple[Loaded, list[Write]] | None = (loaded, writes)

        def write() -> Position:
            nonlocal look
            seen, planned = look or self._reload(batch)
            look = None
            delays = self._waiting.delays()
            while not self._projection.write(self._source, seen.marker, batch.reach, planned):
                # Two writers in step could take each other's claims for ever.
                self._waiting.pause(next(delays), ProjectionUnavailable("another writer was faster"))
                seen, planned = self._reload(batch)
            return max(batch.reach, seen.marker or ORIGIN)

        return write

    def _reload(self, batch: Batch) -> tuple[Loaded, list[Write]]:
        """After a failed final script: load again, and take every state from the ledger as it is now."""
        self._metrics.count("projection_retries_total")
        loaded = self._load(batch)
        keys = batch.keys
        states = self._waiting.until_ledger(lambda: self._ledger.read(keys))
        pairs = zip(keys, loaded.values, strict=True)
        return loaded, [rebuilt(key, value, loaded.claim, states) for key, value in pairs]

    def _count(self, batch: Batch, committed: Committed) -> None:
        accounting = committed.accounting
        self._metrics.count("events_read_total", accounting.read)
        for outcome, count in accounting.outcomes.items():
            self._metrics.count("events_total", count, outcome=outcome)
        letters = Counter(letter.reason for letter in batch.dead_letters)
        # what the decoder let through and the ledger did not
        letters[Reason.KEY_COLLISION] += accounting[Outcome.DEAD_LETTERED] - letters.total()
        for reason, count in (+letters).items():
            self._metrics.count("dead_letters_total", count, reason=reason)
        self._metrics.count("transactions_total")
        self._metrics.count("states_touched_total", len(committed.touched))
        self._metrics.observe("batch_events", batch.read)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = self._now()
        yield
        self._metrics.observe("stage_seconds", (self._now() - started).total_seconds(), stage=stage)
