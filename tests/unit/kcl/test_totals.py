"""The sums that Prometheus reads."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker.kcl.heartbeat import Beat
from worker.kcl.totals import ShardTotals
from worker.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX

SHARD = "shardId-000000000000"


def beat(**fields: object) -> Beat:
    return Beat(SHARD, 1, 0.0, "working", "", **fields)  # type: ignore[arg-type]


@pytest.fixture
def totals() -> ShardTotals:
    return ShardTotals({"daemon_up": lambda: 1.0, "shards_held": lambda: 2.0})


def samples(totals: ShardTotals) -> dict[tuple[str, ...], float]:
    """Every sample by name and label values (by label name), as a scrape reads it."""
    registry = CollectorRegistry()
    registry.register(totals)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name.removeprefix(PREFIX), *(sample.labels[label] for label in sorted(sample.labels))): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def test_every_metric_has_a_family(totals: ShardTotals) -> None:
    names = {family.name for family in totals.collect()}
    expected = {PREFIX + name.removesuffix("_total") for name in (*COUNTERS, *GAUGES, *HISTOGRAMS)}
    assert names == expected


def test_counters_of_all_beats_are_added_by_label(totals: ShardTotals) -> None:
    totals.add(
        beat(counters=[("events_total", {"outcome": "applied"}, 3.0), ("transactions_total", {}, 1.0)])
    )
    totals.add(beat(counters=[("events_total", {"outcome": "applied"}, 4.0)]))
    totals.count("daemon_starts_total")
    read = samples(totals)
    assert read["events_total", "applied", SHARD] == 7
    assert read["transactions_total", SHARD] == 1
    assert read["daemon_starts_total",] == 1


def test_gauges_show_the_present_and_go_with_the_shard(totals: ShardTotals) -> None:
    totals.add(beat(gauges=[("iterator_age_seconds", 5.0)], counters=[("transactions_total", {}, 1.0)]))
    totals.add(beat(gauges=[("iterator_age_seconds", 2.0)]))
    read = samples(totals)
    assert read["iterator_age_seconds", SHARD] == 2
    assert (read["daemon_up",], read["shards_held",]) == (1, 2)
    totals.forget(SHARD)
    assert ("iterator_age_seconds", SHARD) not in samples(totals)
    assert samples(totals)["transactions_total", SHARD] == 1


def test_histograms_are_cumulative_for_the_reader(totals: ShardTotals) -> None:
    bounds = HISTOGRAMS["stage_seconds"].buckets
    counts = [0] * (len(bounds) + 1)
    counts[0], counts[2], counts[-1] = 1, 2, 3
    for _ in range(2):
        totals.add(beat(histograms=[("stage_seconds", {"stage": "commit"}, counts, 100.0)]))
    read = samples(totals)
    cumulative = [read["stage_seconds_bucket", str(bound), SHARD, "commit"] for bound in bounds[:4]]
    assert cumulative == [2, 2, 6, 6]
    assert read["stage_seconds_bucket", "+Inf", SHARD, "commit"] == 12
    assert read["stage_seconds_count", SHARD, "commit"] == 12
    assert read["stage_seconds_sum", SHARD, "commit"] == 200


def test_metrics_of_another_version_are_left_out(totals: ShardTotals) -> None:
    before = samples(totals)
    totals.add(
        beat(
            counters=[("no_such_total", {}, 1.0)],
            gauges=[("no_such", 1.0)],
            histograms=[("no_such", {}, [1], 1.0), ("batch_events", {}, [1], 1.0)],
        )
    )
    assert samples(totals) == before
