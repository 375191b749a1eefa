"""The plots of every suite that has one, drawn from figures of its shape; none where figures are missing."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.drawing import SHOWN_WIDTH, apart, is_drawn, save
from benchmarks.plots import plots
from benchmarks.result import Goal, Machine, Result

_CPU = {"worker task": 2.0, "worker task, KCL's Java": 13.0, "PostgreSQL": 140.0, "load generator": 30.0}
_COST = {"client_us": 40.0, "postgres_us": 38.0, "valkey_us": 9.0, "cpu_us": 87.0}
_PEER = {"events_per_process_cpu_second": 14_000}
_SEEN = {"p50_ms": {"PostgreSQL": 200.0, "Valkey": 190.0}, "p99_ms": {"PostgreSQL": 400.0, "Valkey": 900.0}}

FIGURES: Mapping[str, dict[str, Any]] = {
    "latency": {
        "histogram": {"edges_ms": [100, 200, 400, 800], "samples": [5, 90, 5]},
        "latency_ms": {"p50": 300, "p95": 390, "p99": 700},
        "windows_5s_p50_ms": [300, 310],
        "windows_5s_p99_ms": [480, 700],
        "cpu_us_per_event": _CPU,
    },
    "task": {"regimes": {"limited": {"cpu_us_per_event": _CPU}}},
    "backfill": {"csv": {"cpu_us_each": {"the script": 50.0, "PostgreSQL": 20.0}}},
    "peers": {"throughput": {"ours, envelopes": _PEER, "another": _PEER}, "latency": {"ours": _SEEN}},
    "growth": {"cost": {"aurora": {"10000": _COST, "1000000": _COST, "100000": _COST}}},
    "cost": {
        "parts_dollars_a_million": {"Aurora": 0.05, "Kinesis": 0.01},
        "per_decade": {"unit": "dollars a million events", "costs": {"1000": 0.6, "100": 4.0}},
    },
}
COUNTS = {"latency": 3, "task": 1, "backfill": 1, "peers": 2, "growth": 1, "cost": 2}


def result(suite: str, figures: Mapping[str, object]) -> Result:
    where = Machine("a processor", 2, 4.0, "6.1", "3.11.7")
    goals = [
        Goal("P2", "put → visible, p50 at a rate", 300, 250, "ms", at_least=False),
        Goal("P2", "put → visible, p99 at a rate", 700, 500, "ms", at_least=False),
    ]
    return Result(suite, f"python -m benchmarks.{suite}", "2026-11-23", "abc1234", where, goals, figures)


@pytest.mark.parametrize("suite", FIGURES)
def test_what_is_measured_is_drawn(suite: str, tmp_path: Path) -> None:
    made = plots(result(suite, FIGURES[suite]))
    assert len(made) == COUNTS[suite]
    for plot in made:
        with Image.open(save(plot, tmp_path)) as picture:
            assert picture.width == 2 * SHOWN_WIDTH
        assert is_drawn(plot, tmp_path)
        assert not is_drawn(plot._replace(height=plot.height + 1), tmp_path)
        assert plot.told


@pytest.mark.parametrize("suite", FIGURES)
def test_what_is_not_measured_is_not_drawn(suite: str) -> None:
    assert plots(result(suite, {})) == []
    assert plots(result(suite, dict.fromkeys(FIGURES[suite]))) == []
    assert plots(result(suite, {name: {} for name in FIGURES[suite]})) == []


def test_latencies_are_shown_beside_their_own_goals() -> None:
    shown = {plot.name: plot.shown for plot in plots(result("latency", FIGURES["latency"]))}
    assert shown["latency"]["limit"] == 500
    assert shown["latency-over-time"]["limits"] == {"p50": 250, "p99": 500}


def test_a_suite_without_plots_has_none() -> None:
    assert plots(result("start", {"first_s": 3})) == []


@given(st.lists(st.floats(0, 100), max_size=8), st.floats(0.5, 20))
def test_labels_keep_their_order_and_their_distance(wanted: list[float], least: float) -> None:
    places = apart(wanted, least)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    gaps = [places[upper] - places[lower] for lower, upper in pairwise(order)]
    assert all(gap >= least * (1 - 1e-6) for gap in gaps)


def test_labels_with_room_stay_where_they_are() -> None:
    assert apart([30.0, 10.0, 20.0], 5) == [30.0, 10.0, 20.0]
    assert apart([10.0, 10.0], 4) == [8.0, 12.0]
