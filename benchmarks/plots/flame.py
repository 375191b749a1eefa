"""The flame graph: a function lies under who calls it, and is as wide as the CPU that it takes."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from benchmarks.drawing import COOL, OTHERS, OURS, PAPER, WARM, Plot
from benchmarks.result import Result
from benchmarks.tables import number

Found = Mapping[str, Any]
_ROW_INCHES = 0.19
_FONT = 6.2
_LETTERS_OF_THE_WIDTH = 98
_SHORTEST = 4
_INK = "black"
_OF_FILES = {
    "worker/": ("ours", OURS, PAPER),
    "psycopg": ("psycopg", WARM, _INK),
    "redis": ("redis-py", COOL, _INK),
}
_ELSE = ("the rest", OTHERS, _INK)


class Box(NamedTuple):
    """Where a function lies: from, wide, how deep; what it is called, and whose it is."""

    left: float
    us: float
    level: int
    function: str
    file: str


def of_an_event(figures: Found, _result: Result) -> Plot:
    root = figures["flame_graph"]
    boxes = [*_boxes(root, 0.0, 0)]
    modules = list(figures["cpu_us_by_module"].items())[:6]
    largest = ", ".join(f"{name} {number(us)}" for name, us in modules)
    each = figures["cpu_us_per_event"]["shard process"]
    whole = f"an event's {number(each)} µs of CPU in the shard process"
    told = f"Flame graph of {whole}; most of it in {largest}"
    rows = 1 + max(box.level for box in boxes)
    return Plot(
        "hotpath", told, {"us": each, "boxes": [list(box) for box in boxes]}, 0.75 + _ROW_INCHES * rows, _draw
    )


def _boxes(node: Found, left: float, level: int) -> Iterator[Box]:
    yield Box(left, node["us"], level, node["function"], node["file"])
    for called in node["calls"]:
        yield from _boxes(called, left, level + 1)
        left += called["us"]


def _draw(figure: Figure, shown: Any) -> None:
    axes = figure.subplots()
    boxes = [Box(*box) for box in shown["boxes"]]
    whole = boxes[0].us
    axes.set_title(f"An event's {number(shown['us'])} µs of CPU in the shard process", pad=22)
    named = set()
    for box in boxes:
        whose, colour, ink = _look(box.file)
        axes.barh(
            -box.level,
            box.us,
            left=box.left,
            height=0.94,
            color=colour,
            edgecolor=PAPER,
            linewidth=0.4,
            label=None if whose in named else whose,
        )
        named.add(whose)
        room = int(box.us / whole * _LETTERS_OF_THE_WIDTH)
        if room >= _SHORTEST:
            said = _short(box.function, room)
            axes.text(box.left + whole * 0.004, -box.level, said, va="center", fontsize=_FONT, color=ink)
    axes.set_xlim(0, whole)
    axes.set_ylim(-max(box.level for box in boxes) - 0.6, 0.6)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0, handlelength=1.0, fontsize=8.5
    )
    axes.set_axis_off()


def _short(function: str, room: int) -> str:
    """The end of a qualified name tells more than its beginning."""
    name = function.replace(".<locals>", "")
    if len(name) > room:
        name = name.rpartition(".")[2]
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _look(file: str) -> tuple[str, str, str]:
    """Whose it is, and its colours."""
    return next((look for start, look in _OF_FILES.items() if file.startswith(start)), _ELSE)
