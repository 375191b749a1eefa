"""Our worker beside what a team might use instead; ours is the one in colour."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks.drawing import OURS, SOFT, Plot, bars, height_of_bars
from benchmarks.result import Result
from benchmarks.tables import number

Found = Mapping[str, Any]
_OURS = "ours"


def throughput(figures: Found, _result: Result) -> Plot:
    rates = {name: one["events_per_process_cpu_second"] for name, one in figures["throughput"].items()}
    shown = sorted(rates.items(), key=lambda one: -one[1])
    told = "Events a second of its own CPU: " + ", ".join(f"{name} {number(rate)}" for name, rate in shown)
    return Plot("peers", told, shown, height_of_bars(len(shown)), _draw_peers)


def _draw_peers(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("Events a second of its own CPU")
    bars(axes, dict(shown), number, [name for name, _ in shown if name.startswith(_OURS)])


def latency(figures: Found, _result: Result) -> Plot:
    """The slowest of the servers in which each one can be read."""
    found = {
        name: [max(one["p50_ms"].values()), max(one["p99_ms"].values())]
        for name, one in figures["latency"].items()
    }
    shown = sorted(found.items(), key=lambda one: one[1][1])
    spans = (f"{name} {number(p50)} to {number(p99)} ms" for name, (p50, p99) in shown)
    told = f"From put to readable, p50 to p99: {', '.join(spans)}"
    return Plot("latency-of-peers", told, shown, height_of_bars(len(shown)), _draw_latency)


def _draw_latency(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    axes.set_title("From put to readable, p50 to p99")
    longest = max(p99 for _, (_, p99) in shown)
    for place, (name, (p50, p99)) in enumerate(shown):
        colour = OURS if name.startswith(_OURS) else SOFT
        axes.plot([p50, p99], [-place, -place], color=colour, lw=5, marker="o", ms=9)
        axes.text(0, -place + 0.24, name, va="bottom", ha="left", fontsize=11.5)
        axes.text(
            p99 + longest * 0.03, -place, f"{number(p50)} to {number(p99)} ms", va="center", fontsize=11
        )
    axes.set_xlim(0, longest * 1.42)
    axes.set_ylim(-len(shown) + 0.65, 0.75)
    axes.set_axis_off()
