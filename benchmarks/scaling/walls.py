"""Every limit that a load comes near, how near, and which switch or change answers it.

A limit is soft where AWS raises it on request, a switch where a setting of ours moves it, and hard where only
another shape does: then the load is split into cells, each a platform of its own for some schools, because no
row, no state and no shard ever belongs to two of them.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from benchmarks.reckoning import Costs, Ledger
from benchmarks.scaling.leases import PARTITION_READS, PARTITION_WRITES, traffic
from deploy import capacity
from deploy.config import EnvConfig

COURSES_EACH = 3
"""Courses of a student whose states are in Redis at once."""
SOFT, SWITCH, HARD = "quota", "switch", "hard"

REDIS_LARGEST_GIB = 419
"""Of cache.r7g.16xlarge, remembered."""
MOST_CONNECTIONS, _BYTES_A_CONNECTION = 5_000, 9_531_392
"""Of Aurora by the memory of its largest size; its default, remembered."""
_API_SESSIONS = 4
"""Of an api task with the ledger: its clerk's three, and one to look up who teaches what."""
_RESERVED_ADDRESSES = 5
NIGHT_S = 8 * 3_600
SCHOOL = (5_000, 100_000)
"""The largest school that must fit into one cell: events a second, students."""


class Size(NamedTuple):
    """What a load needs, by measured CPU and by the p99 that is promised."""

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


class Measured(NamedTuple):
    """What the walls are reckoned from; `posted` and `rebuilt` may not have been measured.

    Attributes:
        within: events a second that a shard takes with the promised p99.
        posted: events a second of one core of the API.
        rebuilt: states a second into an empty Redis.
    """

    costs: Costs
    ledger: Ledger
    within: float
    posted: float | None
    rebuilt: float | None


class Wall(NamedTuple):
    """One limit: what is needed of how much, of which kind it is, and the answer."""

    what: str
    need: float
    limit: float
    unit: str
    kind: str
    answer: str

    @property
    def used(self) -> float:
        return self.need / self.limit


def size(rate: float, students: int, measured: Measured) -> Size:
    """What so many events a second of so many students need."""
    task, micros = capacity.Task(), measured.costs.micros
    found = capacity.needs(capacity.Workload(rate=rate, states=students * COURSES_EACH), task, micros)
    shards = max(found.shards, ceil(rate / measured.within))
    tasks = max(capacity.tasks_for(rate, shards, task, micros), ceil(shards / 2))
    of_api = (measured.posted or rate) * task.cpu / 1024 * capacity.PLANNED_SHARE
    api = ceil(rate / of_api) + 1
    return Size(rate, students, shards, tasks, api, found.acu, found.redis_bytes, found.redis_cores)


def walls(load: Size, measured: Measured) -> Sequence[Wall]:
    """All of them, the nearest first."""
    asked = traffic(load.shards, load.tasks)
    task = capacity.Task()
    addresses = 2 * (2 ** (32 - int(EnvConfig.private_cidrs[0].partition("/")[2])) - _RESERVED_ADDRESSES)
    connections = min(MOST_CONNECTIONS, load.acu * 2 * 2**30 / _BYTES_A_CONNECTION)
    cells = "split into cells by school"
    found = [
        Wall("shards of an account and region", load.shards, capacity.MOST_SHARDS, "shards", SOFT, "ask AWS"),
        Wall(
            *("Fargate CPUs of an account", (load.tasks + load.api_tasks) * task.cpu / 1024, capacity.MOST_TASK_CPUS, "CPUs"),
            *(SOFT, "ask AWS"),
        ),
        Wall(
            *("requests, 100 events each, of API Gateway", load.rate / 100, capacity.MOST_REQUESTS, "a second"),
            *(SOFT, "500 events a request, or producers write to the stream; ask AWS"),
        ),
        Wall(
            *("lease table, reads of one partition", asked.lease_reads, PARTITION_READS, "units a second"),
            *(SWITCH, "`LOOK_SECONDS=10` halves the supervisors'; then several streams, each its application"),
        ),
        Wall(
            *("lease table, writes of one partition", asked.lease_writes, PARTITION_WRITES, "units a second"),
            *(SWITCH, "a longer `FAILOVER_MILLIS` and `CHECKPOINT_SECONDS`; then several streams"),
        ),
        Wall(
            *("addresses of the two private subnets", load.tasks + load.api_tasks, addresses, "tasks"),
            *(SWITCH, "wider `private_cidrs`"),
        ),
        Wall("Aurora's writer", load.acu, capacity.MOST_ACU, "ACU", HARD, cells),
        Wall(
            *("connections of Aurora", load.shards + load.api_tasks * _API_SESSIONS, connections, "connections"),
            *(HARD, f"{cells}, or a proxy before it"),
        ),
        Wall(
            *("one Redis, its one thread for scripts", load.redis_cores, 1.0, "cores"),
            *(HARD, f"{cells}; or states by student on several nodes, a script a node (a change)"),
        ),
        Wall(
            *("one Redis, its memory", load.redis_bytes / 2**30, REDIS_LARGEST_GIB * capacity.REDIS_SHARE, "GiB"),
            *(HARD, f"{cells}; larger nodes until then"),
        ),
    ]
    if measured.rebuilt:
        found.append(
            Wall(
                *("Redis made anew, by as many processes as measured", load.states / measured.rebuilt / 3_600),
                *(NIGHT_S / 3_600, "hours", SWITCH, "more processes; readers mend what they read meanwhile"),
            )
        )
    if sweep := measured.ledger.upkeep.get("sweep_us_per_state"):
        found.append(
            Wall(
                *("a sweep of all states", load.states * sweep / 1e6 / 3_600, NIGHT_S / 3_600, "hours", HARD),
                cells,
            )
        )
    return sorted(found, key=lambda wall: -wall.used)


def hard(found: Sequence[Wall]) -> list[Wall]:
    """Those that are planned too full and that nothing but another shape moves."""
    return [wall for wall in found if wall.kind == HARD and wall.used > capacity.PLANNED_SHARE]


def cell(measured: Measured, a_student: float) -> Size:
    """The largest load that one platform carries as it is, at so many events a second of a student."""
    rate, step = 1_000.0, 1.02
    best = size(rate, round(rate / a_student), measured)
    while True:
        rate *= step
        load = size(rate, round(rate / a_student), measured)
        if hard(walls(load, measured)):
            return best
        best = load
