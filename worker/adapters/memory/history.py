"""The EventStream port over lists of records."""

import bisect
from collections.abc import Sequence
from datetime import datetime

from worker.batch import Record
from worker.domain import aggregate
from worker.domain.errors import StreamThrottled, StreamUnavailable
from worker.domain.position import Position
from worker.history import Page, Shard, Since


class MemoryHistory:
    """A stream without Kinesis; `away` refuses every call, `throttled` the next so many reads.

    `reads` holds the (shard, limit) of every read.
    """

    def __init__(self, *shards: str) -> None:
        self.away = False
        self.throttled = 0
        self.horizon: datetime | None = None
        self.reads: list[tuple[str, int]] = []
        self._shards = {shard: Shard(shard) for shard in shards}
        self._closed: set[str] = set()
        self._raw: dict[str, list[Record]] = {shard: [] for shard in shards}
        self._sequence = 0

    def put(self, shard_id: str, data: bytes, arrived_at: datetime) -> Position:
        """One more record at the end of a shard; its position."""
        self._sequence += 1
        self._raw[shard_id].append(Record(data, Position(self._sequence), arrived_at))
        return Position(self._sequence, 0)

    def split(self, parent: str, *children: str) -> None:
        """Close a shard; the children go on."""
        self._closed.add(parent)
        for child in children:
            self._shards[child] = Shard(child, frozenset({parent}))
            self._raw[child] = []

    def merge(self, parents: Sequence[str], child: str) -> None:
        """Close two shards; one child goes on."""
        self._closed.update(parents)
        self._shards[child] = Shard(child, frozenset(parents))
        self._raw[child] = []

    def trim(self, shard_id: str, count: int) -> None:
        """Forget the oldest records of a shard."""
        del self._raw[shard_id][:count]

    def forget(self, shard_id: str) -> None:
        """A closed shard expires."""
        del self._shards[shard_id], self._raw[shard_id]

    def gone_before(self) -> datetime | None:
        self.reach()
        return self.horizon

    def shards(self) -> Sequence[Shard]:
        self.reach()
        return list(self._shards.values())

    def reader(self, shard_id: str, since: Since) -> "MemoryShardReader":
        self.reach()
        return MemoryShardReader(self, shard_id, since)

    def reach(self) -> None:
        if self.away:
            raise StreamUnavailable

    def raw(self, shard_id: str) -> Sequence[Record]:
        """A shard's records as Kinesis holds them."""
        return self._raw[shard_id]

    def closed(self, shard_id: str) -> bool:
        return shard_id in self._closed


class MemoryShardReader:
    """One shard of a MemoryHistory, read forward."""

    def __init__(self, stream: MemoryHistory, shard_id: str, since: Since) -> None:
        self._stream = stream
        self._shard = shard_id
        self._arrived = since.arrived
        self._after = since.after
        self._seeks = None if since.after is None else since.after.sequence
        self._next: int | None = None if since.after is None else since.after.sequence

    def read(self, limit: int) -> Page:
        self._stream.reach()
        self._stream.reads.append((self._shard, limit))
        if self._stream.throttled:
            self._stream.throttled -= 1
            raise StreamThrottled
        raw = self._stream.raw(self._shard)
        begin = self._begin(raw)
        taken = raw[begin : begin + limit]
        if taken:
            self._next = taken[-1].position.sequence + 1
        trimmed = self._seeks is not None and bool(taken) and taken[0].position.sequence != self._seeks
        if taken:
            self._seeks = None
        return Page(
            [record for whole in taken for record in self._split(whole)],
            fetched=len(taken),
            size=sum(len(whole.data) for whole in taken),
            at_tip=len(taken) < limit,
            ended=self._stream.closed(self._shard) and begin + limit >= len(raw),
            trimmed=trimmed,
        )

    def _begin(self, raw: Sequence[Record]) -> int:
        if self._next is not None:
            return bisect.bisect_left(raw, self._next, key=lambda record: record.position.sequence)
        found = (n for n, record in enumerate(raw) if record.arrived_at >= self._arrived)
        return next(found, len(raw))

    def _split(self, whole: Record) -> list[Record]:
        split = [
            Record(data, Position(whole.position.sequence, sub), whole.arrived_at)
            for sub, data in enumerate(aggregate.split(whole.data))
        ]
        return [record for record in split if self._after is None or record.position > self._after]
