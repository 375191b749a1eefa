"""The memory of one worker task under a steady load: at its highest, by process, and whether it stays flat.

Resident memory counts what processes share once for each, so it tells more than the task takes; the share of
each in what they have together (PSS) is told beside it.
"""

import math
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

import psutil

from benchmarks.staging import Running, running, say, stack
from scripts.loading.figures import per_event
from tests.faults.load import Crowd, Load
from tests.faults.memory import MemoryWatch, Series, Trend
from tests.faults.proof import wait_until_quiet
from tests.faults.stage import family
from worker import wiring
from worker.local.edges import Edges
from worker.local.process import StackError
from worker.local.session import Session, Task
from worker.local.watching import position
from worker.settings import load

CROWD = Crowd(students=100_000, courses=200, skew=0.0)
"""Nobody so busy that a rebuild of their state grows with the minutes."""
_TICK_SECONDS = 0.05
_TELL_SECONDS = 30.0
_MIB = 1 << 20
_POINTS = 60


class Footprint(NamedTuple):
    """What was found, in MB of a million bytes; `at_end` by process, `cpu` in microseconds an event."""

    limits: str
    minutes: float
    rate: float
    late_seconds: float
    series: Series
    trend: Trend
    by_kind: Mapping[str, Trend]
    at_end: Mapping[str, Mapping[str, float]]
    cpu: Mapping[str, float]
    events: int
    closes: bool

    @property
    def most_mb(self) -> float:
        """The highest that was seen, the start included."""
        return max(size for _, size in self.series)

    @property
    def growth(self) -> float:
        """How much the last third's median is above the first's, as a share of it."""
        return self.trend.last / self.trend.first - 1

    @property
    def binds(self) -> str:
        """Who takes it."""
        of = ", ".join(f"{kind} {sizes['rss_MB']:,.0f} MB" for kind, sizes in self.at_end.items())
        return f"memory: {of}"

    @property
    def figures(self) -> dict[str, object]:
        """By name and unit."""
        return {
            "task": self.limits,
            "minutes": round(self.minutes, 1),
            "events": self.events,
            "events_per_s": round(self.rate),
            "load_late_s": round(self.late_seconds, 2),
            "counters_close": self.closes,
            "rss_highest_MB": round(self.most_mb, 1),
            "rss_first_third_MB": round(_mb(self.trend.first), 1),
            "rss_last_third_MB": round(_mb(self.trend.last), 1),
            "rss_MB_per_minute": round(_mb(self.trend.mb_per_minute), 3),
            "rss_MB_per_minute_by_kind": {
                kind: round(_mb(one.mb_per_minute), 3) for kind, one in self.by_kind.items()
            },
            "rss_MB_over_minutes": thinned(self.series),
            "at_end": self.at_end,
            "cpu_us_per_event": {part: round(used, 1) for part, used in self.cpu.items()},
        }


def watched(minutes: float, rate: int) -> Footprint:
    """One task at so many events a second for so long.

    Raises:
        NotLimited: the task cannot be held to its share here.
        StackError: it ended, or does not catch up.
    """
    with stack(lambda _line: None) as session, running(session, "worker", limited=True) as run:
        settings = load(session.environment)
        with closing(wiring.edges(settings)) as sending, closing(wiring.edges(settings)) as edges:
            producing = Load(sending, rate, tick_seconds=_TICK_SECONDS, crowd=CROWD)
            return _Watch(session, run, producing, edges).over(minutes)


def thinned(series: Series, most: int = _POINTS) -> list[tuple[float, float]]:
    """At most so many evenly chosen points as (minute, MB), the last one among them."""
    step = max(1, math.ceil(len(series) / most))
    return [(round(at / 60, 2), round(size, 1)) for at, size in series[::-1][::step][::-1]]


class _Watch:
    def __init__(self, session: Session, run: Running, producing: Load, edges: Edges) -> None:
        self._session = session
        self._run = run
        self._load = producing
        self._edges = edges

    def over(self, minutes: float) -> Footprint:
        task = self._run.task
        memory = MemoryWatch(lambda: [task])
        before, late = self._run.cpu(), 0.0
        self._load.start()
        memory.start()
        begun = told = time.monotonic()
        end = begun + 60 * minutes
        while (now := time.monotonic()) < end:
            if not task.process.running:
                raise StackError(f"the worker task has ended; see {task.process.log}")
            late = max(late, self._load.late_seconds)
            if now - told >= _TELL_SECONDS:
                told = now
                size = _told(memory.a_task)
                say(f"{(end - now) / 60:.1f} min left: {self._load.rate:,.0f} events/s, {size}")
            threading.Event().wait(min(1.0, end - now))
        at_end = _by_kind(task)
        memory.stop()
        self._load.stop()
        wait_until_quiet(self._edges, task, self._load.sent)
        used = {part: total - before.get(part, 0.0) for part, total in self._run.cpu().items()}
        trend = memory.a_task
        if trend is None:
            raise StackError("too short for a trend: the first minute is not counted, give at least 2")
        return Footprint(
            limits=self._run.limits,
            minutes=minutes,
            rate=self._load.rate,
            late_seconds=late,
            series=[(at - begun, _mb(size)) for at, size in memory.series],
            trend=trend,
            by_kind=memory.longest,
            at_end=at_end,
            cpu=per_event(used, self._load.sent),
            events=self._load.sent,
            closes=position(self._edges.ledger).accounting.closes,
        )


def _told(trend: Trend | None) -> str:
    return "the first minute is not counted" if trend is None else f"{_mb(trend.last):,.0f} MB"


def _by_kind(task: Task) -> dict[str, dict[str, float]]:
    members = {"supervisor": [psutil.Process(task.process.pid)], **family(task)}
    found: dict[str, dict[str, float]] = {}
    for kind, processes in members.items():
        sizes = [process.memory_full_info() for process in processes]
        found[kind] = {
            "processes": len(sizes),
            "rss_MB": round(sum(one.rss for one in sizes) / 1e6, 1),
            "pss_MB": round(sum(one.pss for one in sizes) / 1e6, 1),
        }
    return found


def _mb(mebibytes: float) -> float:
    return mebibytes * _MIB / 1e6
