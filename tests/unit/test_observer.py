"""What the drills' figures mean: a pause counts until its end or until now, and recovery must last."""

from tests.faults.observer import Watch, arrived
from worker.domain.accounting import Accounting, Outcome
from worker.domain.position import Position


def looked(watch: Watch, *moving: str, start: int, until: int, behind: int = 0) -> None:
    """A look every second from `start` to `until`, at which only these shards have moved."""
    for n in range(start, until + 1):
        still = {shard: position for shard, (position, _) in watch._last.items() if shard not in moving}
        watch.look({**still, **dict.fromkeys(moving, Position(n))}, behind, n)


def watched(backlog: int = 1_000) -> Watch:
    """Ten seconds of two shards under load, then a fault."""
    watch = Watch(backlog=backlog)
    looked(watch, "a", "b", start=0, until=10)
    watch.fault(10)
    return watch


def test_what_is_delivered_again_has_not_arrived_again() -> None:
    accounting = Accounting(10, {Outcome.APPLIED: 6, Outcome.DUPLICATE: 1, Outcome.REDELIVERED: 3})
    assert arrived(accounting) == 7


def recovered(watch: Watch) -> float | None:
    return watch.recovered_after


def test_nothing_is_recovered_before_both_shards_have_moved_since_the_fault() -> None:
    watch = watched()
    looked(watch, "a", start=11, until=20)
    assert recovered(watch) is None
    looked(watch, "a", "b", start=21, until=22)
    assert recovered(watch) == 11


def test_nor_with_a_backlog() -> None:
    watch = watched()
    looked(watch, "a", "b", start=11, until=20, behind=1_001)
    assert recovered(watch) is None
    looked(watch, "a", "b", start=21, until=30, behind=1_000)
    assert recovered(watch) == 11


def test_a_recovery_that_does_not_last_is_none() -> None:
    watch = watched()
    looked(watch, "a", "b", start=11, until=12)
    assert recovered(watch) == 1
    looked(watch, "a", start=13, until=20)
    assert recovered(watch) is None
    looked(watch, "a", "b", start=21, until=30)
    assert recovered(watch) == 11


def test_what_was_on_its_way_at_the_fault_is_no_recovery_of_an_outage_without_backlog() -> None:
    # the stream is away, so that nobody can send either
    watch = watched()
    looked(watch, "a", "b", start=11, until=11)
    looked(watch, start=12, until=70)
    assert recovered(watch) is None
    assert watch.pauses(70) == {"a": 59, "b": 59}


def test_a_pause_ends_with_the_next_commit() -> None:
    watch = watched()
    looked(watch, "a", start=11, until=30)
    looked(watch, "a", "b", start=31, until=40)
    assert watch.pauses(40) == {"a": 1, "b": 21}


def test_a_shard_that_never_moves_again_pauses_until_now() -> None:
    watch = watched()
    looked(watch, "a", start=11, until=30)
    assert watch.pauses(30)["b"] == 20
    assert watch.pauses(45)["b"] == 35


def test_a_shard_that_has_ended_does_not_pause() -> None:
    watch = watched()
    for n in range(11, 31):
        watch.look({"a": Position(10), "b": Position(n), "c": Position(n)}, 0, n)
    assert "a" not in watch.pauses(30) or watch.pauses(30)["a"] == 0
    assert recovered(watch) == 1
