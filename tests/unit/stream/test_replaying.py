from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.conftest import NOW, minutes
from worker.adapters.memory import MemoryHistory
from worker.domain import aggregate
from worker.domain.errors import StreamUnavailable
from worker.domain.position import Position
from worker.stream.replaying import SLACK, Clock, Replay, Resting, Span, Turn

SPAN = Span(NOW, NOW + minutes(10))
SECOND = timedelta(seconds=1)


class Desk:
    """A stream, and time that passes only while the replay waits or its caller works."""

    def __init__(self, *shards: str) -> None:
        self.stream = MemoryHistory(*shards)
        self.seconds = 0.0
        self.pauses: list[tuple[float, Exception]] = []

    def pause(self, seconds: float, because: Exception) -> None:
        self.pauses.append((seconds, because))
        assert len(self.pauses) < 1_000, "waits for ever"
        self.seconds += seconds
        self.stream.away = False

    def replay(self, reached: Mapping[str, Position] | None = None, share: float = 1.0) -> Replay:
        clock = Clock(lambda: self.seconds, self.pause)
        return Replay(self.stream, SPAN, reached or {}, share, clock)

    def read(self, reached: Mapping[str, Position] | None = None) -> list[tuple[str, bytes]]:
        """What is replayed, in its order."""
        turns = self.replay(reached).turns()
        return [(turn.shard_id, record.data) for turn in turns for record in turn.records]


def test_only_what_arrived_within_the_range_is_replayed() -> None:
    desk = Desk("a")
    for at, data in (
        (SPAN.first - SECOND, b"before"),
        (SPAN.first, b"first"),
        (SPAN.last - SECOND, b"last"),
        (SPAN.last, b"after"),
    ):
        desk.stream.put("a", data, at)
    assert desk.read() == [("a", b"first"), ("a", b"last")]


def test_arrival_times_need_only_nearly_be_in_order() -> None:
    desk = Desk("a")
    desk.stream.put("a", b"early", SPAN.first - SLACK / 2)
    desk.stream.put("a", b"1", SPAN.first)
    desk.stream.put("a", b"late", SPAN.last + SLACK / 2)
    desk.stream.put("a", b"2", SPAN.last - SECOND)
    assert desk.read() == [("a", b"1"), ("a", b"2")]


def test_a_shard_is_not_read_beyond_the_range() -> None:
    desk = Desk("a")
    for n in range(100_000):
        desk.stream.put("a", b"", SPAN.first + n * SECOND)
    *_, last = desk.replay().turns()
    assert last.done
    assert sum(limit for _, limit in desk.stream.reads) < 5_000


def test_parents_are_replayed_before_their_children_through_splits_and_merges() -> None:
    desk = Desk("a", "z")
    desk.stream.put("a", b"1", NOW)
    desk.stream.split("a", "b", "c")
    desk.stream.put("c", b"2", NOW + SECOND)
    desk.stream.put("b", b"2", NOW + SECOND)
    desk.stream.merge(["b", "c"], "d")
    desk.stream.put("d", b"3", NOW + 2 * SECOND)
    desk.stream.put("z", b"9", NOW)
    read = desk.read()
    assert sorted(read) == [("a", b"1"), ("b", b"2"), ("c", b"2"), ("d", b"3"), ("z", b"9")]
    order = [data for shard, data in read if shard != "z"]
    assert order == sorted(order)


def test_a_parent_that_has_expired_is_not_waited_for() -> None:
    desk = Desk("a")
    desk.stream.split("a", "b")
    desk.stream.put("b", b"x", NOW)
    desk.stream.forget("a")
    assert desk.read() == [("b", b"x")]


def test_an_aggregate_is_replayed_event_by_event_and_resumed_inside() -> None:
    desk = Desk("a")
    whole = desk.stream.put("a", aggregate.join([b"1", b"2", b"3"]), NOW)
    desk.stream.put("a", b"4", NOW)
    assert [data for _, data in desk.read()] == [b"1", b"2", b"3", b"4"]
    assert [data for _, data in desk.read({"a": whole._replace(sub_sequence=1)})] == [b"3", b"4"]


def test_a_gap_where_an_earlier_run_ended_is_told() -> None:
    desk = Desk("a")
    reached = desk.stream.put("a", b"1", NOW)
    desk.stream.put("a", b"2", NOW)
    desk.stream.put("a", b"3", NOW)
    desk.stream.trim("a", 2)
    turns = list(desk.replay({"a": reached}).turns())
    assert [turn.trimmed for turn in turns if turn.records] == [True]


def test_outages_and_refusals_are_waited_out() -> None:
    desk = Desk("a")
    for n in range(3):
        desk.stream.put("a", b"%d" % n, NOW)
    desk.stream.away = True
    desk.stream.throttled = 2
    replay = desk.replay()
    turns = list(replay.turns())
    assert [record.data for turn in turns for record in turn.records] == [b"0", b"1", b"2"]
    assert replay.throttled == 2
    assert isinstance(desk.pauses[0][1], StreamUnavailable)


def test_an_outage_in_the_middle_loses_nothing() -> None:
    desk = Desk("a")
    for n in range(500):
        desk.stream.put("a", b"%d" % n, NOW)
    read = []
    for turn in desk.replay().turns():
        read += [record.data for record in turn.records]
        desk.stream.away = True
    assert read == [b"%d" % n for n in range(500)]


def test_a_replay_rests_in_proportion_to_the_time_it_took() -> None:
    desk = Desk("a")
    desk.stream.put("a", b"1", NOW)
    turns = desk.replay(share=0.25).turns()
    assert next(turns).records
    desk.seconds += 30  # ledger and projection are busy
    assert list(turns) == []
    rests = [seconds for seconds, because in desk.pauses if str(because) == "live traffic first"]
    assert rests == [pytest.approx(90)]
    assert all(isinstance(because, Resting) for _, because in desk.pauses)


def test_shards_take_turns() -> None:
    desk = Desk("a", "b")
    for shard in ("a", "b"):
        for n in range(300):
            desk.stream.put(shard, b"%d" % n, NOW)
    turns: list[Turn] = [turn for turn in desk.replay().turns() if turn.records]
    assert {turn.shard_id for turn in turns[:2]} == {"a", "b"}
