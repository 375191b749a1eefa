"""What stands between the marks of each generated page, and the pictures beside it."""

from collections.abc import Callable, Mapping
from html import escape
from typing import NamedTuple

import msgspec

from benchmarks import plots, tables
from benchmarks.drawing import SHOWN_WIDTH, Plot
from benchmarks.growing import page as growth
from benchmarks.plots import fleets, ledger
from benchmarks.result import Result
from benchmarks.scaling import page as scale
from benchmarks.suites import SUITES

Results = Mapping[str, Result]
GOALS = "goals"
_GROWTH = {"size": ledger.size, "cpu": ledger.event, "vacuums": ledger.vacuums}
_SCALE = {"near": fleets.walls, "queue": fleets.queue, "table": fleets.leases}


class Content(NamedTuple):
    """Of one page; `blocks` is told the folder of the pictures as the page names it."""

    blocks: Callable[[Results, str], Mapping[str, str]]
    plots: Callable[[Results], list[Plot]]


def performance(results: Results, pictures: str) -> Mapping[str, str]:
    """The promises, then each suite by its name."""
    made = {GOALS: tables.goals(SUITES, results)}
    for suite in SUITES:
        result = results.get(suite.name)
        if result is None:
            made[suite.name] = f"*Not measured yet: `make bench-{suite.name}`.*"
            continue
        drawn = [_image(plot, pictures) for plot in plots.plots(result)]
        pieces = [*drawn, tables.taken(result), tables.words(result), tables.figures(result)]
        made[suite.name] = "\n\n".join(piece for piece in pieces if piece)
    return made


def of_growth(results: Results, pictures: str) -> Mapping[str, str]:
    """The plan's tables, and pictures under names of their own."""
    drawn = _drawn_growth(results)
    return growth.blocks(results) | {name: _shown(drawn, name, pictures) for name in _GROWTH}


def of_scale(results: Results, pictures: str) -> Mapping[str, str]:
    """The plan's tables, and pictures under names of their own."""
    drawn = _drawn_scale(results)
    return scale.blocks(results) | {name: _shown(drawn, name, pictures) for name in _SCALE}


def _drawn_growth(results: Results) -> dict[str, Plot]:
    result = results.get("growth")
    return {} if result is None else {name: plot(result) for name, plot in _GROWTH.items()}


def _drawn_scale(results: Results) -> dict[str, Plot]:
    result = results.get("scale")
    if result is None:
        return {}
    figures = msgspec.to_builtins(result.figures)
    return {name: plot(figures) for name, plot in _SCALE.items()}


def _all(results: Results) -> list[Plot]:
    return [plot for result in results.values() for plot in plots.plots(result)]


def _listed(drawn: Callable[[Results], Mapping[str, Plot]]) -> Callable[[Results], list[Plot]]:
    return lambda results: list(drawn(results).values())


def _shown(drawn: Mapping[str, Plot], name: str, pictures: str) -> str:
    return _image(drawn[name], pictures) if name in drawn else "*No picture yet.*"


def _image(plot: Plot, pictures: str) -> str:
    """As wide as it reads well, and no wider than the screen."""
    return f'<img src="{pictures}/{plot.name}.png" width="{SHOWN_WIDTH}" alt="{escape(plot.told)}">'


PERFORMANCE = Content(performance, _all)
PAGES = {
    "performance": PERFORMANCE,
    "growth": Content(of_growth, _listed(_drawn_growth)),
    "scale": Content(of_scale, _listed(_drawn_scale)),
}
"""By the stem of the page's file."""
