"""A load over the decades, as docs/scale.md reckons and simulates it."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks.drawing import INK, OURS, SERIES, SOFT, WARM, Plot
from benchmarks.plots.sizes import short
from benchmarks.scaling.leases import PARTITION_READS
from benchmarks.tables import number

Found = Mapping[str, Any]


def walls(figures: Found) -> Plot:
    """How much of each limit each decade uses."""
    decades = figures["decades"]
    whats = [wall["what"] for wall in decades[max(decades, key=int)]["walls"]]
    used = {
        what: [
            next(wall["used"] for wall in one["walls"] if wall["what"] == what) for one in decades.values()
        ]
        for what in whats[:6]
    }
    shown = {"rates": [int(rate) for rate in decades], "used": used}
    told = "Used of each limit, by events a second: " + "; ".join(
        f"{what} {number(line[0] * 100)} to {number(line[-1] * 100)}%" for what, line in used.items()
    )
    return Plot("scale-walls", told, shown, 5.2, _draw_walls)


def _draw_walls(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("Used of each limit, one platform")
    for colour, (what, line) in zip(SERIES, shown["used"].items(), strict=False):
        axes.plot(shown["rates"], line, color=colour, lw=2, marker="o", ms=5, label=what)
    axes.axhline(1, color=INK, lw=1.2)
    axes.text(shown["rates"][0], 1.15, "the limit", color=INK)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.005)
    axes.set_xticks(shown["rates"], [short(rate) for rate in shown["rates"]])
    axes.minorticks_off()
    axes.set_yticks([0.01, 0.1, 1, 10], ["1%", "10%", "100%", "10 times"])
    axes.grid(axis="y")
    axes.set_xlabel("events a second")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=1, handlelength=1.4)


def queue(figures: Found) -> Plot:
    """p50 and p99 by the rate of a shard."""
    found = figures["shard"]
    rates = found["by_rate_ms"]
    shown = {
        "rates": [int(rate) for rate in rates],
        "p50": [one["p50"] for one in rates.values()],
        "p99": [one["p99"] for one in rates.values()],
        "most": found["events_per_s_within_p99"],
    }
    told = (
        f"Put to visible by events a second of a shard, simulated; as promised up to {number(shown['most'])}"
    )
    return Plot("scale-shard", told, shown, 3.4, _draw_queue)


def _draw_queue(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("Put to visible, by rate of a shard, ms")
    for name, colour in (("p99", WARM), ("p50", OURS)):
        axes.plot(shown["rates"], shown[name], color=colour, lw=2, marker="o", ms=5, label=name)
    axes.axhline(500, color=SOFT, lw=1, ls=":")
    axes.axvline(shown["most"], color=SOFT, lw=1, ls=":")
    axes.set_ylim(0, 2_000)
    axes.set_xticks(shown["rates"][::2], [f"{rate:,}" for rate in shown["rates"][::2]])
    axes.grid(axis="y")
    axes.legend(loc="upper left")
    axes.set_xlabel("events a second")


def leases(figures: Found) -> Plot:
    """What is read of the lease table, by shards."""
    table = {int(shards): one for shards, one in figures["lease_table"].items()}
    shown = {
        "shards": list(table),
        "every 5 s": [one["reads_per_s"] for one in table.values()],
        "every 10 s": [one["reads_per_s_looking_every_10_s"] for one in table.values()],
        "writes": [one["writes_per_s"] for one in table.values()],
    }
    told = f"Reads a second of the lease table by shards, against {PARTITION_READS:,} of one partition"
    return Plot("scale-leases", told, shown, 3.6, _draw_leases)


def _draw_leases(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("Units a second of the lease table")
    names = {"every 5 s": "reads, a look every 5 s", "every 10 s": "reads, every 10 s", "writes": "writes"}
    for colour, (name, label) in zip(SERIES, names.items(), strict=False):
        axes.plot(shown["shards"], shown[name], color=colour, lw=2, marker="o", ms=4, label=label)
    axes.axhline(PARTITION_READS, color=INK, lw=1.2)
    axes.text(shown["shards"][0], PARTITION_READS * 1.3, "reads of one partition", color=INK)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.3)
    axes.set_xticks([2, 10, 100, 1_000, 10_000], ["2", "10", "100", "1 k", "10 k"])
    axes.minorticks_off()
    axes.set_yticks([1, 100, 10_000, 1_000_000], ["1", "100", "10 k", "1 M"])
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    axes.set_xlabel("shards, two a task")
