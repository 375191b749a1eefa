"""How every plot of the page looks, and by which mark a picture is known to show the figures that are kept.

They are read on phones and by people who do not tell red from green: few words, large, beside what they name;
colours that differ in lightness too. A picture carries the digest of what it was drawn from, because the same
figures give other bytes with another version of the library.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure
from PIL import Image

mpl.use("Agg")

INK, SOFT, PAPER = "#1f2933", "#6b7280", "#ffffff"
OURS, OTHERS, WARM, COOL, DEEP = "#0072b2", "#b8c2cc", "#e69f00", "#56b4e9", "#00604a"
SERIES = (OURS, WARM, DEEP, COOL, "#cc79a7", SOFT)
_LOOK = 1
"""Raised when the plots are drawn differently, so that every picture is drawn anew."""
_WIDTH = 5.6
_DPI = 200
SHOWN_WIDTH = 560
"""Pixels of the page: half of the picture's own, for sharp screens."""
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "figure.facecolor": PAPER,
}

Draw = Callable[[Figure, Any], None]


class Plot(NamedTuple):
    """A picture: its file, what it tells who cannot see it, its figures, its height, how it is drawn."""

    name: str
    told: str
    shown: Any
    height: float
    draw: Draw

    @property
    def digest(self) -> str:
        text = msgspec.json.encode([_LOOK, self.name, self.height, self.shown], order="deterministic")
        return hashlib.sha256(text).hexdigest()


def save(plot: Plot, folder: Path) -> Path:
    """Draw it; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plot.name}.png"
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, plot.height), layout="constrained")
        plot.draw(figure, plot.shown)
        figure.savefig(path, dpi=_DPI, metadata={"Description": plot.digest, "Software": None})
    return path


def is_drawn(plot: Plot, folder: Path) -> bool:
    """Whether the picture is there and shows these figures."""
    path = folder / f"{plot.name}.png"
    if not path.exists():
        return False
    with Image.open(path) as picture:
        return picture.info.get("Description") == plot.digest


def bars(
    axes: Any, values: Mapping[str, float], told: Callable[[float], str], ours: Sequence[str] = ()
) -> None:
    """Horizontal bars, each with its name above and its value behind it, so that long names have room."""
    longest = max(values.values(), default=1.0)
    for place, (name, value) in enumerate(values.items()):
        colour = OURS if name in ours or not ours else OTHERS
        axes.barh(-place, value, height=0.42, color=colour)
        axes.text(0, -place + 0.27, name, va="bottom", ha="left", fontsize=11.5)
        axes.text(value + longest * 0.015, -place, told(value), va="center", ha="left", fontsize=11.5)
    axes.set_xlim(0, longest * 1.22)
    axes.set_ylim(-len(values) + 0.65, 0.75)
    axes.set_axis_off()


def stacked(axes: Any, rows: Mapping[str, Mapping[str, float]], told: Callable[[float], str]) -> None:
    """The same with the parts of each value side by side, named once above all of them."""
    longest = max(sum(parts.values()) for parts in rows.values())
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    for place, (row, parts) in enumerate(rows.items()):
        begun = 0.0
        for name, colour in zip(names, SERIES, strict=False):
            value = parts.get(name, 0.0)
            label = name if not place else None
            axes.barh(-place, value, left=begun, height=0.42, color=colour, label=label)
            begun += value
        axes.text(0, -place + 0.27, row, va="bottom", ha="left", fontsize=11.5)
        axes.text(begun + longest * 0.015, -place, told(begun), va="center", ha="left", fontsize=11.5)
    axes.set_xlim(0, longest * 1.22)
    axes.set_ylim(-len(rows) + 0.65, 1.35)
    axes.legend(loc="upper left", ncols=len(names), borderaxespad=0, handlelength=1.0, columnspacing=1.2)
    axes.set_axis_off()


def apart(wanted: Sequence[float], least: float) -> list[float]:
    """Places for labels: each as near to where it is wanted as the others let it, in the same order."""
    groups: list[list[int]] = []
    for at in sorted(range(len(wanted)), key=wanted.__getitem__):
        groups.append([at])
        while (
            len(groups) > 1
            and _spread(groups[-2], wanted, least)[-1] + least > (_spread(groups[-1], wanted, least)[0])
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = {
        at: place for group in groups for at, place in zip(group, _spread(group, wanted, least), strict=True)
    }
    return [placed[at] for at in range(len(wanted))]


def _spread(group: Sequence[int], wanted: Sequence[float], least: float) -> list[float]:
    """The places of labels that touch, around the middle of where they are wanted."""
    middle = sum(wanted[at] for at in group) / len(group)
    return [middle + (place - (len(group) - 1) / 2) * least for place in range(len(group))]


def height_of_bars(count: int) -> float:
    return 0.75 + 0.58 * count
