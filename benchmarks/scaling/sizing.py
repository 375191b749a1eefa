"""What a load needs, by measured CPU and by the p99 that is promised."""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from benchmarks.reckoning import Costs, Ledger
from deploy import capacity

COURSES_EACH = 3
"""Courses of a student whose states are in Redis at once."""


class Measured(NamedTuple):
    """What everything is reckoned from; `posted` and `rebuilt` may not have been measured.

    Attributes:
        within: events a second that a shard takes with the promised p99, by shards of its task.
        posted: events a second of one core of the API.
        rebuilt: states a second into an empty Redis.
    """

    costs: Costs
    ledger: Ledger
    within: Mapping[int, float]
    posted: float | None
    rebuilt: float | None


class Size(NamedTuple):
    """Of one platform."""

    rate: float
    students: int
    shards: int
    tasks: int
    api_tasks: int
    acu: float
    redis_bytes: int
    redis_cores: float

    @property
    def states(self) -> int:
        return self.students * COURSES_EACH


def size(rate: float, students: int, measured: Measured) -> Size:
    """What so many events a second of so many students need: the fewest tasks, then the fewest shards."""
    task, micros = capacity.Task(), measured.costs.micros
    found = capacity.needs(capacity.Workload(rate=rate, states=students * COURSES_EACH), task, micros)
    tasks, shards = min(
        (max(capacity.tasks_for(rate, count, task, micros), ceil(count / together)), count)
        for together, within in measured.within.items()
        if within and (count := max(found.shards, ceil(rate / within)))
    )
    of_api = (measured.posted or rate) * task.cpu / 1024 * capacity.PLANNED_SHARE
    api = ceil(rate / of_api) + 1
    return Size(rate, students, shards, tasks, api, found.acu, found.redis_bytes, found.redis_cores)
