"""The plots of one run: as SVG that takes the page's own ink, and all together as one picture.

Colours are told apart by people who do not see red and green alike, and on dark paper as well.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from scripts.loading.figures import Trial

mpl.use("Agg")

_INK = "#6b7280"
_COLOURS = ("#2f7fd1", "#d97706", "#0f9f77", "#b45cb0", "#c2413c")
_SIZE = (7.2, 3.1)
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}

Draw = Callable[[Any, Trial], None]


class Plot(NamedTuple):
    """A plot of the page: its title, what it says to those who cannot see it, and the SVG."""

    title: str
    told: str
    svg: str


def svgs(trial: Trial) -> list[Plot]:
    """Every plot by itself."""
    found = []
    for number, (title, draw) in enumerate(_PLOTS.items()):
        with mpl.rc_context({**_STYLE, "svg.hashsalt": f"plot-{number}"}):
            figure = Figure(figsize=_SIZE, layout="constrained")
            axes = figure.subplots()
            draw(axes, trial)
            text = io.StringIO()
            figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
        svg = text.getvalue()
        svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
        found.append(Plot(title, f"{title}, plotted; the figures stand in the tables", svg))
    return found


def picture(trial: Trial, title: str, file: Path) -> None:
    """All plots on one white sheet."""
    with mpl.rc_context({**_STYLE, "figure.facecolor": "white"}):
        figure = Figure(figsize=(14.4, 10.2), layout="constrained")
        figure.suptitle(title, color="#111827", fontsize=12)
        for axes, (name, draw) in zip(figure.subplots(3, 2).flat, _PLOTS.items(), strict=True):
            draw(axes, trial)
            axes.set_title(name)
        figure.savefig(file, dpi=110)


def _rates(axes: Any, trial: Trial) -> None:
    moments = trial.moments
    axes.plot(_steps(trial.offered), trial.offered, color=_INK, lw=4, alpha=0.35, label="offered")
    taken = trial.acknowledged[:-1]  # the last second is not a whole one
    axes.plot(_steps(taken), taken, color=_COLOURS[0], lw=1.5, label="acknowledged")
    at = np.array([moment.at for moment in moments])
    totals = np.array([sum(moment.committed.values()) for moment in moments])
    if len(at) > 1:
        committed = np.diff(totals) / np.maximum(np.diff(at), 0.001)
        axes.plot((at[1:] + at[:-1]) / 2, committed, color=_COLOURS[1], lw=1.2, label="committed")
    _finish(axes, "events a second")


def _latency(axes: Any, trial: Trial) -> None:
    at = [window.at + 2.5 for window in trial.windows]
    for name, colour in (
        ("most", _COLOURS[4]),
        ("p99", _COLOURS[1]),
        ("p95", _COLOURS[2]),
        ("p50", _COLOURS[0]),
    ):
        values = [getattr(window, name) * 1000 for window in trial.windows]
        axes.plot(at, values, marker=".", ms=4, lw=1.3, color=colour, label=name.replace("most", "longest"))
    _finish(axes, "ms, of 5 s each")


def _ages(axes: Any, trial: Trial) -> None:
    for colour, shard in zip(_COLOURS, _shards(trial), strict=False):
        found = [(m.at, m.iterator_age[shard]) for m in trial.moments if shard in m.iterator_age]
        behind = [(m.at, m.projected_behind[shard]) for m in trial.moments if shard in m.projected_behind]
        if found:
            axes.plot(*zip(*found, strict=True), lw=1.3, color=colour, label=f"shard {shard}, iterator age")
        if behind:
            label = f"shard {shard}, readers"
            axes.plot(*zip(*behind, strict=True), lw=1.2, ls=":", color=colour, label=label)
    _finish(axes, "seconds")


def _balance(axes: Any, trial: Trial) -> None:
    moments = trial.moments
    for colour, shard in zip(_COLOURS, sorted(trial.balance), strict=False):
        at = np.array([moment.at for moment in moments])
        counts = np.array([moment.committed.get(shard, 0) for moment in moments])
        if len(at) > 1:
            rate = np.diff(counts) / np.maximum(np.diff(at), 0.001)
            label = f"shard {shard}: {trial.balance[shard]:,}"
            axes.plot((at[1:] + at[:-1]) / 2, rate, lw=1.2, color=colour, label=label)
    _finish(axes, "events a second, by shard")


def _histogram(axes: Any, trial: Trial) -> None:
    millis = np.asarray(trial.latencies) * 1000
    if len(millis):
        edges = np.geomspace(max(1.0, millis.min()), max(2.0, millis.max()), 60)
        axes.hist(millis, bins=edges, color=_COLOURS[0], alpha=0.85)
        axes.set_xscale("log")
        _plain(axes.xaxis)
    axes.set_xlabel("ms from put to visible")
    axes.set_ylabel("samples")


def _tail(axes: Any, trial: Trial) -> None:
    """How much slower the slowest are: each step to the right is a tenth of the samples before it."""
    millis = np.asarray(trial.latencies) * 1000
    if len(millis):
        exceeded = 1 - np.arange(len(millis)) / len(millis)
        axes.plot(1 / exceeded, millis, color=_COLOURS[0], lw=1.6)
        axes.set_xscale("log")
        marks = [(1, "0"), (2, "p50"), (10, "p90"), (100, "p99"), (1_000, "p99.9"), (10_000, "p99.99")]
        shown = [mark for mark in marks if mark[0] <= len(millis)]
        axes.set_xticks([place for place, _ in shown], [name for _, name in shown])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
    axes.set_xlabel("share of the samples that were as fast or faster")
    axes.set_ylabel("ms from put to visible")


def _finish(axes: Any, label: str) -> None:
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel(label)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
    if axes.has_data():
        axes.legend(loc="best", ncols=2)


def _plain(axis: Any) -> None:
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_minor_locator(mpl.ticker.LogLocator(subs=(2, 5)))
    axis.set_minor_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _shards(trial: Trial) -> list[str]:
    return sorted({shard for m in trial.moments for shard in (*m.iterator_age, *m.projected_behind)})


def _steps(counts: Sequence[int]) -> list[float]:
    return [second + 0.5 for second in range(len(counts))]


_PLOTS: dict[str, Draw] = {
    "Rate: offered, acknowledged, committed": _rates,
    "Put → visible over time": _latency,
    "How late each shard is": _ages,
    "Balance of the shards": _balance,
    "Put → visible, every sample": _histogram,
    "Put → visible, the tail": _tail,
}
