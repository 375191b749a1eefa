"""The plots of the page, each of one suite's figures; a suite without the figures has no plot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.drawing import DEEP, INK, OURS, PAPER, WARM, Plot, bars, height_of_bars, stacked
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


def plots(result: Result) -> list[Plot]:
    """What can be drawn of a result."""
    made: list[Plot] = []
    for plot in _OF.get(result.suite, ()):
        try:
            made.append(plot(msgspec.to_builtins(result.figures), result))
        except (KeyError, TypeError):
            continue  # a run that left a figure out
    return made


def _latency(figures: Found, result: Result) -> Plot:
    shown = {
        "edges": figures["histogram"]["edges_ms"],
        "samples": figures["histogram"]["samples"],
        "marks": {name: figures["latency_ms"][name] for name in ("p50", "p95", "p99")},
        "limit": next(goal.limit for goal in result.goals if goal.unit == "ms"),
    }
    told = (
        "Distribution of the time from put to visible, on a scale of factors, with p50, p95, p99 and the goal"
    )
    return Plot("latency", told, shown, 3.6, _draw_latency)


def _draw_latency(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("From put to visible")
    edges, samples = shown["edges"], shown["samples"]
    total = sum(samples)
    shares = [100 * count / total for count in samples]
    axes.stairs(shares, edges, fill=True, color=OURS, alpha=0.85)
    axes.set_xscale("log")
    top = max(shares)
    axes.set_ylim(0, top * 1.5)
    limit, middle = shown["limit"], (edges[0] * edges[-1]) ** 0.5
    axes.axvline(limit, color=WARM, lw=2, ls=(0, (4, 2)))
    _beside(axes, limit, top * 1.46, f"goal for p99: {number(limit)} ms", left=limit > middle)
    for height, name in enumerate(_stair(shown["marks"], limit)):
        value, level = shown["marks"][name], top * (1.06 + 0.13 * height)
        axes.plot([value, value], [0, level], color=INK, lw=1.1)
        _beside(axes, value, level, f"{name} {number(value)} ms", left=value < limit or value > 2 * middle)
    _plain_log(axes, [100, 200, 500, 1_000, 2_000, 5_000], edges)
    axes.set_xlabel("milliseconds")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _stair(marks: Mapping[str, float], limit: float) -> list[str]:
    """The marks from the shortest line to the longest, so that no label lies across another line.

    Those below the limit have their label on the left and rise with their value; the others fall.
    """
    left = sorted((name for name, value in marks.items() if value < limit), key=marks.__getitem__)
    right = sorted((name for name in marks if name not in left), key=marks.__getitem__, reverse=True)
    return left + right


def _over_time(figures: Found, result: Result) -> Plot:
    shown = {
        "p50": figures["windows_5s_p50_ms"],
        "p99": figures["windows_5s_p99_ms"],
        "limit": next(goal.limit for goal in result.goals if goal.unit == "ms"),
    }
    told = "p50 and p99 of the time from put to visible over the run, in windows of five seconds"
    return Plot("latency-over-time", told, shown, 3.2, _draw_over_time)


def _draw_over_time(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("The same over the run, every 5 s")
    minutes = [(place + 0.5) * 5 / 60 for place in range(len(shown["p99"]))]
    for name, colour in (("p99", OURS), ("p50", DEEP)):
        axes.plot(minutes, shown[name], color=colour, lw=1.6, label=name)
    axes.axhline(shown["limit"], color=WARM, lw=2, ls=(0, (4, 2)), label="goal for p99")
    axes.set_yscale("log")
    axes.set_yticks([100, 200, 500, 1_000, 2_000, 5_000], ["0.1 s", "0.2 s", "0.5 s", "1 s", "2 s", "5 s"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(min(shown["p50"]) * 0.8, max(shown["p99"]) * 2.2)
    axes.grid(axis="y")
    axes.set_xlim(0, minutes[-1] + 5 / 60 / 2)
    axes.set_xlabel("minutes")
    axes.legend(loc="upper left", ncols=3, columnspacing=1.2, handlelength=1.4)


def _cpu_of_load(figures: Found, _result: Result) -> Plot:
    parts = _parts(figures["cpu_us_per_event"])
    told = "CPU of an event by part at the promised rate: " + _listed(parts)
    return Plot(
        "cpu-at-the-rate", told, _sorted(parts), height_of_bars(len(parts)), _draw_cpu("at the promised rate")
    )


def _cpu_of_task(figures: Found, _result: Result) -> Plot:
    parts = _parts(figures["regimes"]["limited"]["cpu_us_per_event"])
    told = "CPU of an event by part from a full stream: " + _listed(parts)
    return Plot(
        "cpu-from-a-full-stream",
        told,
        _sorted(parts),
        height_of_bars(len(parts)),
        _draw_cpu("from a full stream"),
    )


def _cpu_of_rows(figures: Found, _result: Result) -> Plot:
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


def _beside(axes: Any, value: float, height: float, text: str, *, left: bool) -> None:
    """A label at the end of an upright line, on paper of its own where it meets another one."""
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    side = "right" if left else "left"
    shift = (-5 if left else 5, 0)
    axes.annotate(
        text,
        (value, height),
        shift,
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=11,
        bbox=behind,
    )


def _plain_log(axes: Any, ticks: Sequence[int], edges: Sequence[float]) -> None:
    """A logarithmic scale with whole numbers on it."""
    axes.set_xticks([tick for tick in ticks if edges[0] <= tick <= edges[-1]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


_OF: Mapping[str, Sequence[Callable[[Found, Result], Plot]]] = {
    "latency": (_latency, _over_time, _cpu_of_load),
    "task": (_cpu_of_task,),
    "backfill": (_cpu_of_rows,),
}
