"""How a pipeline notices that Redis went back, makes it right, and comes back from being adrift.

The *floor* is how far the source is projected as far as this process knows: Redis must never be behind it. A
marker behind a floor, its own or that of any other source, is proof of lost writes, and the answer is a sweep
(`sweeping.py`). The floor in memory is fresher than the one in PostgreSQL, which follows at each checkpoint.
"""

from datetime import datetime

from worker.batch import Source
from worker.domain.errors import ProjectionUnavailable
from worker.domain.position import ORIGIN, Position
from worker.stream.sweeping import Swept, lost_writes, sweep
from worker.stream.waiting import Waiting, passed
from worker.stream.world import Policy, World


class Healing:
    """One source's watch over the projection; raises ProjectionUnavailable where nothing else is said."""

    def __init__(self, source: Source, world: World, policy: Policy, waiting: Waiting) -> None:
        self._source = source
        self._ledger = world.ledger
        self._projection = world.projection
        self._metrics = world.metrics
        self._now = world.now
        self._alive = world.alive
        self._every = policy.guard_every
        self._waiting = waiting
        self._floor = ORIGIN
        self._looked_at: datetime | None = None

    @property
    def floor(self) -> Position:
        """Redis must not be behind it."""
        return self._floor

    def raise_floor(self, position: Position) -> None:
        """So far the source is projected now."""
        self._floor = max(self._floor, position)

    def tick(self, committed: Position, *, at_once: bool = False) -> bool:
        """When it is due: look for writes that Redis lost, or, adrift, try to land.

        Raises nothing of Redis: the next batch waits for it, or goes on adrift.

        Returns:
            Whether the pipeline has landed, so that everything up to `committed` is projected.
        """
        now = self._now()
        due = self._looked_at is None or passed(self._looked_at, now, self._every)
        if not due and not at_once:
            return False
        self._looked_at = now
        try:
            if self._waiting.adrift:
                return self._land(committed)
            if self._lost_writes():
                self.sweep()
        except ProjectionUnavailable:
            pass
        return False

    def sweep(self) -> None:
        """Remove what Redis has wrong; returns too where another worker has the turn, after a short wait."""
        if self._swept(self._floor) is None:
            self._waiting.pause_between(0.1, 0.5, ProjectionUnavailable("another worker sweeps"))

    def _land(self, committed: Position) -> bool:
        """Redis may be back: once swept, all that was committed adrift is either right or absent."""
        if self._swept(committed) is None:
            return False
        self.raise_floor(committed)
        self._waiting.landed()
        return True

    def _lost_writes(self) -> bool:
        floors = dict(self._waiting.until_ledger(self._ledger.floors))
        floors[self._source] = max(self._floor, floors.get(self._source, ORIGIN))
        return lost_writes(floors, self._projection.markers(list(floors)))

    def _swept(self, own: Position) -> Swept | None:
        swept = self._waiting.until_ledger(
            lambda: sweep(self._ledger, self._projection, {self._source: own}, self._alive)
        )
        if swept is not None:
            self._metrics.count("sweeps_total")
            self._metrics.count("states_dropped_total", swept.dropped)
        return swept
