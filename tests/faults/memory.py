"""What a fleet's processes take of the machine's memory over a long run, and whether it stays so."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import linear_regression, median
from typing import NamedTuple

import psutil

from tests.faults.stage import family
from worker.local.session import SHARDS, Task

_EVERY_SECONDS = 3.0
_WARM_UP_SECONDS = 60.0
_MB = 1 << 20
FLAT = 0.15
"""So much may the last third's median be above the first's; a JVM of a few minutes still fills its heap."""


class Trend(NamedTuple):
    """A series in MB: medians of its first and last thirds, and the slope of its straight line."""

    first: float
    last: float
    mb_per_minute: float
    minutes: float

    @property
    def flat(self) -> bool:
        return self.last <= self.first * (1 + FLAT)

    def __str__(self) -> str:
        change = f"{self.first:.0f} -> {self.last:.0f} MB"
        return f"{change}, {self.mb_per_minute:+.2f} MB/min in {self.minutes:.1f} min"


Series = Sequence[tuple[float, float]]
"""Moments in seconds, and MB."""


def trend(series: Series) -> Trend | None:
    """The trend of a series after its first minute; None of fewer than six samples."""
    begun = series[0][0] + _WARM_UP_SECONDS if series else 0.0
    warm = [(at, size) for at, size in series if at >= begun]
    third = len(warm) // 3
    if third < 2:
        return None
    sizes = [size for _, size in warm]
    minutes = [at / 60 for at, _ in warm]
    slope = linear_regression(minutes, sizes).slope
    return Trend(median(sizes[:third]), median(sizes[-third:]), slope, minutes[-1] - minutes[0])


class MemoryWatch(threading.Thread):
    """Samples the resident memory of each task: supervisor, Java and shard processes.

    Args:
        tasks: those that run now.
    """

    def __init__(self, tasks: Callable[[], Sequence[Task]]) -> None:
        super().__init__(name="memory", daemon=True)
        self._tasks = tasks
        self._stopped = threading.Event()
        self._a_task: list[tuple[float, float]] = []
        self._lives: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            now = time.monotonic()
            found = [sizes for task in self._tasks() if (sizes := _sizes(task))]
            for (kind, pid), size in (item for sizes in found for item in sizes.items()):
                self._lives[kind, pid].append((now, size))
            if found and sum(kind == "shard" for sizes in found for kind, _ in sizes) == SHARDS:
                self._a_task.append((now, sum(sum(sizes.values()) for sizes in found) / len(found)))

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    @property
    def a_task(self) -> Trend | None:
        """The mean of the tasks, over the moments in which every shard had its process."""
        return trend(self._a_task)

    @property
    def series(self) -> Series:
        """What `a_task` is the trend of."""
        return self._a_task

    @property
    def longest(self) -> dict[str, Trend]:
        """Of each kind of process the one that lived longest: what many restarts could hide shows here."""
        found: dict[str, Trend] = {}
        for (kind, _), series in self._lives.items():
            seen = trend(series)
            if seen is not None and (kind not in found or seen.minutes > found[kind].minutes):
                found[kind] = seen
        return found


def _sizes(task: Task) -> dict[tuple[str, int], float]:
    """MB by kind and process."""
    if task.process.pid is None:
        return {}
    found: dict[tuple[str, int], float] = {}
    try:
        members = {"supervisor": [psutil.Process(task.process.pid)], **family(task)}
    except psutil.NoSuchProcess:
        return {}
    for kind, processes in members.items():
        for process in processes:
            try:
                found[kind, process.pid] = process.memory_info().rss / _MB
            except psutil.NoSuchProcess:
                continue
    return found
