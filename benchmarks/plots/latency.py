"""How long it takes until an event is visible: every sample by its time, and when it was slow."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.drawing import DEEP, INK, OURS, PAPER, WARM, Plot
from benchmarks.result import Result
from benchmarks.tables import number

Found = Mapping[str, Any]


def distribution(figures: Found, result: Result) -> Plot:
    shown = {
        "edges": figures["histogram"]["edges_ms"],
        "samples": figures["histogram"]["samples"],
        "marks": {name: figures["latency_ms"][name] for name in ("p50", "p95", "p99")},
        "limit": _limits(result)["p99"],
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


def _limits(result: Result) -> Mapping[str, float]:
    """What is promised of each percentile, milliseconds."""
    promised = [goal for goal in result.goals if goal.unit == "ms"]
    return {name: goal.limit for name in ("p50", "p99") for goal in promised if f" {name} " in goal.what}


def _stair(marks: Mapping[str, float], limit: float) -> list[str]:
    """The marks from the shortest line to the longest, so that no label lies across another line.

    Those below the limit have their label on the left and rise with their value; the others fall.
    """
    left = sorted((name for name, value in marks.items() if value < limit), key=marks.__getitem__)
    right = sorted((name for name in marks if name not in left), key=marks.__getitem__, reverse=True)
    return left + right


def over_time(figures: Found, result: Result) -> Plot:
    shown = {
        "p50": figures["windows_5s_p50_ms"],
        "p99": figures["windows_5s_p99_ms"],
        "limits": _limits(result),
    }
    if not shown["p99"]:
        raise LookupError
    told = "p50 and p99 of the time from put to visible over the run, every five seconds, with their goals"
    return Plot("latency-over-time", told, shown, 3.2, _draw_over_time)


def _draw_over_time(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("The same over the run, every 5 s")
    minutes = [(place + 0.5) * 5 / 60 for place in range(len(shown["p99"]))]
    for name, colour in (("p99", OURS), ("p50", DEEP)):
        axes.plot(minutes, shown[name], color=colour, lw=1.6, label=name)
    limits: list[float] = list(shown["limits"].values())
    axes.hlines(limits, 0, minutes[-1] + 1, WARM, lw=2, linestyles=(0, (4, 2)), label="goal for each")
    axes.set_yscale("log")
    axes.set_yticks([100, 200, 500, 1_000, 2_000, 5_000], ["0.1 s", "0.2 s", "0.5 s", "1 s", "2 s", "5 s"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(min(shown["p50"]) * 0.8, max(shown["p99"]) * 2.2)
    axes.grid(axis="y")
    axes.set_xlim(0, minutes[-1] + 5 / 60 / 2)
    axes.set_xlabel("minutes")
    axes.legend(loc="upper left", ncols=3, columnspacing=1.2, handlelength=1.4)


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
