"""Every metric has one name, and the names that code may use are those that are exposed."""

import re
from collections.abc import Mapping
from typing import get_args

import pytest

from worker.metrics import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    PREFIX,
    CounterName,
    GaugeName,
    HistogramName,
    Metric,
)

TABLES: list[tuple[object, Mapping[str, Metric]]] = [
    (CounterName, dict(COUNTERS.items())),
    (GaugeName, dict(GAUGES.items())),
    (HistogramName, dict(HISTOGRAMS.items())),
]
ALL = [(name, metric) for _, table in TABLES for name, metric in table.items()]


@pytest.mark.parametrize(("names", "table"), TABLES)
def test_the_names_a_type_allows_are_the_keys_of_its_table(
    names: object, table: Mapping[str, Metric]
) -> None:
    assert list(get_args(names)) == list(table)


def test_no_name_is_used_twice() -> None:
    assert len({name for name, _ in ALL}) == len(ALL)


@pytest.mark.parametrize(("name", "metric"), ALL)
def test_names_and_labels_are_those_of_prometheus(name: str, metric: Metric) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", PREFIX + name)
    assert (name in COUNTERS) is name.endswith("_total")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    assert metric.help.endswith(".")


@pytest.mark.parametrize(("name", "metric"), ALL)
def test_only_histograms_have_buckets_and_those_ascend(name: str, metric: Metric) -> None:
    assert bool(metric.buckets) is (name in HISTOGRAMS)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_label_names_a_person() -> None:
    used = {label for _, metric in ALL for label in metric.labels}
    assert used == {"shard", "outcome", "dependency", "reason", "result", "stage"}
