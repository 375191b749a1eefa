"""What is concluded from looks at KCL's tables: arithmetic on what moves and what stands still."""

from collections.abc import Mapping

import pytest

from worker.kcl.fleet import Fleet, FleetPatience, Look, Stillness
from worker.leases import SHARD_END, Leader, Lease

PATIENCE = FleetPatience(heir=12, worker=20, leader=45, look=5)


def look(
    at: float,
    *leases: Lease,
    workers: Mapping[str, int] | None = None,
    leader: tuple[str, str] | None = None,
) -> Look:
    rows = {lease.shard: lease for lease in leases}
    return Look(at, rows, workers or {}, Leader(*leader) if leader else None)


def lease(shard: str, owner: str | None, counter: int = 1, checkpoint: str = "7") -> Lease:
    return Lease(shard, owner, counter, checkpoint)


def fleet(*looks: Look, max_leases: int = 4) -> Fleet:
    seen = Fleet("me", max_leases, PATIENCE)
    for one in looks:
        seen.see(one)
    return seen


# --- stillness -------------------------------------------------------------------------------------------


def test_a_value_stands_still_from_when_it_was_first_seen() -> None:
    # looks  0    5    10
    # value  a    a    a
    still = Stillness()
    for now in (0, 5, 10):
        still.note({"k": "a"}, now)
    assert still.seconds("k", 10) == 10
    assert not still.moved("k")


def test_a_change_starts_it_anew() -> None:
    # looks  0    5    10   15
    # value  a    a    b    b
    still = Stillness()
    for now, value in ((0, "a"), (5, "a"), (10, "b"), (15, "b")):
        still.note({"k": value}, now)
    assert still.seconds("k", 15) == 5
    assert still.moved("k")


def test_what_appears_while_we_look_has_moved_and_what_is_gone_is_forgotten() -> None:
    still = Stillness()
    still.note({}, 0)
    still.note({"k": "a"}, 5)
    assert still.moved("k")
    still.note({}, 10)
    assert not still.moved("k")
    assert still.seconds("k", 99) == 0


# --- heirs -----------------------------------------------------------------------------------------------


def test_the_heir_is_the_live_worker_with_the_fewest_leases() -> None:
    rows = [lease("s1", "me"), lease("s2", "a"), lease("s3", "a"), lease("s4", "b")]
    looks = [look(at, *rows, workers={"me": at, "a": at, "b": at}) for at in (0, 5)]
    assert fleet(*looks).heir() == "b"


def test_a_worker_that_is_new_inherits_at_once() -> None:
    looks = [look(0, workers={"me": 100}), look(5, workers={"me": 105, "new": 104})]
    assert fleet(*looks).heir() == "new"


def test_reports_that_never_moved_while_we_looked_are_of_the_dead() -> None:
    # the row of a worker that died yesterday is still in the table
    assert fleet(*[look(at, workers={"me": at, "dead": 7}) for at in (0, 5, 10)]).heir() is None


@pytest.mark.parametrize(("silent_since", "heir"), [(11, "a"), (12, None)])
def test_a_worker_that_stopped_reporting_inherits_nothing(silent_since: int, heir: str | None) -> None:
    # looks    0    5         5 + silent_since
    # reports  1    2         2
    looks = [look(0, workers={"a": 1}), look(5, workers={"a": 2}), look(5 + silent_since, workers={"a": 2})]
    assert fleet(*looks).heir() == heir


def test_the_clock_of_another_machine_does_not_matter() -> None:
    ten_minutes_slow = [look(at, workers={"me": at, "a": at - 600}) for at in (1_000, 1_005)]
    assert fleet(*ten_minutes_slow).heir() == "a"


def test_a_full_worker_inherits_nothing() -> None:
    rows = [lease("s1", "a"), lease("s2", "me")]
    looks = [look(at, *rows, workers={"me": at, "a": at}) for at in (0, 5)]
    assert fleet(*looks, max_leases=1).heir() is None
    assert not fleet(*looks, max_leases=1).has_room()
    assert fleet(*looks, max_leases=2).has_room()


def test_before_the_first_look_nothing_is_known() -> None:
    unknowing = fleet()
    assert unknowing.heir() is None
    assert unknowing.dead_leader() is None
    assert unknowing.unrenewed() == {}
    assert unknowing.leads_for() == 0
    assert not unknowing.has_room()
    assert unknowing.dead_workers() == {}


# --- the dead --------------------------------------------------------------------------------------------


def reported(*looks: tuple[float, Mapping[str, int]]) -> Fleet:
    return fleet(*[look(at, workers=workers) for at, workers in looks])


def test_who_has_not_reported_for_20_seconds_is_dead_by_whichever_clock() -> None:
    # looks     0    5    10   15   20
    # ahead     600  600  600  600  600
    # behind    -600 ... moves
    looks = [(at, {"me": at, "ahead": 2_600, "behind": 1_400 + at}) for at in range(0, 25, 5)]
    assert reported(*looks[:4]).dead_workers() == {}
    assert reported(*looks).dead_workers() == {"ahead": 2_600}


def test_our_own_report_is_not_ours_to_clear() -> None:
    looks = [(at, {"me": 1, "a": 1}) for at in range(0, 25, 5)]
    assert reported(*looks).dead_workers() == {"a": 1}


def test_a_leaders_report_goes_together_with_its_record() -> None:
    # looks    0    5    10   15   20   25   30
    # report   a    a    a    a    a    a    a
    # version  a    a    b    b    b    b    b
    looks = [
        look(at, workers={"boss": 1}, leader=("boss", "a" if at < 10 else "b")) for at in range(0, 35, 5)
    ]
    assert fleet(*looks[:6]).dead_leader() is None
    assert fleet(*looks[:6]).dead_workers() == {}
    assert fleet(*looks).dead_leader() == Leader("boss", "b")
    assert fleet(*looks).dead_workers() == {"boss": 1}


def test_an_outage_of_the_tables_is_nobody_s_death() -> None:
    # looks    0    5   (outage: nobody could write)   65   70
    looks = [(at, {"a": 1}) for at in (0, 5, 65, 70, 75, 80, 85)]
    assert reported(*looks[:4]).dead_workers() == {}
    assert reported(*looks).dead_workers() == {"a": 1}


# --- the leader ------------------------------------------------------------------------------------------


def beats(*looks: tuple[float, str, int, int]) -> Fleet:
    """Looks as (time, version of the Leader record, its owner's report, the counter of its lease)."""
    return fleet(
        *[
            look(at, lease("s1", "boss", counter), workers={"boss": report}, leader=("boss", version))
            for at, version, report, counter in looks
        ]
    )


def test_a_live_leader_may_leave_its_record_alone_for_30_seconds() -> None:
    # looks    0    5    10   15   20   25   30
    # version  a                             a
    # reports  0    1    2    3    4    5    6
    assert beats(*[(at, "a", at // 5, at // 3) for at in range(0, 35, 5)]).dead_leader() is None


def test_a_leader_without_any_sign_of_life_is_dead_sooner() -> None:
    # looks    0    5    10   15   20
    # all      a    a    a    a    a
    assert beats(*[(at, "a", 1, 1) for at in (0, 5, 10, 15)]).dead_leader() is None
    assert beats(*[(at, "a", 1, 1) for at in (0, 5, 10, 15, 20)]).dead_leader() == Leader("boss", "a")


@pytest.mark.parametrize("sign", ["report", "renewal"])
def test_one_sign_of_life_is_enough(sign: str) -> None:
    looks = [
        (at, "a", at if sign == "report" else 1, at if sign == "renewal" else 1) for at in range(0, 45, 5)
    ]
    assert beats(*looks).dead_leader() is None


def test_a_record_that_stands_still_for_too_long_is_dead_whatever_its_owner_does() -> None:
    looks = [(at, "a", at, at) for at in range(0, 50, 5)]
    assert beats(*looks[:9]).dead_leader() is None
    assert beats(*looks).dead_leader() == Leader("boss", "a")


def test_a_leader_whose_reports_are_gone_is_dead() -> None:
    looks = [look(at, leader=("boss", "a")) for at in (0, 5, 10, 15, 20)]
    assert fleet(*looks).dead_leader() == Leader("boss", "a")


def test_an_outage_of_the_tables_is_not_the_death_of_the_leader() -> None:
    # looks    0    5   (outage: nobody could write)   65   70
    looks = [(at, "a", 1, 1) for at in (0, 5, 65, 70)]
    assert beats(*looks).dead_leader() is None
    assert beats(*looks, *[(at, "a", 1, 1) for at in (75, 80, 85)]).dead_leader() == Leader("boss", "a")


def test_our_own_record_is_not_ours_to_clear() -> None:
    mine = fleet(*[look(at, leader=("me", "a")) for at in range(0, 100, 5)])
    assert mine.dead_leader() is None
    assert mine.leads_for() == 95


def test_without_a_record_nobody_leads() -> None:
    nobody = fleet(*[look(at) for at in range(0, 100, 5)])
    assert nobody.dead_leader() is None
    assert nobody.leads_for() == 0


# --- leases ----------------------------------------------------------------------------------------------


def test_a_lease_is_renewed_when_its_counter_or_its_holder_changes() -> None:
    rows = [(0, "a", 1), (5, "a", 1), (10, "a", 2), (15, "a", 2), (20, "b", 2), (25, "b", 2)]
    looks = [look(at, lease("s1", owner, counter)) for at, owner, counter in rows]
    assert fleet(*looks[:2]).unrenewed() == {"s1": 5}
    assert fleet(*looks[:4]).unrenewed() == {"s1": 5}
    assert fleet(*looks).unrenewed() == {"s1": 5}


def test_a_shard_read_to_its_end_needs_no_renewal() -> None:
    looks = [look(at, lease("s1", "a", checkpoint="SHARD_END"), lease("s2", None)) for at in (0, 5)]
    assert fleet(*looks).unrenewed() == {"s2": 5}


def test_a_lease_that_is_being_handed_over_is_held_by_its_old_owner() -> None:
    moving = Lease("s1", "new", 3, "7", checkpoint_owner="old")
    seen = look(0, moving)
    assert seen.held_by("old") == [moving]
    assert seen.held_by("new") == []


# --- finished shards -------------------------------------------------------------------------------------


def finished(shard: str, *children: str, owner: str = "me") -> Lease:
    return Lease(shard, owner, 9, SHARD_END, children=frozenset(children))


def child(shard: str, *parents: str) -> Lease:
    return Lease(shard, None, 0, "TRIM_HORIZON", parents=frozenset(parents))


def test_a_split_shard_is_done_with_once_both_children_have_leases() -> None:
    # the children need not have begun: they may be waiting for the room that the parent takes up
    parent = finished("0", "2", "3")
    assert look(0, parent, child("2", "0")).done_with("me") == frozenset()
    assert look(0, parent, child("2", "0"), child("3", "0")).done_with("me") == {"0"}
    assert look(0, parent, child("2", "0"), child("3", "0")).done_with("other") == frozenset()


def test_of_a_merge_neither_parent_is_done_with_before_the_other() -> None:
    """KCL cannot end a parent whose sister's lease is missing while its own is there."""
    first, merged = finished("0", "2"), child("2", "0", "1")
    assert look(0, first, lease("1", "me"), merged).done_with("me") == frozenset()
    assert look(0, first, finished("1", "2", owner="other"), merged).done_with("me") == {"0"}
    assert look(0, first, merged).done_with("me") == {"0"}, "the sister was done with before"


def test_a_shard_that_goes_on_is_never_done_with() -> None:
    assert look(0, lease("0", "me"), child("2", "0")).done_with("me") == frozenset()
    assert look(0, finished("0")).done_with("me") == frozenset(), "its children are not known yet"
