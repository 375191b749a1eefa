"""When a daemon that lives is restarted because it does not work: arithmetic, no sleeping."""

from collections.abc import Callable

import pytest

from worker.kcl.fleet import Fleet, FleetPatience, Look
from worker.kcl.heartbeat import Status
from worker.kcl.listener import Heard
from worker.kcl.watchdog import Bite, Patience, Watchdog
from worker.leases import Leader, Lease

PATIENCE = Patience(silent=90, stuck=300, lease=60, leader=90, start=60)
SHARD = "shardId-000000000000"


def watchdog(max_leases: int = 4) -> Watchdog:
    """A watchdog whose daemon was started at 0."""
    dog = Watchdog("me", Fleet("me", max_leases, FleetPatience()), PATIENCE)
    dog.begin(0)
    return dog


Words = Callable[[int], Heard]
"""The last word of a shard's process at each second."""


def heard(at: float, status: Status = "working", *, read: float = 7, age: float = 0) -> Heard:
    return Heard(11, at, status, "", read, age)


def first_bite(words: Words, until: int, dog: Watchdog | None = None, start: int = 0) -> Bite | None:
    """Ask every second, as the supervisor does."""
    dog = dog or watchdog()
    bites = (dog.bite({SHARD: words(now)}, None, now) for now in range(start, until + 1))
    return next((bite for bite in bites if bite is not None), None)


# --- silent ----------------------------------------------------------------------------------------------


def test_a_working_shard_that_is_silent_is_bitten() -> None:
    assert first_bite(lambda now: heard(min(now, 100)), 189) is None
    assert first_bite(lambda now: heard(min(now, 100)), 190) == Bite("silent", SHARD, 90)


def test_so_is_one_that_fell_silent_in_the_call_that_ended_its_idleness() -> None:
    assert first_bite(lambda now: heard(min(now, 100), "idle"), 190) == Bite("silent", SHARD, 90)


@pytest.mark.parametrize("status", ["waiting", "halted"])
def test_a_shard_that_said_why_is_never_bitten(status: Status) -> None:
    assert first_bite(lambda _: heard(100, status, age=1), 2_000) is None


def test_a_worker_without_shards_is_never_bitten() -> None:
    dog = watchdog()
    assert [dog.bite({}, None, now) for now in range(1_000)] == [None] * 1_000


def test_after_a_sleep_of_the_machine_every_shard_has_its_time_again() -> None:
    # beats  0 ... 100                    (nothing)
    # asked  0 ... 100   (asleep)   400 ... 489   490
    dog = watchdog()
    assert first_bite(heard, 100, dog) is None
    assert first_bite(lambda _: heard(100), 489, dog, start=400) is None
    assert dog.bite({SHARD: heard(100)}, None, 490) == Bite("silent", SHARD, 90)


# --- stuck -----------------------------------------------------------------------------------------------


def test_an_iterator_that_ages_while_nothing_is_read_is_bitten() -> None:
    # time   0    100   200   300
    # read   7    7     7     7
    # age    1    101   201   301
    assert first_bite(lambda now: heard(now, age=now + 1), 299) is None
    assert first_bite(lambda now: heard(now, age=now + 1), 300) == Bite("stuck", SHARD, 300)


def test_an_idle_shard_at_the_tip_of_the_stream_is_not() -> None:
    assert first_bite(heard, 1_000) is None


def test_a_shard_that_falls_behind_and_reads_is_not() -> None:
    assert first_bite(lambda now: heard(now, read=now // 100, age=now), 1_000) is None


def test_a_shard_that_catches_up_over_an_empty_stretch_is_not() -> None:
    # old gaps of a stream are given as empty batches, with an age that falls
    assert first_bite(lambda now: heard(now, age=50_000 - now), 1_000) is None


def test_waiting_for_a_database_starts_the_measure_anew() -> None:
    # time    0        200      250      500
    # status  working  waiting  working  working
    def words(now: int) -> Heard:
        return heard(now, "waiting" if 200 <= now <= 250 else "working", age=now + 1)

    assert first_bite(words, 549) is None
    assert first_bite(words, 550) == Bite("stuck", SHARD, 300)


def test_a_late_shard_whose_age_hardly_grows_is_not_stuck() -> None:
    # one long batch: the age is told at its start only
    assert first_bite(lambda now: heard(now, age=40 if now else 1), 1_000) is None


def test_a_shard_that_is_asked_nothing_is_bitten_when_its_time_has_come() -> None:
    # a daemon that renews its leases and reads nothing
    assert first_bite(lambda now: heard(now, "idle", age=now), 299) is None
    assert first_bite(lambda now: heard(now, "idle", age=now), 300) == Bite("stuck", SHARD, 300)


def test_nor_as_long_as_kinesis_is_away_and_for_its_time_after_that() -> None:
    # time   0            1000         1300
    # stream answers away ... answers
    dog = watchdog()

    def bites(since: int, until: int, *, away: bool) -> list[Bite]:
        asked = range(since, until)
        found = (dog.bite({SHARD: heard(n, "idle", age=n)}, None, n, stream_away=away) for n in asked)
        return [bite for bite in found if bite is not None]

    assert bites(0, 20, away=False) == []
    assert bites(20, 1_000, away=True) == []
    assert bites(1_000, 1_300, away=False) == []
    assert bites(1_300, 1_301, away=False) == [Bite("stuck", SHARD, 300)]


def test_a_new_life_of_the_daemon_starts_the_measure_anew() -> None:
    dog = watchdog()
    assert first_bite(lambda now: heard(now, age=now + 1), 299, dog) is None
    dog.begin(299)
    assert first_bite(lambda now: heard(now, age=now + 1), 599, dog, start=300) is None


# --- leases and leader -----------------------------------------------------------------------------------


def looks(
    until: int, owner: str | None, *, counter: int | None = 1, leader: str = "boss", checkpoint: str = "7"
) -> list[Look]:
    """A look every 5 s, of one lease; a counter of None moves, as do the Leader record and every report."""
    return [
        Look(
            at,
            {SHARD: Lease(SHARD, owner, at if counter is None else counter, checkpoint)},
            {"me": at, "boss": at},
            Leader(leader, str(at)),
        )
        for at in range(0, until + 1, 5)
    ]


def seen(dog: Watchdog, taken: list[Look]) -> list[Bite]:
    bites = [dog.bite({}, look, look.at) for look in taken]
    return [bite for bite in bites if bite is not None]


def test_a_lease_of_ours_that_is_not_renewed_is_bitten_once_the_daemon_had_time_to_start() -> None:
    # started  0      60                120
    # judged          |- 60 s of grace -|
    assert seen(watchdog(), looks(115, "me")) == []
    assert seen(watchdog(), looks(120, "me")) == [Bite("unrenewed", SHARD, 120)]


def test_a_renewed_lease_is_not_bitten() -> None:
    assert seen(watchdog(), looks(600, "me", counter=None)) == []


def test_nor_is_the_lease_of_another() -> None:
    assert seen(watchdog(), looks(600, "boss")) == []


def test_nor_is_the_lease_of_a_finished_shard() -> None:
    assert seen(watchdog(), looks(600, "me", checkpoint="SHARD_END")) == []


def test_an_outage_of_the_tables_is_not_the_daemon_s_fault() -> None:
    # looks  0 ... 100   (outage)   300   305
    # the counter could not move between them
    taken = [look for look in looks(305, "me") if not 100 < look.at < 300]
    assert seen(watchdog(), taken) == []


@pytest.mark.parametrize("owner", [None, "dead"])
def test_a_leader_that_leaves_leases_unassigned_is_bitten(owner: str | None) -> None:
    assert seen(watchdog(), looks(120, owner, leader="me")) == [Bite("unassigned", SHARD, 120)]


@pytest.mark.parametrize("owner", [None, "dead"])
def test_who_does_not_lead_is_not_to_blame(owner: str | None) -> None:
    assert seen(watchdog(), looks(600, owner)) == []


def test_without_room_anywhere_the_leader_is_not_to_blame() -> None:
    full = [
        look._replace(
            leases={
                **look.leases,
                "s1": Lease("s1", "me", int(look.at), "7"),
                "s2": Lease("s2", "boss", int(look.at), "7"),
            }
        )
        for look in looks(600, None, leader="me")
    ]
    assert seen(watchdog(max_leases=1), full) == []
    assert seen(watchdog(max_leases=2), full)[0].reason == "unassigned"


def test_a_leader_that_does_not_keep_its_record_is_bitten() -> None:
    taken = [look._replace(leases={}, leader=Leader("me", "a")) for look in looks(90, None)]
    assert seen(watchdog(), taken[:-1]) == []
    assert seen(watchdog(), taken) == [Bite("leaderless", "me", 90)]


def test_the_same_look_says_nothing_new() -> None:
    dog = watchdog()
    (look,) = looks(0, "me")
    assert [dog.bite({}, look, now) for now in range(0, 1_000, 50)] == [None] * 20
