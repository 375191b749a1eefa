"""A range of the stream read again, in an order in which no event overtakes one of its own past.

The range is one of arrival times. Shards that were split or merged meanwhile are read parents first. Arrival
times are Kinesis' word and only nearly in order, so the reading begins a little earlier and ends a little
later than the range, and every record is judged by its own.

Beside live traffic a replay must be a guest: it takes its share of each shard's read quota, and rests after
each page in proportion to the time that ledger and projection were busy with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from worker.batch import Record
from worker.domain.errors import StreamThrottled, StreamUnavailable
from worker.domain.position import Position
from worker.history import EventStream, Page, Shard, ShardReader, Since
from worker.stream.quota import Quota

T = TypeVar("T")

SLACK = timedelta(seconds=10)
_RETRY_SECONDS = 2.0


class Span(NamedTuple):
    """Arrival times from `first` until before `last`, aware."""

    first: datetime
    last: datetime

    def __contains__(self, moment: object) -> bool:
        return isinstance(moment, datetime) and self.first <= moment < self.last


class Turn(NamedTuple):
    """One page of one shard, less what lies outside the range; `reached` is the arrival of its last record.

    With `done` nothing of the shard follows. With `trimmed` the place to resume at is gone, and what followed
    it may be missing.
    """

    shard_id: str
    records: Sequence[Record]
    done: bool
    trimmed: bool
    reached: datetime | None


class Clock(NamedTuple):
    """Monotonic seconds, and waiting with a reason; waiting may raise to end everything."""

    seconds: Callable[[], float]
    pause: Callable[[float, Exception], None]


class Resting(Exception):
    """The replay leaves live traffic its share."""


class Replay:
    """Reads a span of a stream, shard by shard in turns.

    Args:
        stream: what is read.
        span: which arrival times.
        reached: by shard the position that was reached before.
        share: of each shard's read quota, and of the time; above 0, at most 1.
        clock: monotonic seconds and waiting.
    """

    def __init__(
        self,
        stream: EventStream,
        span: Span,
        reached: Mapping[str, Position],
        share: float,
        clock: Clock,
    ) -> None:
        self._stream = stream
        self.span = span
        self._reached = reached
        self._share = share
        self._clock = clock
        self._shards: Sequence[Shard] | None = None
        self.throttled = 0
        """How often a shard's quota was used up."""

    @property
    def shards(self) -> Sequence[Shard]:
        """Every shard that is looked into; asked of the stream once."""
        if self._shards is None:
            self._shards = self._patiently(self._stream.shards)
        return self._shards

    def turns(self) -> Iterator[Turn]:
        """Every page of the span; whoever takes one has finished with it when asking for the next."""
        waiting = {shard.shard_id: shard for shard in self.shards}
        readers: dict[str, _Reading] = {}
        while waiting:
            for shard_id in _ready(waiting):
                if shard_id not in readers:
                    readers[shard_id] = self._begin(shard_id)
            shard_id = min(readers, key=lambda one: readers[one].quota.due)
            page = self._read(readers[shard_id])
            if page is None:
                continue
            turn = self._turn(shard_id, page)
            if turn.done:
                del waiting[shard_id], readers[shard_id]
            yield from self._resting_after(turn)

    def _begin(self, shard_id: str) -> "_Reading":
        since = Since(self.span.first - SLACK, self._reached.get(shard_id))
        reader = self._patiently(lambda: self._stream.reader(shard_id, since))
        return _Reading(reader, Quota(self._share))

    def _read(self, reading: "_Reading") -> Page | None:
        """The next page once it is due, None where the shard's quota was used up."""
        rest = reading.quota.due - self._clock.seconds()
        if rest > 0:
            self._clock.pause(rest, Resting("the read quota"))
        try:
            page = reading.reader.read(reading.quota.limit)
        except StreamThrottled:
            self.throttled += 1
            reading.quota.refused(self._clock.seconds())
            return None
        except StreamUnavailable as outage:
            self._clock.pause(_RETRY_SECONDS, outage)
            return None
        reading.quota.spent(page, self._clock.seconds())
        return page

    def _turn(self, shard_id: str, page: Page) -> Turn:
        within = [record for record in page.records if record.arrived_at in self.span]
        reached = page.records[-1].arrived_at if page.records else None
        beyond = any(record.arrived_at >= self.span.last + SLACK for record in page.records)
        return Turn(shard_id, within, page.ended or page.at_tip or beyond, page.trimmed, reached)

    def _resting_after(self, turn: Turn) -> Iterator[Turn]:
        begun = self._clock.seconds()
        yield turn
        busy = self._clock.seconds() - begun
        rest = busy * (1 / self._share - 1)
        if turn.records and rest > 0:
            self._clock.pause(rest, Resting("live traffic first"))

    def _patiently(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except StreamUnavailable as outage:
                self._clock.pause(_RETRY_SECONDS, outage)


class _Reading(NamedTuple):
    reader: ShardReader
    quota: Quota


def _ready(waiting: Mapping[str, Shard]) -> list[str]:
    """The shards none of whose parents are still to be read; parents that expired are not waited for."""
    return [shard_id for shard_id, shard in waiting.items() if not shard.parents & waiting.keys()]
