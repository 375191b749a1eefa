"""What an event costs as the ledger grows, and what the platform costs as the load does."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.drawing import INK, OURS, SERIES, Plot, apart, bars, height_of_bars
from benchmarks.result import Result
from benchmarks.tables import number

Found = Mapping[str, Any]
_PARTS = {
    "cpu_us": "all",
    "postgres_us": "PostgreSQL",
    "client_us": "worker",
    "valkey_us": "Valkey",
}


def growth(figures: Found, _result: Result) -> Plot:
    costs = {int(rows): cost for rows, cost in figures["cost"]["aurora"].items()}
    rows = sorted(costs)
    lines = {told: [costs[size][part] for size in rows] for part, told in _PARTS.items()}
    shown = {"rows": rows, "lines": lines}
    span = f"from {rows[0]:,} to {rows[-1]:,} rows in the ledger"
    ends = (f"{name} {number(line[0])} to {number(line[-1])} µs" for name, line in lines.items())
    return Plot("growth", f"CPU of an event {span}: {', '.join(ends)}", shown, 3.6, _draw_growth)


def _draw_growth(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("CPU of an event, by rows in the ledger")
    top = 1.12 * max(max(line) for line in shown["lines"].values())
    places = apart([line[-1] for line in shown["lines"].values()], top * 0.085)
    for place, colour, (name, line) in zip(places, SERIES, shown["lines"].items(), strict=False):
        axes.plot(shown["rows"], line, color=colour, lw=2, marker="o", ms=5)
        beside: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
        axes.annotate("●", (1, place), (6, 0), color=colour, **beside)
        axes.annotate(f"{name} {number(line[-1])}", (1, place), (20, 0), color=INK, **beside)
    axes.set_xscale("log")
    axes.set_ylim(0, top)
    axes.grid(axis="y")
    axes.set_xticks(shown["rows"], [short(rows) for rows in shown["rows"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("rows")
    axes.set_ylabel("µs an event")


def parts(figures: Found, _result: Result) -> Plot:
    costs = figures["parts_dollars_a_million"]
    shown = dict(sorted(costs.items(), key=lambda pair: -pair[1]))
    told = "Dollars of a million events, by part: " + ", ".join(f"{n} {c:.4f}" for n, c in shown.items())
    return Plot("cost-parts", told, shown, height_of_bars(len(shown)), _draw_parts)


def _draw_parts(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("Dollars of a million events")
    bars(axes, shown, lambda value: f"{value:.4f}")


def decades(figures: Found, result: Result) -> Plot:
    """Figures of a suite that tells a cost by scale: `per_decade` holds for each rate what it costs."""
    unit, costs = figures["per_decade"]["unit"], figures["per_decade"]["costs"]
    shown = {"unit": unit, "costs": sorted((float(rate), cost) for rate, cost in costs.items())}
    told = f"{unit}, by events a second: " + ", ".join(f"{number(r)}: {number(c)}" for r, c in shown["costs"])
    return Plot(f"decades-{result.suite}", told, shown, 3.4, _draw_decades)


def _draw_decades(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title(shown["unit"])
    rates, costs = zip(*shown["costs"], strict=True)
    places = range(len(rates))
    axes.bar(places, costs, color=OURS, width=0.55)
    for place, cost in zip(places, costs, strict=True):
        axes.text(place, cost, f"{number(cost)}\n", ha="center", va="center_baseline", fontsize=11)
    axes.set_ylim(0, max(costs) * 1.15)
    axes.set_xticks(places, [short(rate) for rate in rates])
    axes.set_xlabel("events a second")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def short(count: float) -> str:
    """A round number as people say it."""
    for size, word in ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.3g} {word}"
    return f"{count:,.0f}"
