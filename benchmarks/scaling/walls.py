"""Every limit that a load comes near, how near, and which switch or change answers it.

A limit is soft where AWS raises it on request, a switch where a setting of ours moves it, and hard where only
another shape does: then the load is split into cells, each a platform of its own for some schools, because no
row, no state and no shard ever belongs to two of them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.scaling.leases import PARTITION_READS, PARTITION_WRITES, traffic
from benchmarks.scaling.sizing import Measured, Size, size
from deploy import capacity
from deploy.config import EnvConfig

SOFT, SWITCH, HARD = "quota", "switch", "hard"

REDIS_LARGEST_GIB = 419
"""Of cache.r7g.16xlarge, remembered."""
MOST_CONNECTIONS, _BYTES_A_CONNECTION = 5_000, 9_531_392
"""Of Aurora by the memory of its largest size; its default, remembered."""
_API_SESSIONS = 4
"""Of an api task with the ledger: its clerk's three, and one to look up who teaches what."""
_RESERVED_ADDRESSES = 5
NIGHT_HOURS = 8
SCHOOL = (5_000, 100_000)
"""The largest school that must fit into one cell: events a second, students."""

_ASK = "ask AWS"
_CELLS = "split into cells by school"


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


def walls(load: Size, measured: Measured) -> Sequence[Wall]:
    """All of them, the nearest first."""
    found = [
        *_of_the_account(load),
        *_of_the_fleet(load),
        *_of_the_stores(load),
        *_of_a_night(load, measured),
    ]
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


def _of_the_account(load: Size) -> Iterator[Wall]:
    shards, cpus = capacity.MOST_SHARDS, capacity.MOST_TASK_CPUS
    used = (load.tasks + load.api_tasks) * capacity.Task().cpu / 1024
    yield Wall("shards of an account and region", load.shards, shards, "shards", SOFT, _ASK)
    yield Wall("Fargate CPUs of an account", used, cpus, "CPUs", SOFT, _ASK)
    answer = f"500 events a request, or producers write to the stream; {_ASK}"
    what = "requests, 100 events each, of API Gateway"
    yield Wall(what, load.rate / 100, capacity.MOST_REQUESTS, "a second", SOFT, answer)


def _of_the_fleet(load: Size) -> Iterator[Wall]:
    asked, unit = traffic(load.shards, load.tasks), "units a second"
    answer = "`LOOK_SECONDS=10` halves the supervisors'; then several streams, each its application"
    what = "lease table, reads of one partition"
    yield Wall(what, asked.lease_reads, PARTITION_READS, unit, SWITCH, answer)
    answer = "a longer `FAILOVER_MILLIS` and `CHECKPOINT_SECONDS`; then several streams"
    what = "lease table, writes of one partition"
    yield Wall(what, asked.lease_writes, PARTITION_WRITES, unit, SWITCH, answer)
    addresses = sum(2 ** (32 - _bits(cidr)) - _RESERVED_ADDRESSES for cidr in EnvConfig.private_cidrs)
    tasks, answer = load.tasks + load.api_tasks, "wider `private_cidrs`"
    yield Wall("addresses of the private subnets", tasks, addresses, "tasks", SWITCH, answer)


def _of_the_stores(load: Size) -> Iterator[Wall]:
    yield Wall("Aurora's writer", load.acu, capacity.MOST_ACU, "ACU", HARD, _CELLS)
    most = min(MOST_CONNECTIONS, load.acu * 2 * 2**30 / _BYTES_A_CONNECTION)
    needed, answer = load.shards + load.api_tasks * _API_SESSIONS, f"{_CELLS}, or a proxy before it"
    yield Wall("connections of Aurora", needed, most, "connections", HARD, answer)
    answer = f"{_CELLS}; or states by student on several nodes, a script a node (a change)"
    yield Wall("one Redis, its one thread for scripts", load.redis_cores, 1.0, "core", HARD, answer)
    most, answer = REDIS_LARGEST_GIB * capacity.REDIS_SHARE, f"{_CELLS}; larger nodes until then"
    yield Wall("one Redis, its memory", load.redis_bytes / 2**30, most, "GiB", HARD, answer)


def _of_a_night(load: Size, measured: Measured) -> Iterator[Wall]:
    """What must be done until morning; nothing where it was not measured."""
    if measured.rebuilt:
        hours, answer = load.states / measured.rebuilt / 3_600, "more processes; readers mend what they read"
        what = "Redis made anew, by as many processes as measured"
        yield Wall(what, hours, NIGHT_HOURS, "hours", SWITCH, answer)
    if sweep := measured.ledger.upkeep.get("sweep_us_per_state"):
        yield Wall("a sweep of all states", load.states * sweep / 3.6e9, NIGHT_HOURS, "hours", HARD, _CELLS)


def _bits(cidr: str) -> int:
    return int(cidr.partition("/")[2])
