"""The line that CloudWatch makes metrics of: valid by the format's rules, and true to what was counted."""

import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker import logs
from worker.api import counting
from worker.domain.accounting import Outcome
from worker.domain.errors import Reason
from worker.kcl.totals import ShardTotals
from worker.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX
from worker.product_metrics import API, DIMENSION, WORKER, Figure, Minute, tell_end, told_each_minute

FORMAT: dict[str, Any] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count", "Seconds", "None"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
"""The rules that AWS publishes for the format, with its limits."""


def check(line: dict[str, Any]) -> None:
    """What the schema says, and what it cannot: every name is a member of the root, of its kind."""
    jsonschema.validate(line, FORMAT)
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert all(isinstance(line[name], str) for names in directive["Dimensions"] for name in names)
        for metric in directive["Metrics"]:
            assert isinstance(line[metric["Name"]], int | float)
            assert line[metric["Name"]] >= 0


def registry_of(totals: ShardTotals) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(totals)
    return registry


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def minute(registry: CollectorRegistry, *figures: Figure) -> Minute:
    return Minute(registry, figures, "edu-analytics-dev", "worker")


@pytest.mark.parametrize("figures", [WORKER, API])
def test_the_line_is_valid_and_small(figures: Sequence[Figure]) -> None:
    line = Minute(registry_of(ShardTotals({})), figures, "edu-analytics-dev", "worker").look(1_700_000_000.5)
    check(line)
    assert line["_aws"]["Timestamp"] == 1_700_000_000_500
    assert line[DIMENSION] == "worker"
    assert len(json.dumps(line)) < 10_000


@pytest.mark.parametrize("done", [True, False])
def test_a_job_tells_its_end(done: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING")
    tell_end("edu-analytics-dev", "retention", done=done, now=lambda: 60.0)
    line = json.loads(capsys.readouterr().err)
    check(line)
    assert (line["Done"], line[DIMENSION]) == (float(done), "retention")
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "edu-analytics-dev"


def test_what_did_not_happen_is_zero_and_time_without_an_event_is_absent() -> None:
    line = Minute(registry_of(ShardTotals({})), WORKER, "n", "worker").look(0)
    assert line["EventsApplied"] == line["DeadLetters"] == line["Halted"] == 0
    assert "ArrivalToProjectedP99" not in line
    assert "IteratorAge" not in line


def test_a_counter_tells_its_share_of_the_minute(registry: CollectorRegistry) -> None:
    counter = Counter("edu_sweeps_total", "-", registry=registry)
    told = minute(registry, Figure("Sweeps", "sweeps_total"))
    counter.inc(3)
    assert told.look(0)["Sweeps"] == 3
    assert told.look(60)["Sweeps"] == 0
    counter.inc(2)
    assert told.look(120)["Sweeps"] == 2


def test_series_of_one_figure_are_added_and_others_left_out(registry: CollectorRegistry) -> None:
    counter = Counter("edu_events_total", "-", ("shard", "outcome"), registry=registry)
    for shard, outcome, count in (("0", "applied", 5), ("1", "applied", 7), ("1", "revised", 11)):
        counter.labels(shard, outcome).inc(count)
    figure = Figure("EventsApplied", "events_total", labels={"outcome": frozenset(("applied",))})
    assert minute(registry, figure).look(0)["EventsApplied"] == 12


def test_a_gauge_is_that_of_the_worst_shard(registry: CollectorRegistry) -> None:
    gauge = Gauge("edu_iterator_age_seconds", "-", ("shard",), registry=registry)
    gauge.labels("0").set(1.5)
    gauge.labels("1").set(40)
    figure = Figure("IteratorAge", "iterator_age_seconds", "Seconds")
    assert minute(registry, figure).look(0)["IteratorAge"] == 40


def test_a_quantile_is_of_the_last_minute_alone(registry: CollectorRegistry) -> None:
    histogram = Histogram("edu_x_seconds", "-", ("shard",), buckets=(0.1, 1.0, 10.0), registry=registry)
    told = minute(
        registry, *(Figure(f"P{share}", "x_seconds", "Seconds", share=share) for share in (0.5, 0.99))
    )
    for n in range(100):
        histogram.labels(str(n % 2)).observe(0.05 if n < 98 else 5)
    line = told.look(0)
    assert (line["P0.5"], line["P0.99"]) == (0.1, 10.0)
    histogram.labels("0").observe(0.5)
    assert told.look(60)["P0.99"] == 1.0
    assert "P0.99" not in told.look(120)
    histogram.labels("0").observe(600)
    assert told.look(180)["P0.99"] == 10.0  # the last bound there is


@pytest.mark.parametrize("figure", WORKER, ids=lambda figure: figure.name)
def test_the_worker_tells_what_it_counts(figure: Figure) -> None:
    tables = (COUNTERS.items(), GAUGES.items(), HISTOGRAMS.items())
    (metric,) = (metric for table in tables for name, metric in table if name == figure.metric)
    assert set(figure.labels) <= set(metric.labels)
    assert (figure.share is not None) == bool(metric.buckets)


@pytest.mark.parametrize("figure", API, ids=lambda figure: figure.name)
def test_the_api_tells_what_it_counts(figure: Figure) -> None:
    counted = (counting.REQUESTS, counting.REQUEST_SECONDS, counting.EVENTS, counting.DISCLOSURES)
    kinds = {metric.name: metric.type for one in counted for metric in one.describe()}
    name = PREFIX + figure.metric.removesuffix("_total")
    assert kinds[name] == ("counter" if figure.share is None else "histogram")


def test_every_outcome_and_reason_is_told_once() -> None:
    told = [value for figure in WORKER for value in figure.labels.get("outcome", ())]
    assert sorted(told) == sorted(Outcome)
    reasons = [value for figure in WORKER for value in figure.labels.get("reason", ())]
    assert sorted(reasons) == sorted(set(Reason) - {Reason.ERASED})  # an outcome of its own


def test_names_are_plain_and_used_once() -> None:
    for figures in (WORKER, API):
        names = [figure.name for figure in figures]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+", name) for name in names)


@pytest.fixture
def root() -> Iterator[io.StringIO]:
    """What a process writes whose least level is WARNING."""
    logger, stream = logging.getLogger(), io.StringIO()
    handlers, level = logger.handlers, logger.level
    logger.handlers = []
    logs.configure("WARNING", stream, role="daemon")
    yield stream
    logger.handlers, logger.level = handlers, level


def test_the_line_is_one_json_object_of_the_log_whatever_its_level(root: io.StringIO) -> None:
    with told_each_minute(Minute(CollectorRegistry(), WORKER, "n", "worker"), lambda: 60.0, seconds=3_600):
        pass
    (written,) = root.getvalue().splitlines()
    line = json.loads(written)
    check(line)
    assert line["role"] == "daemon"
    assert line["_aws"]["Timestamp"] == 60_000


def test_lines_follow_each_other_until_the_end(registry: CollectorRegistry, root: io.StringIO) -> None:
    counter = Counter("edu_sweeps_total", "-", registry=registry)
    with told_each_minute(minute(registry, Figure("Sweeps", "sweeps_total")), lambda: 0.0, seconds=0.01):
        while len(root.getvalue().splitlines()) < 3:
            counter.inc()
    lines = [json.loads(line) for line in root.getvalue().splitlines()]
    assert sum(line["Sweeps"] for line in lines) == counter._value.get()
