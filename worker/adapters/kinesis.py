"""The way into the stream: envelopes grouped by the shard that owns their students.

One envelope a shard is in flight at a time, so a student's events keep their order even when a record of a
PutRecords call is refused and sent again. Only a reshard may break it: until an answer names a shard that was
not expected, envelopes go to whichever child owns the first hash key of their old shard, and another child
may be read sooner. The ledger orders attempts by their own times and does not mind.

The student's pseudonym is uniformly distributed over 128 bits, as Kinesis' hash keys are: it is the hash key.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, NamedTuple

import stamina
from botocore.exceptions import BotoCoreError, ClientError

from worker.domain import envelope
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent

# A call takes 500 records and 5 MiB; of envelopes of 200 KB the bytes end first.
_PUT_LIMIT = 5 * 1024 * 1024 // (envelope.PACK_BYTES + 1024)
_REFUSALS = ("ProvisionedThroughputExceededException", "InternalFailure", "KMSThrottlingException")


class Shard(NamedTuple):
    """An open shard and the inclusive range of hash keys it owns."""

    shard_id: str
    first: int
    last: int


class KinesisProducer:
    """Producer port on Kinesis.

    Args:
        client: a boto3 Kinesis client.
        stream: the stream's name.
        give_up_after: seconds of refusals before StreamUnavailable.
    """

    def __init__(self, client: Any, stream: str, give_up_after: float = 30.0) -> None:
        self._client = client
        self._stream = stream
        self._give_up_after = give_up_after
        self._shards: Sequence[Shard] = ()

    def send(self, events: Sequence[ScoreEvent]) -> None:
        if not self._shards:
            self._shards = self.open_shards()
        queues = {
            shard: deque(self._entries(shard, group)) for shard, group in self._by_shard(events).items()
        }
        while queues:
            heads = dict(list(queues.items())[:_PUT_LIMIT])
            self._put({shard: queue[0] for shard, queue in heads.items()})
            for shard, queue in heads.items():
                queue.popleft()
                if not queue:
                    del queues[shard]

    def put_raw(self, data: bytes, hash_key: int) -> None:
        """One record exactly as given, to the shard that owns `hash_key`; for producers of other formats."""
        self._put({None: _entry(data, hash_key)})

    def open_shards(self) -> list[Shard]:
        """The shards that take writes, by range."""
        shards: list[Shard] = []
        arguments: dict[str, str] = {"StreamName": self._stream}
        while True:
            try:
                answer = self._client.list_shards(**arguments)
            except (BotoCoreError, ClientError) as error:
                msg = f"Kinesis did not list its shards ({type(error).__name__})"
                raise StreamUnavailable(msg) from None
            for shard in answer["Shards"]:
                if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
                    hashes = shard["HashKeyRange"]
                    first, last = int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"])
                    shards.append(Shard(shard["ShardId"], first, last))
            if "NextToken" not in answer:
                return sorted(shards, key=lambda s: s.first)
            arguments = {"NextToken": answer["NextToken"]}

    def _by_shard(self, events: Sequence[ScoreEvent]) -> Mapping[Shard, list[ScoreEvent]]:
        groups: dict[Shard, list[ScoreEvent]] = {}
        for event in events:
            key = event.student_key.int
            shard = next((s for s in self._shards if s.first <= key <= s.last), None)
            if shard is None:
                self._shards = ()
                msg = "no open shard owns every student; the stream is being made or resharded"
                raise StreamUnavailable(msg)
            groups.setdefault(shard, []).append(event)
        return groups

    def _entries(self, shard: Shard, events: Sequence[ScoreEvent]) -> list[dict[str, Any]]:
        return [_entry(data, shard.first) for data in envelope.pack(events)]

    def _put(self, entries: Mapping[Shard | None, dict[str, Any]]) -> None:
        """Until each entry is acknowledged; only the refused ones are sent again."""
        waiting = dict(entries)
        try:
            for attempt in stamina.retry_context(
                on=_Refused, attempts=None, timeout=self._give_up_after, wait_initial=0.05, wait_max=2.0
            ):
                with attempt:
                    waiting = self._put_once(waiting)
                    if waiting:
                        raise _Refused
        except _Refused:
            msg = "Kinesis did not take the records; send them all again"
            raise StreamUnavailable(msg) from None

    def _put_once(self, entries: Mapping[Shard | None, dict[str, Any]]) -> dict[Shard | None, dict[str, Any]]:
        try:
            answer = self._client.put_records(StreamName=self._stream, Records=list(entries.values()))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in (*_REFUSALS, "LimitExceededException"):
                raise _Refused from None
            msg = f"Kinesis refused the call ({error.response.get('Error', {}).get('Code')})"
            raise StreamUnavailable(msg) from None
        except BotoCoreError:
            raise _Refused from None
        refused: dict[Shard | None, dict[str, Any]] = {}
        for (shard, entry), result in zip(entries.items(), answer["Records"], strict=True):
            if "ErrorCode" in result:
                refused[shard] = entry
            elif shard is not None and result["ShardId"] != shard.shard_id:
                self._shards = ()  # resharded: look again before the next call
        return refused


class _Refused(Exception):
    """Not taken yet."""


def _entry(data: bytes, hash_key: int) -> dict[str, Any]:
    return {"Data": data, "PartitionKey": "envelope", "ExplicitHashKey": str(hash_key)}


def source_prefix(client: Any, stream: str) -> str:
    """What all sources of a live stream begin with: its ARN and creation time.

    The creation time tells a stream from one of the same name that was deleted: its positions start anew.

    Raises:
        StreamUnavailable: the stream is not there or Kinesis does not answer.
    """
    try:
        summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    except (BotoCoreError, ClientError) as error:
        msg = f"Kinesis does not describe the stream {stream!r} ({type(error).__name__})"
        raise StreamUnavailable(msg) from None
    created = summary["StreamCreationTimestamp"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"kinesis:{summary['StreamARN']}@{created}"
