"""A look at the system every second: what is committed, by shard, and how late each shard is."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from scripts.loading.proof import Counters, counters
from worker.batch import Source
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Unavailable
from worker.local.edges import Edges
from worker.local.watching import scrape

_EVERY_SECONDS = 1.0
COUNTED = ("projection_retries_total", "waits_total", "states_rebuilt_total", "sweeps_total")
"""What the tasks count of things done twice or waited for."""


class Look(NamedTuple):
    """One look, at so many seconds since the start; by shard, and how many samples wait to be seen.

    `behind` is how long ago the last record arrived that readers see.
    """

    at: float
    committed: Mapping[str, int]
    ages: Mapping[str, float]
    behind: Mapping[str, float]
    waiting: int


def shard_of(source: Source) -> str:
    """The short name under which a source is shown."""
    return source.rpartition(":")[2].removeprefix("shardId-").lstrip("0") or "0"


def arrived(since: Accounting) -> int:
    """Events read for the first time."""
    return since.read - since[Outcome.REDELIVERED]


class Tasks:
    """The worker tasks as their metrics tell of them.

    Args:
        urls: of their Prometheus endpoints, asked for at each look: a task tells its port when it listens.
    """

    def __init__(self, urls: Callable[[], Sequence[str]]) -> None:
        self._urls = urls

    def ages(self) -> dict[str, float]:
        """Iterator age in seconds by shard."""
        return {
            shard_of(sample.labels.get("shard", "")): sample.value
            for url in self._urls()
            for sample in scrape(url)
            if sample.name == "edu_iterator_age_seconds"
        }

    def counted(self) -> dict[str, float]:
        """The counters of COUNTED, over all tasks; nothing where no task is known, which is not zero."""
        urls = self._urls()
        totals = dict.fromkeys(COUNTED if urls else (), 0.0)
        for url in urls:
            for sample in scrape(url):
                name = sample.name.removeprefix("edu_")
                if name in totals:
                    totals[name] += sample.value
        return totals

    def shards_held(self) -> int:
        """Shards that have a process."""
        found = [s.value for url in self._urls() for s in scrape(url) if s.name == "edu_shards_held"]
        return int(sum(found))


class Watcher(threading.Thread):
    """Looks every second until stopped.

    Args:
        edges: connections of its own.
        tasks: whose iterator age is watched.
        waiting: how many samples are not visible yet.
        before: the counters when the run began.
    """

    def __init__(self, edges: Edges, tasks: Tasks, waiting: Callable[[], int], before: Counters) -> None:
        super().__init__(name="watcher", daemon=True)
        self._edges = edges
        self._tasks = tasks
        self._waiting = waiting
        self._before = before
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self.looks: list[Look] = []

    def run(self) -> None:
        number = 0
        while not self._stopped.wait(max(0.0, self._begun + number * _EVERY_SECONDS - time.monotonic())):
            number += 1
            self._look()

    def stop(self) -> None:
        """Returns when the last look is done."""
        self._stopped.set()
        self.join()

    @property
    def committed(self) -> int:
        """Events of the run committed at the last look."""
        return sum(self.looks[-1].committed.values()) if self.looks else 0

    def _look(self) -> None:
        at = time.monotonic() - self._begun
        try:
            found = counters(self._edges.ledger)
            marks = self._edges.projection.watermarks()
        except Unavailable:
            return
        since = {
            shard_of(source): arrived(accounting - self._before.get(source, Accounting()))
            for source, accounting in found.items()
        }
        now = datetime.now(UTC)
        behind = {shard_of(source): (now - mark).total_seconds() for source, mark in marks.items()}
        self.looks.append(Look(at, since, self._tasks.ages(), behind, self._waiting()))
