"""What the desk does in KCL's tables, on its thread; the clock stands until a test moves it."""

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from worker.adapters.memory import MemoryLeases
from worker.kcl.fleet import Fleet, FleetPatience, Look
from worker.kcl.lease_desk import LeaseDesk
from worker.leases import SHARD_END, Leader, Lease
from worker.metrics import CounterName

PATIENCE_SECONDS = 20.0
SHARDS = ("shardId-000000000000", "shardId-000000000001")
BOSS = Leader("boss", "a")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Tables(MemoryLeases):
    """KCL's tables with a race to lose, and an answer that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.races = 0
        self.strange = False

    def give_back(self, lease: Lease, heir: str | None) -> bool:
        if self.races:
            # KCL renews between our reading and our writing
            self.races -= 1
            self.rows[lease.shard] = lease._replace(counter=lease.counter + 1)
        return super().give_back(lease, heir)

    def leader(self) -> Leader | None:
        if self.strange:
            raise KeyError("ownerName")
        return super().leader()


class Scene:
    """A desk at work."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.clock = Clock()
        self.counted: Counter[CounterName] = Counter()
        self.woken = threading.Event()
        fleet = Fleet("me", 4, FleetPatience())
        self.desk = LeaseDesk(
            self.tables, "me", fleet, self._count, look_seconds=0.01, clock=self.clock, wake=self.woken.set
        )

    def hold(self, *shards: str) -> None:
        for shard in shards:
            self.tables.rows[shard] = Lease(shard, "me", 7, "TRIM_HORIZON")

    def look_at(self, seconds: float) -> None:
        """Move the clock and wait until the desk has looked since; the first look may have begun before."""
        self.clock.now = 1_000.0 + seconds
        for _ in range(2):
            self.until(functools.partial(self._looked_since, self.desk.look))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            self.woken.wait(PATIENCE_SECONDS)
            self.woken.clear()

    def heir_appears(self) -> None:
        """Another worker reports, and is seen to."""
        self.look_at(0)
        self.tables.reports["heir"] = 1
        self.look_at(5)

    def owners(self) -> list[str | None]:
        return [self.tables.rows[shard].owner for shard in SHARDS]

    def _looked_since(self, before: Look | None) -> bool:
        return self.desk.look is not before

    def _count(self, name: CounterName) -> None:
        self.counted[name] += 1


@contextmanager
def working(scene: Scene) -> Iterator[Scene]:
    scene.desk.start()
    with closing(scene.desk):
        yield scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    with working(Scene()) as made:
        yield made


def test_it_looks(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.tables.record = BOSS
    scene.look_at(1)
    look = scene.desk.look
    assert look is not None
    assert set(look.leases) == set(SHARDS)
    assert look.leader == BOSS
    assert not scene.desk.away


def test_one_lease_is_given_back_and_the_other_stays(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.heir_appears()
    scene.desk.give_back(SHARDS[0])
    scene.until(lambda: scene.owners() == ["heir", "me"])
    assert scene.counted["leases_given_back_total"] == 1


def test_without_an_heir_the_lease_is_nobody_s(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.desk.give_back(SHARDS[0])
    scene.until(lambda: scene.owners() == [None, "me"])


def test_a_lost_race_is_run_again(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.tables.races = 3
    scene.desk.give_back(SHARDS[0])
    scene.until(lambda: scene.owners() == [None, "me"])
    assert scene.tables.rows[SHARDS[0]].counter == 11
    assert scene.counted["leases_given_back_total"] == 1


def test_what_another_took_meanwhile_is_not_touched(scene: Scene) -> None:
    scene.hold(*SHARDS)
    taken = Lease(SHARDS[0], "other", 9, "TRIM_HORIZON")
    scene.tables.rows[SHARDS[0]] = taken
    scene.desk.give_back(SHARDS[0])
    scene.desk.give_back("shardId-000000000099")
    scene.desk.settle()
    scene.until(lambda: scene.desk.settled)
    assert scene.tables.rows[SHARDS[0]] == taken
    assert scene.counted["leases_given_back_total"] == 1


def test_who_leaves_is_forgotten_at_once_and_as_often_as_it_reports(scene: Scene) -> None:
    scene.tables.reports["me"] = 1
    scene.look_at(1)
    assert "me" in scene.tables.reports
    scene.desk.leave()
    scene.until(lambda: "me" not in scene.tables.reports)
    scene.tables.reports["me"] = 2
    scene.clock.now += 2
    scene.until(lambda: "me" not in scene.tables.reports)


def test_settled_means_that_nothing_is_left_under_our_name(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.tables.reports["me"] = 1
    scene.tables.record = Leader("me", "a")
    scene.heir_appears()
    scene.desk.settle()
    scene.until(lambda: scene.desk.settled)
    assert scene.owners() == ["heir", "heir"]
    assert scene.tables.reports == {"heir": 1}
    assert scene.tables.record is None


def test_settling_waits_for_an_outage_to_end(scene: Scene) -> None:
    scene.hold(*SHARDS)
    scene.tables.away = True
    scene.desk.settle()
    scene.until(lambda: scene.counted["lease_table_failures_total"] >= 3)
    assert not scene.desk.settled
    scene.tables.away = False
    scene.until(lambda: scene.desk.settled)
    assert scene.owners() == [None, None]


def test_the_record_of_our_own_dead_daemon_is_cleared_and_that_of_another_is_not(scene: Scene) -> None:
    scene.tables.record = Leader("me", "a")
    scene.desk.daemon_ended()
    scene.until(lambda: scene.tables.record is None)
    scene.tables.record = BOSS
    scene.desk.daemon_ended()
    scene.desk.settle()
    scene.until(lambda: scene.desk.settled)
    assert scene.tables.record == BOSS
    assert scene.counted["leaders_cleared_total"] == 0


def test_a_leader_record_that_stands_still_is_cleared(scene: Scene) -> None:
    # looks    0     5 ... 40   45
    # reports  move  move       move
    # version  a     a     a    a
    scene.tables.record = BOSS
    for seconds in range(0, 45, 5):
        scene.tables.reports["boss"] = seconds
        scene.look_at(seconds)
        assert scene.tables.record == BOSS
    scene.tables.reports["boss"] = 45
    scene.look_at(45)
    scene.until(lambda: scene.tables.record is None)
    scene.until(lambda: scene.counted["leaders_cleared_total"] == 1)


def test_a_finished_lease_goes_when_it_was_seen_twice_and_only_its_owner_removes_it(scene: Scene) -> None:
    children = frozenset({"2", "3"})
    mine, other = (
        Lease(shard, owner, 9, SHARD_END, children=children) for shard, owner in (("0", "me"), ("1", "b"))
    )
    scene.tables.rows = {"0": mine, "1": other, "2": Lease("2", "me", 1, "TRIM_HORIZON")}
    scene.look_at(0)
    scene.look_at(5)
    assert scene.tables.rows.keys() == {"0", "1", "2"}
    scene.tables.rows["3"] = Lease("3", None, 0, "TRIM_HORIZON")
    scene.until(lambda: scene.tables.rows.keys() == {"1", "2", "3"})
    scene.until(lambda: scene.counted["leases_removed_total"] == 1)


def test_the_report_of_a_dead_worker_is_cleared_and_that_of_a_live_one_is_not(scene: Scene) -> None:
    scene.tables.reports = {"me": 1, "ahead": 9_999, "slow": 1}
    for seconds in range(0, 20, 5):
        scene.tables.reports["slow"] = seconds
        scene.look_at(seconds)
        assert "ahead" in scene.tables.reports
    scene.tables.reports["slow"] = 20
    scene.look_at(20)
    scene.until(lambda: scene.tables.reports == {"me": 1, "slow": 20})
    scene.until(lambda: scene.counted["reports_cleared_total"] == 1)


def test_an_outage_is_told_once_a_minute_and_counted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> int:
        return [record.message for record in caplog.records].count("lease tables away")

    scene.tables.away = True
    scene.until(lambda: scene.counted["lease_table_failures_total"] >= 5)
    assert scene.desk.away
    assert told() == 1
    scene.clock.now += 60
    scene.until(lambda: told() == 2)
    scene.tables.away = False
    scene.until(lambda: not scene.desk.away)


def test_an_answer_nobody_foresaw_does_not_end_the_looking(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.tables.strange = True
    scene.until(lambda: "lease desk failed" in caplog.messages)
    scene.tables.strange = False
    scene.look_at(1)


def test_it_closes_in_an_outage() -> None:
    scene = Scene()
    scene.tables.away = True
    with working(scene):
        scene.desk.settle()
        scene.until(lambda: scene.counted["lease_table_failures_total"] >= 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-desk"]
