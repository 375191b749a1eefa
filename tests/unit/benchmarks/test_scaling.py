"""Beyond one platform: units of the lease table, fleets that lose tasks, a shard's queue, the limits."""

from typing import Any

import pytest

from benchmarks import reckoning, scale
from benchmarks.result import kept
from benchmarks.scaling import fleet, page, shard, walls
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.leases import LEASE_BYTES, REPORT_BYTES, Timers, traffic
from benchmarks.scaling.sizing import Measured, size
from benchmarks.scaling.walls import HARD, cell, hard
from deploy import capacity
from worker.kcl.properties import DaemonProperties

COSTS = reckoning.Costs("a test", child_us=40, java_us=10, supervisor_us=2, postgres_us=30, valkey_us=15)
MEASURED = Measured(COSTS, reckoning.ledger(), {1: 3_000, 2: 2_000}, posted=50_000, rebuilt=9_000)
TASK = shard.Task(own_s=50e-6, wait_s=70e-6, beside_s=14e-6)


def test_timers_are_the_products() -> None:
    timers = Timers.usual()
    kcl: dict[str, Any] = {
        field.name: field.default for field in DaemonProperties.__dataclass_fields__.values()
    }
    assert timers.round == kcl["lease_assignment_millis"] / 1000
    assert timers.renewal * 3 == pytest.approx(kcl["failover_millis"] / 1000)
    assert (timers.look, timers.checkpoint) == (5.0, 3.0)


def test_the_lease_table_is_read_by_the_leader_and_by_every_supervisor() -> None:
    timers = Timers(round=1, renewal=5, checkpoint=2, report=5, look=5)
    found = traffic(1_000, 500, timers)
    units = 1_000 * LEASE_BYTES / 4096
    assert found.leader_reads == pytest.approx(units / 2)
    assert found.supervisor_reads == pytest.approx(500 * units / 5)
    assert found.lease_writes == pytest.approx(1_000 / 5 + 1_000 / 2)
    assert found.reports == 500 / 5
    assert REPORT_BYTES < LEASE_BYTES < 1024


def test_twice_the_fleet_is_four_times_the_supervisors_reads() -> None:
    one, two = traffic(1_000, 500), traffic(2_000, 1_000)
    assert two.supervisor_reads == pytest.approx(4 * one.supervisor_reads)
    assert two.leader_reads == pytest.approx(2 * one.leader_reads)


def test_a_small_table_costs_a_whole_unit() -> None:
    found = traffic(2, 2)
    assert found.leader_reads == 0.5 / Timers.usual().round


def test_a_killed_task_of_two_is_replaced_about_as_fast_as_measured() -> None:
    # with the real daemon 14.4 s, and a dead leader 53.6 and 64.4
    one = fleet.lost(Fleet(2, 2), 1, runs=50)
    assert 10 < one.all < 20
    leader = fleet.lost(Fleet(2, 2), 1, leader=True, runs=50)
    assert 50 < leader.all < 100


def test_the_same_seeds_give_the_same_figures() -> None:
    assert fleet.lost(Fleet(10, 20), 5, runs=5) == fleet.lost(Fleet(10, 20), 5, runs=5)


def test_what_the_others_have_no_room_for_waits_for_new_tasks() -> None:
    full = fleet.lost(Fleet(10, 40), 5, runs=5)
    roomy = fleet.lost(Fleet(10, 40, max_leases=8), 5, runs=5)
    assert roomy.all < fleet.REPLACED_S < full.all


def test_leases_given_one_by_one_make_a_large_loss_slow() -> None:
    few, many = (fleet.lost(Fleet(tasks, 2 * tasks), tasks // 2, runs=3) for tasks in (10, 1_000))
    assert many.longest_round > 20 * few.longest_round
    assert many.nearly_all > few.nearly_all + 3


def test_a_shard_is_bound_by_its_tasks_cpu_or_by_itself() -> None:
    assert TASK.most == pytest.approx(0.25 / 64e-6)
    assert TASK.binds == "the task's CPU"
    alone = TASK._replace(cpu=4.0)
    assert alone.most == pytest.approx(1 / 120e-6)
    assert alone.binds == "one process after the other"


def test_an_event_waits_half_a_poll_and_its_batch() -> None:
    roomy = TASK._replace(cpu=4.0)
    found = shard.seen(roomy, 1_000)
    assert found.p50 == pytest.approx(125 + 250 * 0.12, abs=10)
    # the first of a batch waits for the whole poll
    assert found.p99 == pytest.approx(250 + 250 * 0.12, abs=10)


def test_waiting_grows_with_the_rate_and_without_end_past_the_most() -> None:
    waits = [shard.seen(TASK, rate).p99 for rate in (500, 2_000, 3_500, 4_500)]
    assert waits == sorted(waits)
    assert waits[-1] > 10_000


def test_the_model_gives_what_it_was_set_to() -> None:
    found = shard.calibrated(TASK, 2_500, 260, 500)
    seen = shard.seen(found, 2_500)
    assert (seen.p50, seen.p99) == pytest.approx((260, 500), rel=0.03)
    within = shard.most_within(found, 500)
    assert shard.seen(found, within).p99 <= 500 < shard.seen(found, within + 100).p99


def test_a_load_has_as_many_shards_as_its_p99_needs() -> None:
    # alone in its task a shard takes more, and both ways need two tasks
    assert (size(5_000, 100_000, MEASURED).shards, size(5_000, 100_000, MEASURED).tasks) == (2, 2)
    large = size(100_000, 1_000_000, MEASURED)
    assert (large.shards, large.tasks) == (50, 25)


def test_limits_are_told_the_nearest_first() -> None:
    found = walls.walls(size(1_000_000, 100_000_000, MEASURED), MEASURED)
    assert [wall.used for wall in found] == sorted((wall.used for wall in found), reverse=True)
    redis = next(wall for wall in found if "thread" in wall.what)
    assert redis.used == pytest.approx(15)
    assert redis in hard(found)
    assert all(wall.answer for wall in found)


def test_a_cell_is_as_large_as_the_first_hard_limit_lets_it() -> None:
    found = cell(MEASURED, 0.01)
    assert not hard(walls.walls(found, MEASURED))
    # 15 us of the one thread, planned to three quarters
    assert found.rate == pytest.approx(50_000, rel=0.03)
    more = size(found.rate * 1.05, found.students, MEASURED)
    assert [wall.what for wall in hard(walls.walls(more, MEASURED))] == [
        "one Redis, its one thread for scripts"
    ]


def test_goals_are_missed_where_a_school_does_not_fit_or_leases_are_late() -> None:
    usual = scale.judged(size(5_000, 100_000, MEASURED), MEASURED, 13.0, 30)
    assert [goal.met for goal in usual] == [True, True]
    dear = MEASURED._replace(costs=COSTS._replace(valkey_us=200))
    missed = scale.judged(size(5_000, 100_000, dear), dear, 25.0, 30)
    assert [goal.met for goal in missed] == [False, False]
    assert missed[0].binds.startswith("one Redis, its one thread for scripts: ")
    assert "rounds" in missed[1].binds


def test_quotas_that_are_raised_on_request_bound_no_cell() -> None:
    many = walls.walls(size(1_000_000, 1, MEASURED), MEASURED)
    assert {wall.kind for wall in hard(many)} == {HARD}
    assert any(wall.used > 1 and wall.kind != HARD for wall in many)


def test_what_is_kept_is_of_the_measurements_that_are_kept() -> None:
    figures = kept("scale").figures
    waiting = reckoning.waiting()
    assert figures["measured"] == {
        "CPU of an event": reckoning.load_test().source,
        "waiting": waiting.source,
        "rows and log": reckoning.ledger().source,
    }, "run: make bench-scale"
    one = figures["decades"]["1000000"]  # type: ignore[index]
    acu = capacity.acu_for(1_000_000, reckoning.load_test().micros)
    assert one["acu"] == acu


def test_a_page_without_a_result_says_so() -> None:
    assert set(page.blocks({}).values()) == {"*Not reckoned yet: `make bench-scale`.*"}
