"""What each part of a local run costs in CPU, told apart by process trees, as Linux counts it."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

Kind = Callable[[list[str]], str]
"""Names a process within its tree by its command line; "" for the tree's own name."""


def cpu_seconds(roots: Mapping[str, Iterable[int | None]], kind: Kind = lambda _: "") -> dict[str, float]:
    """CPU seconds used so far by the processes below each name's roots, the ended ones included."""
    children: dict[int, list[int]] = defaultdict(list)
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid, parent = int(entry.name), int(fields[1])
        # user, system, and both of the children it has waited for
        used[pid] = sum(int(field) for field in fields[11:15]) / _TICKS
        children[parent].append(pid)
    totals: dict[str, float] = {}
    for name, pids in roots.items():
        for pid in (pid for root in pids if root is not None for pid in _tree(root, children)):
            part = kind(_command(pid))
            full = f"{name}, {part}" if part else name
            totals[full] = totals.get(full, 0.0) + used.get(pid, 0.0)
    return totals


def _tree(pid: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _tree(child, children)


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []
