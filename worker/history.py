"""The stream read again: what a replay needs of Kinesis, apart from the daemon that reads it live.

KCL's leases and checkpoints are never looked at here, so nothing that reads through this port can move them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from worker.batch import Record
from worker.domain.position import Position


class Shard(NamedTuple):
    """One shard, open or closed, and the shards it came from, of which some may have expired."""

    shard_id: str
    parents: frozenset[str] = frozenset()


class Since(NamedTuple):
    """Where to begin in a shard: at a time of arrival, or after a position that was reached before."""

    arrived: datetime
    after: Position | None = None


class Page(NamedTuple):
    """What one read gave: the records in their order, KPL aggregates split.

    Args:
        records: may be empty although the shard holds more.
        fetched: how many Kinesis records were read.
        size: how many bytes those were.
        at_tip: nothing more had arrived when this was read.
        ended: the shard is closed and was read to its end.
        trimmed: the position to begin after is not kept any more; what followed it may be missing.
    """

    records: Sequence[Record]
    fetched: int
    size: int
    at_tip: bool
    ended: bool = False
    trimmed: bool = False


class ShardReader(Protocol):
    """Reads one shard forward."""

    def read(self, limit: int) -> Page:
        """The next records, at most `limit` of Kinesis' own.

        Raises:
            StreamThrottled: the shard's read quota is used up for now; nothing was read.
            StreamUnavailable: nothing was read; asking again goes on at the same place.
        """


class EventStream(Protocol):
    """A stream's past, as far as it is kept. Any method may raise StreamUnavailable."""

    def gone_before(self) -> datetime | None:
        """What arrived before this is not kept any more; None where the stream still has all it ever had."""

    def shards(self) -> Sequence[Shard]:
        """Every shard of which something may still be kept."""

    def reader(self, shard_id: str, since: Since) -> ShardReader:
        """What reads this shard from there on."""
