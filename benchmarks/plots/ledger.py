"""A ledger over the years, as the plan of docs/growth.md reckons it from what was measured.

What was measured is drawn as points; what is reckoned from it is dashed.
"""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks import reckoning
from benchmarks.drawing import INK, OURS, WARM, Plot, apart
from benchmarks.growing import page as growing
from benchmarks.growing.plan import fitted, terms
from benchmarks.growing.vacuums import in_one_table, in_tables_of_terms
from benchmarks.plots.sizes import short
from benchmarks.result import Result
from benchmarks.tables import number


def size(result: Result) -> Plot:
    """Bytes by term: all kept, and the last terms kept."""
    found = terms(reckoning.of_growth(result), growing.SCHOOL, growing.GOAL)
    shown = {
        "terms": [one.number for one in found],
        "heap": [one.whole.heaps["attempts"] / 1e9 for one in found],
        "index": [one.whole.indexes["attempts_pkey"] / 1e9 for one in found],
        "kept": [one.kept.bytes / 1e9 for one in found],
        "touched": [one.touched / 1e9 for one in found],
        "rows": [one.whole.rows for one in found],
    }
    whole, kept = (number(found[-1].whole.bytes / 1e9), number(found[-1].kept.bytes / 1e9))
    told = (
        f"Gigabytes of the ledger, term by term, to {growing.GOAL:,} rows: {whole} with all terms kept, "
        f"{kept} with the last {growing.SCHOOL.kept_terms}"
    )
    return Plot("growth-size", told, shown, 3.8, _draw_size)


def _draw_size(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    at, whole = shown["terms"], [h + i for h, i in zip(shown["heap"], shown["index"], strict=True)]
    axes.set_title("Gigabytes of the ledger, by terms")
    axes.fill_between(at, shown["heap"], color=OURS, alpha=0.85, lw=0)
    axes.fill_between(at, shown["heap"], whole, color=WARM, alpha=0.85, lw=0)
    axes.plot(at, shown["kept"], color=INK, lw=2.2)
    axes.plot(at, shown["touched"], color=INK, lw=1.6, ls=":")
    top = max(whole)
    ends = {
        "index of attempts": (shown["heap"][-1] + whole[-1]) / 2,
        "rows of attempts": shown["heap"][-1] / 1.4,
        "last terms kept": shown["kept"][-1],
        "the running term": shown["touched"][-1],
    }
    places = apart(list(ends.values()), top * 0.085)
    for place, name in zip(places, ends, strict=True):
        axes.annotate(
            name,
            (1, place),
            (8, 0),
            va="center",
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
        )
    axes.set_xlim(at[0], at[-1])
    axes.set_ylim(0, top * 1.03)
    axes.grid(axis="y")
    axes.set_xticks([1, 5, 10, 15, at[-1]])
    axes.set_xlabel("terms")


def event(result: Result) -> Plot:
    """CPU of an event: measured, and on to the goal in one table and in tables of terms."""
    measured = reckoning.of_growth(result)
    line, rows = fitted(measured.cpu_us), sorted(measured.cpu_us)
    far = [*rows, 100_000_000, growing.GOAL]
    shown = {
        "rows": rows,
        "measured": [measured.cpu_us[at] for at in rows],
        "far": far,
        "one": [line.at(at) for at in far],
        "term": growing.SCHOOL.rows,
        "by_term": line.at(growing.SCHOOL.rows),
    }
    last = number(line.at(growing.GOAL))
    told = f"CPU of an event, measured to {rows[-1]:,} rows and reckoned to {growing.GOAL:,}: {last} µs"
    return Plot("growth-event", told, shown, 3.6, _draw_event)


def _draw_event(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("CPU of an event, µs")
    axes.plot(shown["rows"], shown["measured"], color=OURS, lw=0, marker="o", ms=7)
    axes.plot(shown["far"], shown["one"], color=OURS, lw=2, ls="--")
    axes.plot([shown["term"], shown["far"][-1]], [shown["by_term"]] * 2, color=WARM, lw=2, ls="--")
    beside: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    top = 1.2 * max(*shown["one"], *shown["measured"])
    names = {
        f"one table {number(shown['one'][-1])}": shown["one"][-1],
        f"a table a term {number(shown['by_term'])}": shown["by_term"],
    }
    for place, name in zip(apart(list(names.values()), top * 0.085), names, strict=True):
        axes.annotate(name, (1, place), (8, 0), **beside)
    axes.annotate("measured", (shown["rows"][0], shown["measured"][0]), (6, -16), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_ylim(0, top)
    axes.grid(axis="y")
    axes.set_xticks(shown["far"], [short(rows) for rows in shown["far"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("rows of attempts")


def vacuums(result: Result) -> Plot:
    """Every vacuum over the years, by what it reads."""
    load = growing.load(reckoning.of_growth(result))
    count = growing.SCHOOL.terms_until(growing.GOAL)
    shown = {
        "one table": [(one.day / 365, one.bytes / 1e9) for one in in_one_table(growing.SCHOOL, load, count)],
        "a table a term": [
            (one.day / 365, one.bytes / 1e9) for one in in_tables_of_terms(growing.SCHOOL, load, count)
        ],
    }
    most = {name: max(size for _, size in points) for name, points in shown.items()}
    told = "Gigabytes that each vacuum reads, over the years: at most " + ", ".join(
        f"{number(size)} in {name}" for name, size in most.items()
    )
    return Plot("growth-vacuums", told, shown, 3.4, _draw_vacuums)


def _draw_vacuums(figure: Figure, shown: Any) -> None:
    axes: Any = figure.subplots()
    axes.set_title("Gigabytes that each vacuum reads")
    for colour, (name, points) in zip((OURS, WARM), shown.items(), strict=False):
        years, sizes = zip(*points, strict=True)
        axes.vlines(years, 0, sizes, color=colour, lw=1.4)
        axes.plot(years, sizes, "o", color=colour, ms=4, label=name)
    axes.set_ylim(0)
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.02), ncols=2, handlelength=1.0)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
    axes.set_xlabel("years")
