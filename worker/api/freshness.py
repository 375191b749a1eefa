"""How far the projection is behind the stream: the oldest watermark over the shards that are open."""

from collections.abc import Callable, Mapping
from datetime import datetime

from worker.batch import Source
from worker.domain.errors import ProjectionUnavailable, StreamUnavailable


class Freshness:
    """Knows the watermarks of a moment ago.

    Args:
        watermarks: gives them; blocks.
        sources: gives the open shards as sources; blocks.
        now: the present, aware.
    """

    def __init__(
        self,
        watermarks: Callable[[], Mapping[Source, datetime]],
        sources: Callable[[], frozenset[Source]],
        now: Callable[[], datetime],
    ) -> None:
        self._watermarks = watermarks
        self._sources = sources
        self._now = now
        self._open: frozenset[Source] = frozenset()
        self._known: Mapping[Source, datetime] = {}
        self.redis_answers = False

    def look_at_shards(self) -> None:
        """Ask the stream which shards are open; what was known stays where it does not answer."""
        try:
            self._open = self._sources()
        except StreamUnavailable:
            return

    def look(self) -> None:
        """Read the watermarks; none are known while Redis is away."""
        try:
            self._known = self._watermarks()
            self.redis_answers = True
        except ProjectionUnavailable:
            self._known = {}
            self.redis_answers = False

    @property
    def stale_seconds(self) -> float | None:
        """Seconds since everything was projected; None where a shard's watermark is not known."""
        # each is replaced as a whole by another thread
        shards, known = self._open, self._known
        if not shards or not shards <= known.keys():
            return None
        return _age(min(known[shard] for shard in shards), self._now())

    @property
    def ages(self) -> Mapping[Source, float | None]:
        """The age of each open shard's watermark in seconds."""
        now = self._now()
        return {
            source: _age(self._known[source], now) if source in self._known else None
            for source in sorted(self._open)
        }


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, round((now - moment).total_seconds(), 3))
