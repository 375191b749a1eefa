"""How the peers read an event, and how what was found is told."""

import pytest

from benchmarks.peers import async_kinesis, kclpy_sample, pathway_postgres, telling
from benchmarks.peers.cost import Cost, Look, cost
from benchmarks.peers.events import Events
from benchmarks.peers.latency import POLLED, Latency
from benchmarks.peers.throughput import ASYNC, OURS, OURS_AWAY, SAMPLE, SAMPLE_AWAY
from tests.conftest import IDENTITY
from worker.domain import envelope

PLAIN = (
    b'{"student_id":"s","course_id":"c","item_id":"q","attempt":2,"score":8.5,"max_score":10,'
    b'"occurred_at":"2026-03-02T09:30:00Z"}'
)


def test_the_sample_reads_plain_json() -> None:
    (event,) = kclpy_sample.opened(PLAIN, envelopes=False)
    assert kclpy_sample.row(event) == ("s", "c", "q", 2, 8.5, 10, "2026-03-02T09:30:00Z", None, "scored")


def test_the_sample_reads_envelopes() -> None:
    events = Events("t", 125, IDENTITY, "default").plan.events(0, 125)
    rows = [kclpy_sample.row(e) for e in kclpy_sample.opened(envelope.seal(events), envelopes=True)]
    assert [(row[0], row[3]) for row in rows] == [(str(e.student_key), e.attempt) for e in events]


def test_async_kinesis_writes_moments() -> None:
    event = {"student_id": "s", "course_id": "c", "item_id": "q", "occurred_at": "2026-03-02T09:30:00Z"}
    row = async_kinesis.row({**event, "kind": "voided", "graded_at": "2026-03-02T10:30:00Z"})
    assert [str(value) for value in row[-3:]] == [
        "2026-03-02 09:30:00+00:00",
        "2026-03-02 10:30:00+00:00",
        "voided",
    ]


def test_pathway_takes_the_database_as_a_mapping() -> None:
    assert pathway_postgres.settings("host=/a dbname=b") == {"host": "/a", "dbname": "b"}


def test_cost_is_what_lies_between_two_looks() -> None:
    before = Look(10.0, {"process": 1.0, "postgresql": 5.0, "valkey": 2.0})
    after = Look(12.0, {"process": 2.0, "postgresql": 5.5, "valkey": 2.25})
    found = cost(before, after, 1_000)
    assert found == Cost(1_000, 2.0, 1_000.0, 500.0, 250.0)
    assert (found.rate, found.per_cpu) == (500.0, 1_000.0)


def of(rate: float, process_us: float) -> list[Cost]:
    return [Cost(1_000, 1_000 / rate, process_us * wobble, 1.0, 1.0) for wobble in (0.9, 1.0, 5.0)]


def test_goals_are_ratios_of_medians_and_a_missed_one_says_what_binds() -> None:
    costs = {OURS: of(30_000, 20.0), SAMPLE: of(1_000, 300.0), ASYNC: of(900, 90.0)}
    fast, slow = telling.goals(costs, {}, {"commit": 40.0})
    assert (fast.value, fast.met, fast.binds) == (30.0, True, "")
    assert (slow.value, slow.met) == (4.5, False)
    assert "commit 40" in slow.binds


def test_what_was_run_at_a_distance_is_compared_at_that_distance() -> None:
    near = {OURS: of(9_000, 20.0), SAMPLE: of(1_500, 300.0)}
    costs = {**near, OURS_AWAY: of(8_000, 20.0), SAMPLE_AWAY: of(200, 300.0)}
    here, away = telling.goals(costs, {}, {"commit": 40.0})
    assert (here.value, away.value) == (6.0, 40.0)
    assert away.what.endswith("servers 1 ms away")


@pytest.mark.parametrize(("theirs", "met"), [(900.0, True), (100.0, False)])
def test_latency_counts_where_it_is_seen_last(theirs: float, met: bool) -> None:
    ours = Latency(10, {"PostgreSQL": 150.0, "Redis": 200.0}, {"PostgreSQL": 300.0, "Redis": 320.0})
    peer = Latency(10, {"PostgreSQL": theirs}, {"PostgreSQL": theirs})
    told = telling.goals({OURS: of(1, 1)}, {"ours": ours, POLLED: peer}, {})
    assert [goal.met for goal in told] == [met, met]
    assert told[0].value == theirs / 200.0
    assert bool(told[0].binds) is not met
