"""The Producer port's contract, on the twin and on the Kinesis emulator; then refusals, on a stub client."""

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import stamina
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.conftest import IDENTITY, NOW, minutes, score_event
from worker.adapters.kinesis import KinesisProducer, source_prefix
from worker.adapters.memory import MemoryProducer
from worker.batch import Record
from worker.domain import envelope
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.local.cloud import Cloud, aws_client
from worker.local.stack import Stack
from worker.ports import Producer
from worker.stream.decoding import Decoder

DECODER = Decoder(IDENTITY, "default")
STUDENTS = [f"student-{n}" for n in range(12)]
MIDDLE = 2**127


class Stream:
    """A stream of the emulator, and what lies in it."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def records(self) -> dict[str, list[bytes]]:
        """The records of each shard, in their order."""
        found = {}
        for shard in self.client.list_shards(StreamName=self.name)["Shards"]:
            iterator = self.client.get_shard_iterator(
                StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            records = self.client.get_records(ShardIterator=iterator)["Records"]
            found[shard["ShardId"]] = [record["Data"] for record in records]
        return found


@pytest.fixture
def stream(stack: Stack) -> Stream:
    """A fresh stream of two shards."""
    client = aws_client("kinesis", stack.endpoints.aws_endpoint_url)
    name = f"stream-{uuid.uuid4().hex}"
    Cloud.at(stack.endpoints.aws_endpoint_url).create_stream(name, shards=2)
    return Stream(client, name)


@pytest.fixture(params=["memory", "kinesis"])
def sent(request: pytest.FixtureRequest) -> tuple[Producer, Callable[[], list[ScoreEvent]]]:
    """A producer, and what arrived of what it sent."""
    if request.param == "memory":
        twin = MemoryProducer()
        return twin, lambda: twin.sent
    stream = request.getfixturevalue("stream")
    producer = KinesisProducer(stream.client, stream.name)
    return producer, lambda: [
        event for data in itertools.chain(*stream.records().values()) for event in decoded(data)
    ]


def decoded(data: bytes) -> list[ScoreEvent]:
    events, letters = DECODER.decode(Record(data, Position(1), NOW))
    assert not letters
    return [delivered.event for delivered in events]


def events_of(students: Sequence[str], rounds: int) -> list[ScoreEvent]:
    """One event of each student a round."""
    return [
        score_event(student, attempt=n, score=n, graded=NOW + minutes(1))
        for n in range(rounds)
        for student in students
    ]


def by_student(events: Sequence[ScoreEvent]) -> dict[uuid.UUID, list[ScoreEvent]]:
    found: dict[uuid.UUID, list[ScoreEvent]] = {}
    for event in events:
        found.setdefault(event.student_key, []).append(event)
    return found


def test_everything_sent_arrives_in_each_students_order(
    sent: tuple[Producer, Callable[[], list[ScoreEvent]]],
) -> None:
    producer, arrived = sent
    events = events_of(STUDENTS, rounds=7)
    for start in range(0, len(events), 20):
        producer.send(events[start : start + 20])
    assert by_student(arrived()) == by_student(events)
    assert len(arrived()) == len(events)


def test_sending_nothing_is_harmless(sent: tuple[Producer, Callable[[], list[ScoreEvent]]]) -> None:
    producer, arrived = sent
    producer.send([])
    assert arrived() == []


def test_the_twin_refuses_when_told() -> None:
    twin = MemoryProducer()
    twin.away = True
    with pytest.raises(StreamUnavailable):
        twin.send([score_event()])
    assert twin.sent == []


# Kinesis alone.


def test_events_lie_in_the_shard_that_owns_their_student(stream: Stream) -> None:
    producer = KinesisProducer(stream.client, stream.name)
    producer.send(events_of(STUDENTS, rounds=1))
    first, second = producer.open_shards()
    records = stream.records()
    assert {len(found) for found in records.values()} == {1}, "one envelope a shard"
    for shard in (first, second):
        keys = [event.student_key.int for event in decoded(records[shard.shard_id][0])]
        assert keys
        assert all(shard.first <= key <= shard.last for key in keys)


def test_many_events_become_several_envelopes_in_order(stream: Stream) -> None:
    producer = KinesisProducer(stream.client, stream.name)
    events = [score_event("ada", attempt=n) for n in range(envelope.PACK_EVENTS + 1)]
    producer.send(events)
    (records,) = [found for found in stream.records().values() if found]
    assert len(records) == 2
    assert [event for data in records for event in decoded(data)] == events


@pytest.mark.parametrize("hash_key", [0, MIDDLE - 1000, MIDDLE + 1000, 2**128 - 2])
def test_a_raw_record_arrives_as_it_was_given(stream: Stream, hash_key: int) -> None:
    producer = KinesisProducer(stream.client, stream.name)
    producer.put_raw(b"\x00not ours", hash_key)
    owner = next(s for s in producer.open_shards() if s.first <= hash_key <= s.last)
    assert stream.records()[owner.shard_id] == [b"\x00not ours"]


def test_a_closed_shard_takes_no_more(stream: Stream) -> None:
    producer = KinesisProducer(stream.client, stream.name)
    producer.send(events_of(STUDENTS, rounds=1))
    parent = producer.open_shards()[0]
    middle = str((parent.first + parent.last) // 2)
    stream.client.split_shard(StreamName=stream.name, ShardToSplit=parent.shard_id, NewStartingHashKey=middle)
    shards = producer.open_shards()
    assert len(shards) == 3
    assert parent.shard_id not in [shard.shard_id for shard in shards]
    assert [shard.first for shard in shards] == sorted(shard.first for shard in shards)


def test_a_source_is_told_from_a_stream_of_the_same_name(stream: Stream) -> None:
    prefix = source_prefix(stream.client, stream.name)
    arn, _, created = prefix.rpartition("@")
    assert arn.startswith("kinesis:arn:aws:kinesis:")
    assert arn.endswith(f":stream/{stream.name}")
    assert created.endswith("Z")


def test_a_stream_that_does_not_exist_is_unavailable(stack: Stack) -> None:
    client = aws_client("kinesis", stack.endpoints.aws_endpoint_url)
    with pytest.raises(StreamUnavailable, match="ResourceNotFound"):
        source_prefix(client, "nowhere")
    with pytest.raises(StreamUnavailable):
        KinesisProducer(client, "nowhere").send([score_event()])


# Refusals, on a stub of boto3's client.

Answer = Sequence[str | None] | Exception


class StubClient:
    """Two shards; each call of PutRecords is answered as the script says, then everything is taken."""

    def __init__(self, *script: Answer, shards: int = 2) -> None:
        self.script = list(script)
        self.calls: list[list[dict[str, Any]]] = []
        self.taken: list[bytes] = []
        self.listed = 0
        self.shards = shards
        self.names = "shard"

    def list_shards(self, **arguments: Any) -> Any:
        """A page a shard."""
        page = int(arguments.get("NextToken", 0))
        self.listed += page == 0
        width = 2**128 // self.shards
        shard = {
            "ShardId": f"{self.names}-{page}",
            "HashKeyRange": {
                "StartingHashKey": str(page * width),
                "EndingHashKey": str(2**128 - 1 if page == self.shards - 1 else (page + 1) * width - 1),
            },
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        more = {"NextToken": str(page + 1)} if page + 1 < self.shards else {}
        return {"Shards": [shard], **more}

    def put_records(self, **arguments: Any) -> Any:
        assert arguments["StreamName"] == "stream"
        records = arguments["Records"]
        self.calls.append(records)
        answer = self.script.pop(0) if self.script else []
        if isinstance(answer, Exception):
            raise answer
        results = []
        for record, code in itertools.zip_longest(records, answer):
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": "no"})
            else:
                self.taken.append(record["Data"])
                owner = int(record["ExplicitHashKey"]) * self.shards // 2**128
                results.append({"SequenceNumber": "1", "ShardId": f"{self.names}-{owner}"})
        return {"FailedRecordCount": sum("ErrorCode" in r for r in results), "Records": results}


@pytest.fixture
def _no_waiting() -> Iterator[None]:
    """Retries come at once, and five are the patience."""
    with stamina.set_testing(True, attempts=5):
        yield


pytestmark = pytest.mark.usefixtures("_no_waiting")

THROTTLED = "ProvisionedThroughputExceededException"


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "PutRecords")


def test_only_the_refused_record_is_sent_again() -> None:
    client = StubClient([THROTTLED, None], ["InternalFailure"])
    KinesisProducer(client, "stream").send(events_of(STUDENTS, rounds=1))
    assert [len(call) for call in client.calls] == [2, 1, 1]
    assert client.calls[1] == client.calls[2] == client.calls[0][:1]
    assert len(client.taken) == len(set(client.taken)) == 2


def test_a_refused_envelope_holds_its_students_later_events_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "PACK_EVENTS", 5)
    client = StubClient([THROTTLED, None], [THROTTLED], [None], [None, THROTTLED])
    events = events_of(STUDENTS, rounds=10)
    KinesisProducer(client, "stream").send(events)
    arrived = [event for data in client.taken for event in decoded(data)]
    assert by_student(arrived) == by_student(events)
    for call in client.calls:
        hashes = [record["ExplicitHashKey"] for record in call]
        assert len(hashes) == len(set(hashes)), "one envelope a shard is in flight"


@pytest.mark.parametrize(
    "refusal",
    [
        error(THROTTLED),
        error("LimitExceededException"),
        error("KMSThrottlingException"),
        error("InternalFailure"),
        EndpointConnectionError(endpoint_url="https://kinesis"),
    ],
)
def test_a_call_that_was_refused_whole_is_made_again(refusal: Exception) -> None:
    client = StubClient(refusal, refusal)
    KinesisProducer(client, "stream").send([score_event()])
    assert len(client.calls) == 3
    assert client.calls[0] == client.calls[2]


def test_patience_ends() -> None:
    client = StubClient(*[[THROTTLED]] * 99)
    with pytest.raises(StreamUnavailable, match="send them all again"):
        KinesisProducer(client, "stream").send([score_event()])
    assert len(client.calls) == 5
    assert client.taken == []


def test_after_giving_up_everything_may_be_sent_again() -> None:
    client = StubClient(*[[THROTTLED, None]], *[[THROTTLED]] * 4)
    producer = KinesisProducer(client, "stream")
    events = events_of(STUDENTS, rounds=1)
    with pytest.raises(StreamUnavailable):
        producer.send(events)
    producer.send(events)
    arrived = {event for data in client.taken for event in decoded(data)}
    assert arrived == set(events)


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"]
)
def test_what_no_retry_mends_is_told_at_once(code: str) -> None:
    client = StubClient(error(code))
    with pytest.raises(StreamUnavailable, match=code):
        KinesisProducer(client, "stream").send([score_event()])
    assert len(client.calls) == 1


def test_shards_are_listed_once_until_one_answers_that_was_not_expected() -> None:
    client = StubClient()
    producer = KinesisProducer(client, "stream")
    producer.send([score_event()])
    producer.send([score_event()])
    assert client.listed == 1
    client.names = "child"
    producer.send([score_event()])
    assert client.listed == 1
    producer.send([score_event()])
    assert client.listed == 2
    producer.send([score_event()])
    assert client.listed == 2
    assert len(client.taken) == 5


def test_listing_that_fails_is_an_outage() -> None:
    client = StubClient()

    def refuse(**_: Any) -> Any:
        raise error("LimitExceededException")

    client.list_shards = refuse  # type: ignore[method-assign]
    with pytest.raises(StreamUnavailable, match="list"):
        KinesisProducer(client, "stream").send([score_event()])


def test_a_stream_without_a_shard_for_the_student_is_an_outage() -> None:
    """While a stream is made or resharded, the list may have a gap."""
    client = StubClient(shards=2)
    pages, client.shards = client.list_shards, 3
    client.list_shards = lambda **_: {"Shards": pages()["Shards"]}  # type: ignore[method-assign]
    producer = KinesisProducer(client, "stream")
    outside = next(s for s in STUDENTS if score_event(s).student_key.int > 2**128 // 3)
    with pytest.raises(StreamUnavailable, match="shard"):
        producer.send([score_event(outside)])
    client.list_shards = pages  # type: ignore[method-assign]
    producer.send([score_event(outside)])
    assert len(client.taken) == 1


def test_a_call_never_holds_more_than_kinesis_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """PutRecords takes 500 records and 5 MiB: with many shards the bytes end first."""
    client = StubClient(shards=100)
    monkeypatch.setattr(envelope, "pack", lambda _events: iter([b"x" * envelope.PACK_BYTES]))
    KinesisProducer(client, "stream").send(events_of([f"s{n}" for n in range(1000)], rounds=1))
    assert len(client.taken) == 100
    for call in client.calls:
        assert sum(len(record["Data"]) + len(record["PartitionKey"]) for record in call) <= 5 * 2**20


def test_a_raw_record_is_retried_too() -> None:
    client = StubClient([THROTTLED])
    KinesisProducer(client, "stream").put_raw(b"x", 7)
    assert client.taken == [b"x"]
