"""A task's shards from put to visible at any rate: polls, batches, and the half core that they share.

What an event costs was measured, and how long it waits was measured at one rate. Between them stands a queue:
a batch is what has come since the last poll, the next one waits until it is done, and when the task has used
its share of a tenth of a second, everything waits for the next. Two numbers of the model are not known
beforehand, what lies between put and shard process and how unevenly batches take, and they are set so that
the model gives the measured median and p99 at the measured rate. At all other rates it predicts.
"""

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.reckoning import Costs

POLL_S = 0.25
_PERIOD_S = 0.1
"""In which a control group gives a task its share."""
_TICK_S = 0.005
_SECONDS, _WARM_S = 150.0, 10.0
_SAMPLES = 20
"""Events of a batch that are timed."""
_READ_AHEAD = 4
"""Batches that KCL holds ready."""


class Task(NamedTuple):
    """What takes an event's time, in seconds.

    Attributes:
        own_s: of CPU in the shard process.
        wait_s: for PostgreSQL and Redis, one after the other.
        beside_s: of CPU in Java and the supervisor, at the same time.
        batch_s: of waiting, whatever is in a batch.
        cpu: cores that the task may use.
        shards: that it reads.
        way_s: from put to the shard process, beside the wait for the poll.
        uneven: of what a batch takes, as the sigma of its logarithm.
    """

    own_s: float
    wait_s: float
    beside_s: float
    batch_s: float = 0.0
    cpu: float = 0.5
    shards: int = 2
    way_s: float = 0.0
    uneven: float = 0.0

    @classmethod
    def of(cls, costs: Costs, batch_us: float | None) -> "Task":
        """Where a process waits for one server after the other, their CPU is its time."""
        wait = costs.postgres_us + costs.valkey_us
        beside = costs.java_us + costs.supervisor_us
        return cls(costs.child_us / 1e6, wait / 1e6, beside / 1e6, (batch_us or 0.0) / 1e6)

    @property
    def most(self) -> float:
        """Events a second of one shard that can be taken at all: by its task's CPU, or one by one."""
        by_cpu = self.cpu / self.shards / (self.own_s + self.beside_s)
        return min(by_cpu, (1 - self.batch_s / POLL_S) / (self.own_s + self.wait_s))

    @property
    def binds(self) -> str:
        alone = 1 / (self.own_s + self.wait_s)
        by_cpu = self.cpu / self.shards / (self.own_s + self.beside_s)
        return "the task's CPU" if by_cpu < alone else "one process after the other"


class Seen(NamedTuple):
    """Milliseconds from put to visible."""

    p50: float
    p99: float


class _Shard:
    def __init__(self, task: Task, rate: float, chance: random.Random) -> None:
        self._task, self._rate, self._chance = task, rate, chance
        self._since = 0.0
        self._poll = chance.uniform(0, POLL_S)
        self._ready: deque[tuple[float, float]] = deque()
        self._left = 0.0
        """Seconds of the batch at hand."""
        self._share = 0.0
        """Of them on a processor."""
        self.waits: list[float] = []

    def tick(self, now: float, quota: float) -> float:
        """Go on for a moment; the CPU that it took of what is left."""
        if now >= self._poll and len(self._ready) < _READ_AHEAD:
            self._ready.append((self._since, now))
            self._since, self._poll = now, now + POLL_S
        if self._left <= 0 and self._ready:
            self._begin(*self._ready[0])
        if self._left <= 0 or quota <= 0:
            return 0.0
        self._left -= _TICK_S
        if self._left <= 0:
            since, until = self._ready.popleft()
            self._end(now + _TICK_S, since, until)
        return _TICK_S * self._share

    def _begin(self, since: float, until: float) -> None:
        task, events = self._task, self._rate * (until - since)
        own, waiting = events * task.own_s, task.batch_s + events * task.wait_s
        self._left = (own + waiting) * self._chance.lognormvariate(0, task.uneven)
        self._share = own / (own + waiting) if own else 0.0

    def _end(self, now: float, since: float, until: float) -> None:
        if now > _WARM_S:
            step = (until - since) / _SAMPLES
            self.waits += [now - since - step * (at + 0.5) + self._task.way_s for at in range(_SAMPLES)]


def seen(task: Task, rate: float, seed: int = 1) -> Seen:
    """Simulated: so many events a second and shard come evenly."""
    chance = random.Random(seed)
    shards = [_Shard(task, rate, chance) for _ in range(task.shards)]
    beside = rate * task.shards * task.beside_s * _TICK_S
    quota = 0.0
    ticks = round(_PERIOD_S / _TICK_S)
    for number in range(int(_SECONDS / _TICK_S)):
        if number % ticks == 0:
            # what was used beyond a share is paid of the next
            quota = min(0.0, quota) + task.cpu * _PERIOD_S
        for shard in shards:
            quota -= shard.tick(number * _TICK_S, quota)
        quota -= beside
    waits = sorted(wait for shard in shards for wait in shard.waits)
    return Seen(*(waits[int(share * (len(waits) - 1))] * 1e3 for share in (0.5, 0.99)))


def calibrated(task: Task, rate: float, p50_ms: float, p99_ms: float) -> Task:
    """The same with what lies before it, and how uneven it is, set by what was measured at a rate."""
    for _ in range(3):
        missing = (p50_ms - seen(task, rate).p50) / 1e3
        task = task._replace(way_s=max(0.0, task.way_s + missing))
        task = task._replace(uneven=_uneven(task, rate, p99_ms))
    return task


def _uneven(task: Task, rate: float, p99_ms: float) -> float:
    return _least(lambda sigma: seen(task._replace(uneven=sigma), rate).p99 >= p99_ms, 0.0, 1.5)


def most_within(task: Task, p99_ms: float) -> float:
    """The highest rate of a shard whose p99 is within the bound, in hundreds; 0 where none is."""
    return 100.0 * bisect_left(
        range(1, int(task.most / 100) + 1), p99_ms, key=lambda hundreds: seen(task, hundreds * 100).p99
    )


def _least(enough: Callable[[float], bool], low: float, high: float, steps: int = 10) -> float:
    """The least number that is enough, where every larger one is too; `high` where none is known to be."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
