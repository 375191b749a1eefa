"""What each part of a local run costs in CPU, told apart by process trees, as Linux counts it."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(roots: Mapping[str, Iterable[int | None]]) -> dict[str, float]:
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
    return {
        name: sum(_tree(pid, children, used) for pid in pids if pid is not None)
        for name, pids in roots.items()
    }


def _tree(pid: int, children: Mapping[int, list[int]], used: Mapping[int, float]) -> float:
    return used.get(pid, 0.0) + sum(_tree(child, children, used) for child in children.get(pid, ()))
