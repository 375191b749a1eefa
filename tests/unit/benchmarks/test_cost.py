"""The bill of a million events: every line of the platform's estimate once, and what that leaves out."""

from math import ceil

import pytest

from benchmarks import cost, reckoning
from benchmarks.costing import AS_DEPLOYED, WAYS, Part, bill, sized
from benchmarks.latency import RATE
from benchmarks.result import kept
from deploy import prices
from deploy.config import ConfigError
from deploy.cost import estimate

COSTS = reckoning.Costs("a test", child_us=40, java_us=10, supervisor_us=2, postgres_us=30, valkey_us=15)
LEDGER = reckoning.ledger()._replace(log_bytes=400, redis_bytes=500)
EVENTS = RATE * prices.SECONDS


def lines(rate: float = RATE, **changes: object) -> dict[str, float]:
    found = bill(COSTS, LEDGER, rate, AS_DEPLOYED._replace(**changes))  # type: ignore[arg-type]
    return {line.item: line.dollars for _, line in found.lines}


def test_every_line_of_the_estimate_is_in_the_bill() -> None:
    config = sized(COSTS, RATE)
    for line in estimate(config, rate=RATE, batch=float("inf")):
        assert lines()[line.item] == pytest.approx(line.dollars), line.item


def test_the_parts_are_the_whole() -> None:
    for way in WAYS:
        found = bill(COSTS, LEDGER, RATE, way)
        assert sum(found.a_million(part) for part in Part) == pytest.approx(found.a_million())
        assert found.a_million() == pytest.approx(found.dollars / (EVENTS / 1e6))


def test_aurora_bills_what_an_event_writes() -> None:
    # two shards commit four times a second each, which fills no last unit
    units = EVENTS * 400 / 4096 + 2 * 4 * prices.SECONDS / 2
    assert lines()["Aurora's I/O"] == pytest.approx(units / 1e6 * prices.AURORA_IO_MILLION)
    assert "Aurora's I/O" not in lines(optimized=True)


def test_a_month_is_kept_half_on_average() -> None:
    row = LEDGER.room["attempts"].row_bytes
    kept_half = EVENTS * row / 2 / 1e9 * prices.AURORA_GB_MONTH
    assert lines()["Aurora's storage, the month's own rows"] == pytest.approx(kept_half)
    dearer = lines(optimized=True)["Aurora's storage, the month's own rows"]
    assert dearer == pytest.approx(kept_half * prices.AURORA_OPTIMIZED_STORAGE)


def test_capacity_follows_the_measured_cpu() -> None:
    needed = 0.5 + RATE * 30 / 1e6 / (0.25 * 0.75)
    assert sized(COSTS, RATE).aurora_max_acu == ceil(needed * 2) / 2
    dear = COSTS._replace(postgres_us=300)
    assert sized(dear, RATE).aurora_max_acu > 4 * sized(COSTS, RATE).aurora_max_acu


def test_instances_of_a_fixed_size_are_as_many_as_needed() -> None:
    aurora = "Aurora, writer and reader"
    one = 2 * prices.AURORA_INSTANCE_HOUR * prices.HOURS
    assert lines(instances=True)[aurora] == pytest.approx(one)
    # 30 us of 100,000 events are three cores, and an instance gives one and a half
    assert lines(100_000, instances=True)[aurora] == pytest.approx(2 * one)


def test_requests_are_dearer_than_the_stream_and_large_ones_cheaper() -> None:
    by_stream, large, small = (sum(lines(batch=batch).values()) for batch in (float("inf"), 500, 100))
    assert by_stream < large < small
    assert "REST API" not in lines()


def test_a_larger_load_is_cheaper_an_event_and_one_too_large_is_refused() -> None:
    found = [bill(COSTS, LEDGER, rate).a_million() for rate in (100, 1_000, 5_000, 50_000)]
    assert found == sorted(found, reverse=True)
    with pytest.raises(ConfigError, match="shards"):
        bill(COSTS, LEDGER, 3_000_000)


def test_a_missed_goal_names_the_dearest_parts_and_the_cheapest_way() -> None:
    dear = COSTS._replace(postgres_us=300)
    goal = cost.judged({way: bill(dear, LEDGER, RATE, way) for way in WAYS}, dear, LEDGER)
    assert not goal.met
    assert goal.binds.startswith("Aurora, instances ")
    assert "300 µs" in goal.binds
    assert "the cheapest looked at" in goal.binds


def test_what_would_meet_the_goal_is_found_by_the_bill() -> None:
    dear = LEDGER._replace(log_bytes=900)
    found = cost.meets(COSTS, dear)
    share = found["the log of an event, of what it is now"]
    assert share is not None
    less = [
        bill(COSTS, dear._replace(log_bytes=900 * part), RATE).a_million() for part in (share, share + 0.01)
    ]
    assert less[0] <= cost.LIMIT < less[1]
    assert found["PostgreSQL's CPU, of what it is now"] is None


def test_a_met_goal_binds_nothing() -> None:
    ways = {way: bill(COSTS, LEDGER._replace(log_bytes=1), 50_000, way) for way in WAYS}
    goal = cost.judged(ways, COSTS, LEDGER._replace(log_bytes=1))
    assert goal.met
    assert goal.binds == ""


def test_the_kept_cost_is_that_of_the_kept_measurements() -> None:
    costs, ledger = reckoning.load_test(), reckoning.ledger()
    made = cost.judged({way: bill(costs, ledger, RATE, way) for way in WAYS}, costs, ledger)
    goal = kept("cost").goals[0]
    assert (goal.value, goal.binds) == (made.value, made.binds), "run: make bench-cost"


def test_the_load_test_is_read_as_it_was_kept() -> None:
    used = kept("latency").figures["cpu_us_per_event"]
    costs = reckoning.load_test()
    assert costs.postgres_us == used["PostgreSQL"]  # type: ignore[index]
    parts = ("worker task", "worker task, KCL's Java", "worker task, shard processes")
    assert costs.task_us == pytest.approx(sum(used[part] for part in parts))  # type: ignore[index]
