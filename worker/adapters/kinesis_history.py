"""The EventStream port on Kinesis: a stream read by GetRecords, beside whoever reads it live.

An iterator lives five minutes and a replay may rest longer, so a reader can always begin anew after the last
record that it gave. It asks for that record itself again: if another comes, what followed has been trimmed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from worker.batch import Record
from worker.domain import aggregate
from worker.domain.errors import StreamThrottled, StreamUnavailable
from worker.domain.position import Position
from worker.history import Page, Shard, Since
from worker.ports import Clock

_THROTTLED = ("ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException")
_EXPIRED = "ExpiredIteratorException"
_NO_SUCH_PLACE = "InvalidArgumentException"


class KinesisHistory:
    """EventStream on Kinesis.

    Args:
        client: a boto3 Kinesis client; it must not retry throttling by itself for long.
        stream: the stream's name.
        now: the present, aware.
    """

    def __init__(self, client: Any, stream: str, now: Clock) -> None:
        self._client = client
        self._stream = stream
        self._now = now

    def gone_before(self) -> datetime | None:
        answer = _asked(self._client.describe_stream_summary, StreamName=self._stream)
        summary = answer["StreamDescriptionSummary"]
        horizon = self._now() - timedelta(hours=summary["RetentionPeriodHours"])
        created: datetime = summary["StreamCreationTimestamp"]
        return horizon if created < horizon else None

    def shards(self) -> Sequence[Shard]:
        found: list[Shard] = []
        arguments = {"StreamName": self._stream}
        while True:
            answer = _asked(self._client.list_shards, **arguments)
            for shard in answer["Shards"]:
                parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} - {None}
                found.append(Shard(shard["ShardId"], frozenset(parents)))
            if not answer.get("NextToken"):
                return found
            arguments = {"NextToken": answer["NextToken"]}

    def reader(self, shard_id: str, since: Since) -> "KinesisShardReader":
        return KinesisShardReader(self._client, self._stream, shard_id, since)


class KinesisShardReader:
    """One shard, read forward; see `KinesisHistory`."""

    def __init__(self, client: Any, stream: str, shard_id: str, since: Since) -> None:
        self._client = client
        self._place = {"StreamName": stream, "ShardId": shard_id}
        self._arrived = since.arrived
        self._after = since.after
        self._iterator: str | None = None
        self._seeks: int | None = None
        self._trimmed = False

    def read(self, limit: int) -> Page:
        if self._iterator is None:
            self._iterator = self._begin()
        try:
            answer = _asked(self._client.get_records, ShardIterator=self._iterator, Limit=limit)
        except _Refused as refusal:
            if refusal.code != _EXPIRED:
                raise
            self._iterator = self._begin()
            answer = _asked(self._client.get_records, ShardIterator=self._iterator, Limit=limit)
        return self._page(answer, limit)

    def _begin(self) -> str:
        """An iterator that gives the last record again, where there was one."""
        if self._after is None:
            where: dict[str, Any] = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._arrived}
            return self._iterate(where)
        self._seeks = self._after.sequence
        where = {
            "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "StartingSequenceNumber": str(self._after.sequence),
        }
        try:
            return self._iterate(where)
        except _Refused as refusal:
            if refusal.code != _NO_SUCH_PLACE:
                raise
        return self._iterate({"ShardIteratorType": "TRIM_HORIZON"})

    def _iterate(self, where: dict[str, Any]) -> str:
        answer = _asked(self._client.get_shard_iterator, **self._place, **where)
        return str(answer["ShardIterator"])

    def _page(self, answer: Any, limit: int) -> Page:
        entries = answer["Records"]
        trimmed = self._gone(entries)
        records = [record for entry in entries for record in _split(entry)]
        if self._after is not None:
            records = [record for record in records if record.position > self._after]
        if records:
            self._after = records[-1].position
        self._iterator = answer.get("NextShardIterator")
        return Page(
            records,
            fetched=len(entries),
            size=sum(len(entry["Data"]) for entry in entries),
            # a page that its limit cut may end within the last millisecond
            at_tip=len(entries) < limit and answer.get("MillisBehindLatest") == 0,
            ended=self._iterator is None,
            trimmed=trimmed,
        )

    def _gone(self, entries: Sequence[Any]) -> bool:
        """Whether what was asked for again is not there any more; told once."""
        if self._seeks is None or not entries:
            return False
        sought, self._seeks = self._seeks, None
        return int(entries[0]["SequenceNumber"]) != sought


class _Refused(StreamUnavailable):
    """Kinesis answered with an error; `code` says which."""

    def __init__(self, call: str, code: str) -> None:
        super().__init__(f"Kinesis refused {call} ({code})")
        self.code = code


def _asked(call: Any, **arguments: Any) -> Any:
    name = getattr(call, "__name__", "a call")
    try:
        return call(**arguments)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _THROTTLED:
            msg = f"Kinesis throttles {name}"
            raise StreamThrottled(msg) from None
        raise _Refused(name, code) from None
    except BotoCoreError as error:
        msg = f"Kinesis does not answer {name} ({type(error).__name__})"
        raise StreamUnavailable(msg) from None


def _split(entry: Any) -> list[Record]:
    sequence, arrived = int(entry["SequenceNumber"]), entry["ApproximateArrivalTimestamp"].astimezone(UTC)
    pieces = aggregate.split(entry["Data"])
    return [Record(data, Position(sequence, sub), arrived) for sub, data in enumerate(pieces)]
