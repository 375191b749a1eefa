"""The EventStream port's contract, on the twin and on the Kinesis emulator; then answers of a stub client."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.conftest import NOW, minutes
from worker.adapters.kinesis_history import KinesisHistory
from worker.adapters.memory import MemoryHistory
from worker.domain import aggregate
from worker.domain.errors import StreamThrottled, StreamUnavailable
from worker.domain.position import Position
from worker.history import EventStream, Page, ShardReader, Since
from worker.local.cloud import Cloud, aws_client
from worker.local.stack import Stack

FIRST = "shardId-000000000000"
LONG_AGO = Since(datetime(2020, 1, 1, tzinfo=UTC))
MIDDLE = str(2**127)


class World:
    """A stream of one shard, what puts records there, and what splits it."""

    def __init__(
        self, stream: EventStream, put: Callable[[str, bytes], None], split: Callable[[], Sequence[str]]
    ) -> None:
        self.stream = stream
        self.put = put
        self.split = split

    def read(self, since: Since = LONG_AGO, limit: int = 10_000) -> list[Page]:
        """Every page up to the tip."""
        return to_the_tip(self.stream.reader(FIRST, since), limit)


def to_the_tip(reader: ShardReader, limit: int = 10_000) -> list[Page]:
    pages: list[Page] = []
    while not pages or not (pages[-1].at_tip or pages[-1].ended):
        pages.append(reader.read(limit))
    return pages


def data(pages: Sequence[Page]) -> list[bytes]:
    return [record.data for page in pages for record in page.records]


@pytest.fixture(params=["memory", "kinesis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return in_memory()
    stack: Stack = request.getfixturevalue("stack")
    client = aws_client("kinesis", stack.endpoints.aws_endpoint_url)
    name = f"history-{uuid.uuid4().hex}"
    Cloud.at(stack.endpoints.aws_endpoint_url).create_stream(name, shards=1)

    def put(shard_id: str, content: bytes) -> None:
        where = {shard["ShardId"]: shard["HashKeyRange"]["StartingHashKey"] for shard in shards()}
        client.put_record(StreamName=name, Data=content, PartitionKey="p", ExplicitHashKey=where[shard_id])

    def shards() -> Sequence[Any]:
        found: Sequence[Any] = client.list_shards(StreamName=name)["Shards"]
        return found

    def split() -> Sequence[str]:
        client.split_shard(StreamName=name, ShardToSplit=FIRST, NewStartingHashKey=MIDDLE)
        return sorted(shard["ShardId"] for shard in shards() if shard["ShardId"] != FIRST)

    return World(KinesisHistory(client, name, lambda: datetime.now(UTC)), put, split)


def in_memory() -> World:
    twin = MemoryHistory(FIRST)

    def split() -> Sequence[str]:
        twin.split(FIRST, "shardId-000000000001", "shardId-000000000002")
        return ["shardId-000000000001", "shardId-000000000002"]

    def put(shard_id: str, content: bytes) -> None:
        twin.put(shard_id, content, datetime.now(UTC))

    return World(twin, put, split)


def test_a_shard_is_read_forward_from_its_beginning(world: World) -> None:
    for n in range(5):
        world.put(FIRST, b"%d" % n)
    pages = world.read(limit=2)
    assert data(pages) == [b"0", b"1", b"2", b"3", b"4"]
    assert [page.fetched for page in pages if page.fetched] == [2, 2, 1]
    assert sum(page.size for page in pages) == 5
    positions = [record.position for page in pages for record in page.records]
    assert positions == sorted(positions)
    assert not any(page.trimmed for page in pages)


def test_an_empty_shard_is_at_its_tip_and_goes_on_later(world: World) -> None:
    reader = world.stream.reader(FIRST, LONG_AGO)
    assert to_the_tip(reader)[-1].at_tip
    world.put(FIRST, b"later")
    assert data(to_the_tip(reader)) == [b"later"]


def test_reading_begins_at_a_time_of_arrival(world: World) -> None:
    world.put(FIRST, b"before")
    (page, *_) = world.read()
    later = page.records[0].arrived_at + timedelta(milliseconds=1)
    while datetime.now(UTC) <= later + timedelta(milliseconds=2):
        pass
    world.put(FIRST, b"after")
    assert data(world.read(Since(later))) == [b"after"]


def test_reading_goes_on_after_a_position(world: World) -> None:
    for n in range(4):
        world.put(FIRST, b"%d" % n)
    second = world.read()[0].records[1].position
    pages = world.read(Since(NOW + minutes(10**6), second), limit=1)
    assert data(pages) == [b"2", b"3"]
    assert not any(page.trimmed for page in pages)


def test_an_aggregate_is_split_and_can_be_resumed_inside(world: World) -> None:
    world.put(FIRST, aggregate.join([b"a", b"b", b"c"]))
    world.put(FIRST, b"d")
    pages = world.read()
    assert data(pages) == [b"a", b"b", b"c", b"d"]
    records = [record for page in pages for record in page.records]
    assert [record.position.sub_sequence for record in records] == [0, 1, 2, 0]
    assert len({record.position.sequence for record in records}) == 2
    assert pages[0].fetched == 2
    assert data(world.read(Since(LONG_AGO.arrived, records[1].position))) == [b"c", b"d"]


def test_children_know_their_parent(world: World) -> None:
    children = world.split()
    found = {shard.shard_id: shard.parents for shard in world.stream.shards()}
    assert found == {FIRST: frozenset(), **dict.fromkeys(children, frozenset({FIRST}))}
    # the emulator goes on writing to the parent, so what a child holds is a matter of the integration tests
    assert data(to_the_tip(world.stream.reader(children[1], LONG_AGO))) == []


def test_a_young_stream_has_lost_nothing(world: World) -> None:
    assert world.stream.gone_before() is None


def test_the_twin_ends_a_closed_shard_and_loses_what_is_trimmed() -> None:
    twin = MemoryHistory(FIRST)
    positions = [twin.put(FIRST, b"%d" % n, NOW) for n in range(4)]
    twin.split(FIRST, "child")
    assert [page.ended for page in to_the_tip(twin.reader(FIRST, LONG_AGO), 2)] == [False, True]
    twin.trim(FIRST, 2)
    (page,) = to_the_tip(twin.reader(FIRST, Since(NOW, positions[0])))
    assert (data([page]), page.trimmed) == ([b"2", b"3"], True)
    twin.forget(FIRST)
    assert [shard.shard_id for shard in twin.shards()] == ["child"]


# Kinesis alone: what the emulator never answers.


class Stub:
    """A Kinesis client that answers as told; errors are raised."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            answer = self._answers[name].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        call.__name__ = name
        return call


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetRecords")


def entry(sequence: int, content: bytes = b"x") -> dict[str, Any]:
    return {"SequenceNumber": str(sequence), "Data": content, "ApproximateArrivalTimestamp": NOW}


def answer(*entries: dict[str, Any], follows: str | None = "next", behind: int = 0) -> dict[str, Any]:
    return {"Records": list(entries), "NextShardIterator": follows, "MillisBehindLatest": behind}


ITERATOR = {"ShardIterator": "first"}


def reader_of(stub: Stub, after: Position | None = None) -> ShardReader:
    return KinesisHistory(stub, "s", lambda: NOW).reader(FIRST, Since(NOW, after))


def test_an_expired_iterator_is_replaced_after_the_last_record() -> None:
    stub = Stub(
        get_shard_iterator=[ITERATOR, ITERATOR],
        get_records=[
            answer(entry(7), behind=5),
            refusal("ExpiredIteratorException"),
            answer(entry(7), entry(8), behind=5),
        ],
    )
    reader = reader_of(stub)
    assert [r.position for r in reader.read(10).records] == [Position(7)]
    page = reader.read(10)
    assert [r.position for r in page.records] == [Position(8)]
    assert not page.trimmed
    begun = [arguments for name, arguments in stub.calls if name == "get_shard_iterator"]
    assert begun[1]["ShardIteratorType"] == "AT_SEQUENCE_NUMBER"
    assert begun[1]["StartingSequenceNumber"] == "7"


@pytest.mark.parametrize("begin", [[ITERATOR], [refusal("InvalidArgumentException"), ITERATOR]])
def test_a_place_that_is_not_kept_any_more_is_told(begin: list[Any]) -> None:
    stub = Stub(get_shard_iterator=begin, get_records=[answer(entry(9)), answer(entry(10))])
    reader = reader_of(stub, Position(7))
    page = reader.read(10)
    assert page.trimmed
    assert [r.position for r in page.records] == [Position(9)]
    assert not reader.read(10).trimmed, "it is told once"


def test_neither_a_cut_page_nor_an_empty_one_alone_says_that_the_tip_is_reached() -> None:
    stub = Stub(
        get_shard_iterator=[ITERATOR],
        get_records=[answer(entry(1), entry(2)), answer(behind=1_000), answer(entry(3), behind=0)],
    )
    reader = reader_of(stub)
    assert [reader.read(2).at_tip for _ in range(3)] == [False, False, True]


def test_a_closed_shard_ends() -> None:
    stub = Stub(get_shard_iterator=[ITERATOR], get_records=[answer(entry(1), follows=None)])
    assert reader_of(stub).read(10).ended


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ProvisionedThroughputExceededException"), StreamThrottled),
        (refusal("KMSThrottlingException"), StreamThrottled),
        (refusal("InternalFailure"), StreamUnavailable),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1"), StreamUnavailable),
    ],
)
def test_after_a_refusal_the_same_page_can_be_read(error: Exception, expected: type[Exception]) -> None:
    stub = Stub(get_shard_iterator=[ITERATOR], get_records=[error, answer(entry(1))])
    reader = reader_of(stub)
    with pytest.raises(expected) as raised:
        reader.read(10)
    assert type(raised.value) is expected or expected is StreamUnavailable
    assert [r.position for r in reader.read(10).records] == [Position(1)]


def test_shards_are_listed_to_the_last_page() -> None:
    stub = Stub(
        list_shards=[
            {"Shards": [{"ShardId": "a"}], "NextToken": "more"},
            {"Shards": [{"ShardId": "c", "ParentShardId": "a", "AdjacentParentShardId": "b"}]},
        ]
    )
    found = KinesisHistory(stub, "s", lambda: NOW).shards()
    assert [(shard.shard_id, shard.parents) for shard in found] == [
        ("a", frozenset()),
        ("c", frozenset({"a", "b"})),
    ]
    assert stub.calls[1][1] == {"NextToken": "more"}


def test_what_is_older_than_the_retention_is_gone() -> None:
    def summary(created: datetime) -> dict[str, Any]:
        return {"StreamDescriptionSummary": {"RetentionPeriodHours": 24, "StreamCreationTimestamp": created}}

    day = timedelta(days=1)
    stub = Stub(describe_stream_summary=[summary(NOW - 3 * day), summary(NOW - day / 2)])
    history = KinesisHistory(stub, "s", lambda: NOW)
    assert history.gone_before() == NOW - day
    assert history.gone_before() is None
