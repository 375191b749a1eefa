"""Counted stacks as tables and as the tree of a flame graph: what runs, and for whom.

No function is named here, so that it stays true when they change: what is ours is told by its folder.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*)\)$")
_OURS = ("worker/", "scripts/")
_NEARLY_ALL = 0.9
_ALL_TO_SEE = 0.97
_SMALLEST = 0.004
"""Parts of the whole that are thinner cannot be seen."""


class Frame(NamedTuple):
    """A function, and the file in which it stands, as short as its package."""

    function: str
    file: str

    @property
    def ours(self) -> bool:
        return self.file.startswith(_OURS)

    def __str__(self) -> str:
        return f"{self.file} {self.function}"


Stack = tuple[Frame, ...]
"""From the outermost frame to the one that runs."""


class Node(msgspec.Struct):
    """A part of a flame graph: a function, what it takes with all that it calls, and those."""

    function: str
    file: str
    us: float
    calls: Sequence["Node"] = ()


def stacks(text: str) -> Counter[Stack]:
    """Counted stacks, one a line."""
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        names, _, count = line.rpartition(" ")
        found[tuple(map(_frame, names.split(";")))] += int(count)
    return found


def itself(found: Mapping[Stack, int]) -> Counter[str]:
    """Samples of each function, without those it calls."""
    return _counted((str(stack[-1]), count) for stack, count in found.items())


def with_called(found: Mapping[Stack, int]) -> Counter[str]:
    """Samples of each function of ours, with all that it calls, save those in which all is."""
    counted = _counted(
        (name, count)
        for stack, count in found.items()
        for name in {str(frame) for frame in stack if frame.ours}
    )
    most = _NEARLY_ALL * sum(found.values())
    return Counter({name: count for name, count in counted.items() if count < most})


def by_module(found: Mapping[Stack, int]) -> Counter[str]:
    """Samples of each module of ours, with what it calls of libraries."""
    return _counted((_module(stack), count) for stack, count in found.items())


def tree(found: Mapping[Stack, int], each: float) -> Node:
    """The flame graph, a sample being worth so many microseconds; begins where enough goes other ways."""
    root = _node(Frame("all", ""), list(found.items()), 0, each, _SMALLEST * sum(found.values()))
    while root.calls and root.calls[0].us > _ALL_TO_SEE * root.us:
        root = root.calls[0]
    return root


def depth(node: Node) -> int:
    """How many functions lie on each other."""
    return 1 + max(map(depth, node.calls), default=0)


def _node(frame: Frame, found: Sequence[tuple[Stack, int]], level: int, each: float, smallest: float) -> Node:
    below: dict[Frame, list[tuple[Stack, int]]] = {}
    for stack, count in found:
        if len(stack) > level:
            below.setdefault(stack[level], []).append((stack, count))
    large = [(called, of) for called, of in below.items() if sum(count for _, count in of) >= smallest]
    calls = sorted(
        (_node(called, of, level + 1, each, smallest) for called, of in large), key=lambda node: -node.us
    )
    return Node(*frame, round(each * sum(count for _, count in found), 3), calls)


def _module(stack: Stack) -> str:
    """The innermost of ours; what runs outside of it is the interpreter's."""
    return next((frame.file for frame in reversed(stack) if frame.ours), "the interpreter")


def _frame(name: str) -> Frame:
    match = _FRAME.match(name)
    return Frame(match["function"], match["file"]) if match else Frame(name, "")


def _counted(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in pairs:
        found[name] += count
    return found
