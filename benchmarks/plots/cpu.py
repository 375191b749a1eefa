"""What an event costs each part of the system."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks.drawing import Plot, bars, height_of_bars, stacked
from benchmarks.result import Result
from benchmarks.tables import number

Found = Mapping[str, Any]
_LOAD = "load generator"
_NAMES = {
    "worker task": "supervisor",
    "worker task, shard processes": "shard processes (Python)",
    "worker task, KCL's Java": "KCL's daemon (Java)",
}
_KINDS = {
    "csv": "a row of CSV",
    "ndjson": "a row of NDJSON",
    "oulad": "a row of the Open University's table",
    "rebuild": "a state of Redis, made anew",
}
_EMULATOR = "emulator"
"""It stands in for AWS, so it is drawn as nothing of ours."""


def at_the_rate(figures: Found, _result: Result) -> Plot:
    parts = _parts(figures["cpu_us_per_event"])
    told = "CPU of an event by part at the promised rate: " + _listed(parts)
    return Plot(
        "cpu-at-the-rate", told, _sorted(parts), height_of_bars(len(parts)), _draw_cpu("at the promised rate")
    )


def from_a_full_stream(figures: Found, _result: Result) -> Plot:
    parts = _parts(figures["regimes"]["limited"]["cpu_us_per_event"])
    told = "CPU of an event by part from a full stream: " + _listed(parts)
    return Plot(
        "cpu-from-a-full-stream",
        told,
        _sorted(parts),
        height_of_bars(len(parts)),
        _draw_cpu("from a full stream"),
    )


def of_a_backfill(figures: Found, _result: Result) -> Plot:
    rows = {told: figures[kind]["cpu_us_each"] for kind, told in _KINDS.items() if kind in figures}
    told = "CPU of a row or state by part: " + "; ".join(
        f"{name}: {_listed(row)}" for name, row in rows.items()
    )
    return Plot(
        "cpu-of-a-backfill",
        told,
        [[name, list(row.items())] for name, row in rows.items()],
        height_of_bars(len(rows)) + 0.4,
        _draw_rows,
    )


def _draw_rows(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("CPU of a row or a state")
    stacked(axes, {name: dict(parts) for name, parts in shown}, lambda value: f"{number(value)} µs")


def _draw_cpu(when: str) -> Callable[[Figure, Any], None]:
    def draw(figure: Figure, shown: Any) -> None:
        axes = figure.subplots()
        axes.set_title(f"CPU of an event, {when}")
        bars(
            axes,
            dict(shown),
            lambda value: f"{number(value)} µs",
            [n for n, _ in shown if _EMULATOR not in n],
        )

    return draw


def _parts(cpu: Mapping[str, float]) -> dict[str, float]:
    """The parts of the system under short names; the load is none of it."""
    return {_NAMES.get(name, name): used for name, used in cpu.items() if name != _LOAD}


def _sorted(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(parts.items(), key=lambda part: -part[1])


def _listed(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number(used)} µs" for name, used in _sorted(parts))
