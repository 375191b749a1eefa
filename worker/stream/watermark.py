"""How far a source is projected, told to readers: the arrival time up to which nothing is missing.

A batch of records says it exactly: up to the arrival of its last. An empty batch from the tip says that there
was nothing when it was fetched, and it may have been fetched while earlier calls were still at work; so it
counts from the start of a call long enough ago.
"""

from collections import deque
from datetime import datetime, timedelta

from worker.batch import Source
from worker.domain.errors import ProjectionUnavailable
from worker.ports import Clock, Projection

FETCHED_AHEAD = 4
"""KCL keeps up to three fetched batches waiting beside the one in hand."""
EVERY = timedelta(seconds=0.5)


class Watermark:
    """One source's watermark, moved at most twice a second.

    Args:
        source: whose.
        projection: where readers find it.
        now: the present, aware.
    """

    def __init__(self, source: Source, projection: Projection, now: Clock) -> None:
        self._source = source
        self._projection = projection
        self._now = now
        self._calls: deque[datetime] = deque(maxlen=FETCHED_AHEAD)
        self._told_at: datetime | None = None

    def begin(self) -> None:
        """A call begins."""
        self._calls.append(self._now())

    def done(self, last_arrival: datetime | None, *, at_tip: bool) -> None:
        """A call is projected: its last record arrived then; without records only the tip says something."""
        moment = last_arrival
        if moment is None and at_tip and len(self._calls) == FETCHED_AHEAD:
            moment = self._calls[0]
        if moment is None or not self._due():
            return
        self._tell(moment)

    def end(self) -> None:
        """The source has ended and everything of it is projected."""
        self._tell(None)

    def _due(self) -> bool:
        return self._told_at is None or not timedelta() <= self._now() - self._told_at < EVERY

    def _tell(self, moment: datetime | None) -> None:
        """Readers see an old watermark where Redis is away, which is the truth."""
        self._told_at = self._now()
        try:
            self._projection.set_watermark(self._source, moment)
        except ProjectionUnavailable:
            return
