"""What a pipeline does while PostgreSQL or Redis is away.

The two outages differ. Without the ledger nothing may go on, so it is waited for however long that takes.
Without Redis the ledger can: after a patience the pipeline goes *adrift* and commits alone, until healing has
made the projection right again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable
from worker.stream.world import Policy, World

T = TypeVar("T")


def passed(since: datetime, now: datetime, span: timedelta) -> bool:
    """Whether so much time has passed; also where the clock was set back, and nobody knows how much has."""
    return not timedelta(0) <= now - since < span


class Waiting:
    """Repeats steps until their server answers, and says so meanwhile."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._metrics = world.metrics
        self._now = world.now
        self._pause = world.pause
        self._chance = world.chance
        self._backoff = policy.backoff
        self._redis_patience = policy.redis_patience
        self._adrift = False
        self._degraded = False

    @property
    def adrift(self) -> bool:
        """Whether the ledger goes on alone: floor and checkpoint stand still then."""
        return self._adrift

    def landed(self) -> None:
        """All that was committed adrift is right in Redis or absent."""
        self._adrift = False
        self._recovered()

    def until_ledger(self, step: Callable[[], T]) -> T:
        """Repeat a step until PostgreSQL answers, however long that takes."""
        delays = self.delays()
        while True:
            try:
                result = step()
            except LedgerUnavailable as outage:
                self._wait(next(delays), outage, "ledger")
            else:
                self._recovered()
                return result

    def until_projection(self, step: Callable[[], T]) -> T | None:
        """Repeat a step while Redis is away; None once patience has ended and the pipeline is adrift."""
        since, delays = self._now(), self.delays()
        while not self._adrift:
            try:
                result = step()
            except ProjectionUnavailable as outage:
                self._wait(next(delays), outage, "projection")
                self._adrift = passed(since, self._now(), self._redis_patience)
            else:
                self._recovered()
                return result
        return None

    def pause(self, seconds: float, because: Exception) -> None:
        """Wait for something that is no outage."""
        self._pause(seconds, because)

    def pause_between(self, least: float, most: float, because: Exception) -> None:
        """The same, spread out, so that a fleet that waits for one thing does not come back at once."""
        self._pause(self._chance.uniform(least, most), because)

    def delays(self) -> Iterator[float]:
        """Endless delays in seconds for one step that is repeated."""
        return self._backoff.delays(self._chance)

    def _wait(self, delay: float, outage: Exception, dependency: str) -> None:
        self._degraded = True
        self._metrics.count("waits_total", dependency=dependency)
        self._metrics.gauge("degraded", 1)
        self._pause(delay, outage)

    def _recovered(self) -> None:
        if self._degraded and not self._adrift:
            self._degraded = False
            self._metrics.gauge("degraded", 0)
