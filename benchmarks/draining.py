"""One round: a stream is filled in one go, and what a running worker task needs to drain it is counted.

The clock begins when the last record lies in the stream and ends when everything is projected; the stream's
own checkpoints, until which a crash reads all of it again, are timed too. The emulator walks its shard from
the beginning at every read, so records must be few: large envelopes make them so.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psutil

from benchmarks.classroom import chunks
from worker.domain.envelope import PACK_BYTES, pack
from worker.domain.event import ScoreEvent
from worker.local.cloud import aws_client
from worker.local.edges import Edges
from worker.local.session import APPLICATION, STREAM, Session, Task
from worker.local.watching import position, wait_for

_TOGETHER = 4 * 1024 * 1024 // PACK_BYTES
_PATIENCE_SECONDS = 300.0

Cpu = Callable[[], Mapping[str, float]]
"""CPU seconds used so far, by part of the system."""


class Entry(NamedTuple):
    """A record ready to be put, and the first hash key of its shard."""

    data: bytes
    hash_key: int


class Drained(NamedTuple):
    """A round: events whose way was timed, from the full stream to the last projection and checkpoint.

    `cpu` is in seconds by part, `machine` the share of all cores that was busy with anything at all.
    """

    events: int
    seconds: float
    checkpoint_seconds: float
    cpu: Mapping[str, float]
    machine: float
    highest: float

    @property
    def rate(self) -> float:
        """Events a second until all of them were projected."""
        return self.events / self.seconds

    def micros(self, part: str) -> float:
        """Microseconds of a part's CPU an event."""
        return self.cpu.get(part, 0.0) / self.events * 1e6

    def cores(self, of: str) -> float:
        """The cores that everything under a name used."""
        return sum(used for part, used in self.cpu.items() if part.startswith(of)) / self.seconds


def packed(events: Iterable[ScoreEvent], shards: Sequence[Any], per_envelope: int) -> list[Entry]:
    """Envelopes of at most so many events, each of one shard, the shards in turn."""
    of_shard: dict[int, list[ScoreEvent]] = {shard.first: [] for shard in shards}
    for event in events:
        owner = next(s.first for s in shards if s.first <= event.student_key.int <= s.last)
        of_shard[owner].append(event)
    rows = [
        [Entry(data, first) for some in chunks(owned, per_envelope) for data in pack(some)]
        for first, owned in of_shard.items()
    ]
    longest = max(map(len, rows), default=0)
    return [row[at] for at in range(longest) for row in rows if at < len(row)]


def highest(looks: Sequence[tuple[float, int]], seconds: float) -> float:
    """The highest mean rate over at least so many seconds; the whole rate where that was shorter."""
    best = 0.0
    start = 0
    for at, count in looks:
        while start + 1 < len(looks) and at - looks[start + 1][0] >= seconds:
            start += 1
        took = at - looks[start][0]
        if took >= seconds:
            best = max(best, (count - looks[start][1]) / took)
    if best or len(looks) < 2:
        return best
    return (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])


class Stream:
    """The stream of a session, and where its readers stand.

    Args:
        session: that runs.
        edges: ports of its own.
        cpu: what each part of the system has used.
    """

    def __init__(self, session: Session, edges: Edges, cpu: Cpu) -> None:
        endpoint = session.stack.endpoints.aws_endpoint_url
        self._kinesis = aws_client("kinesis", endpoint)
        self._dynamodb = aws_client("dynamodb", endpoint)
        self._edges = edges
        self._cpu = cpu
        self._last: dict[str, int] = {}

    def drain(self, entries: Sequence[Entry], count: int, task: Task) -> Drained:
        """Put everything, and wait until the task is through with it.

        Raises:
            StackError: the task has ended, or takes for ever.
        """
        target = position(self._edges.ledger).accounting.read + count
        self._put(entries)
        busy, cpu = psutil.cpu_times(), self._cpu()
        looks = [(time.monotonic(), position(self._edges.ledger).accounting.read)]
        wait_for(
            lambda: self._projected(target, looks),
            task,
            seconds=_PATIENCE_SECONDS,
            what="projection of everything in the stream",
        )
        ended, after = looks[-1][0], self._cpu()
        share = _busy(busy, psutil.cpu_times())
        wait_for(self._checkpointed, task, seconds=_PATIENCE_SECONDS, what="checkpoints at the stream's end")
        return Drained(
            events=target - looks[0][1],
            seconds=ended - looks[0][0],
            checkpoint_seconds=time.monotonic() - looks[0][0],
            cpu={part: used - cpu.get(part, 0.0) for part, used in after.items()},
            machine=share,
            highest=highest(looks, 3.0),
        )

    def _put(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), _TOGETHER):
            records = [
                {"Data": entry.data, "PartitionKey": "envelope", "ExplicitHashKey": str(entry.hash_key)}
                for entry in entries[start : start + _TOGETHER]
            ]
            for result in self._kinesis.put_records(StreamName=STREAM, Records=records)["Records"]:
                self._last[result["ShardId"]] = int(result["SequenceNumber"])

    def _projected(self, target: int, looks: list[tuple[float, int]]) -> bool:
        """Whether Redis has everything too: its markers tell, the ledger's floor follows seconds later."""
        progress = self._edges.ledger.progress()
        looks.append((time.monotonic(), sum(one.accounting.read for one in progress.values())))
        if looks[-1][1] < target:
            return False
        live = {source: one.committed for source, one in progress.items() if source.startswith("kinesis:")}
        markers = self._edges.projection.markers(list(live))
        return all(source in markers and markers[source] >= at for source, at in live.items())

    def _checkpointed(self) -> bool:
        rows = self._dynamodb.scan(TableName=APPLICATION, ConsistentRead=True)["Items"]
        found = {row["leaseKey"]["S"]: row["checkpoint"]["S"] for row in rows}
        return all(found.get(shard) == str(last) for shard, last in self._last.items())


def _busy(before: Any, after: Any) -> float:
    spent = [now - then for now, then in zip(after, before, strict=True)]
    idle = (after.idle - before.idle) + (after.iowait - before.iowait)
    return float(1 - idle / max(1e-9, sum(spent[:8])))  # guest times are in user's already
