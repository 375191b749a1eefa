"""How much of everything a load needs, from figures that were measured: pure arithmetic, no construct.

`config.py` refuses an environment that these figures say cannot carry what it is promised for, and
`python -m scripts.capacity` tells an operator what to choose, so that the two can never disagree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

SHARD_RECORDS = 1_000
SHARD_BYTES = 1024 * 1024
"""What one shard takes in a second."""

PLANNED_SHARE = 0.75
"""How much of a limit a plan may use: hash keys never spread evenly, and a retry needs room."""

PROCESS_MICROS, POSTGRES_MICROS, REDIS_MICROS = 13, 26, 5
"""Measured CPU of one event in the shard process, in PostgreSQL (18 to 26) and in Redis, in microseconds."""


class Micros(NamedTuple):
    """CPU of one event in microseconds: in a worker task, in PostgreSQL, in Redis.

    By default what is planned with. Whoever has measured another load reckons with that.
    """

    process: float = PROCESS_MICROS
    postgres: float = POSTGRES_MICROS
    redis: float = REDIS_MICROS


PLANNED = Micros()

JVM_MIB, SUPERVISOR_MIB, SHARD_PROCESS_MIB = 350, 30, 120
"""Measured resident memory of the daemon with a 288 MiB heap, of its supervisor, and of one shard process."""

STATE_BYTES = 700
"""Of one student in one course: 604 measured of a state with a full ring, and 70 to 90 of its key and entry.

A state of a few attempts takes 200, and one with scores on each of 31 days 880.
"""

ACU_CORES = 0.25
"""What is commonly seen behind one Aurora capacity unit beside its 2 GiB; AWS promises no figure."""
ACU_IDLE = 0.5

REDIS_SHARE = 0.75
"""Of a node's memory what data may take: ElastiCache reserves a quarter for replication."""

REDIS_GIB: Mapping[str, float] = {
    "cache.t4g.micro": 0.5,
    "cache.t4g.small": 1.37,
    "cache.t4g.medium": 3.09,
    "cache.m7g.large": 6.38,
    "cache.m7g.xlarge": 12.93,
    "cache.m7g.2xlarge": 26.04,
}
"""Memory of each size of node, the smallest first."""

MOST_SHARDS, MOST_ACU, MOST_REQUESTS, MOST_TASK_CPUS = 200, 256, 10_000, 6
"""Quotas of an account before anybody asked for more: shards of the region, ACU of a cluster, requests a
second of API Gateway, CPUs of all Fargate tasks."""

_LEAST_TASKS = 2
_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is asked for: events a second at the peak, how they travel, how many states are kept.

    Args:
        rate: events a second at the busiest time.
        event_bytes: what one event adds to a record, compressed.
        events_per_record: events of one record.
        events_per_request: events of one HTTP request; 0 where all come by the stream.
        states: students times their courses.
    """

    rate: float
    event_bytes: float = 200
    events_per_record: float = 20
    events_per_request: float = 100
    states: int = 200_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """A worker task: CPU units and MiB as Fargate sells them, and the shards that it may read."""

    cpu: int = 512
    memory: int = 1024
    max_leases: int = 4


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a workload needs; memory in bytes, CPU in cores."""

    shards: int
    tasks: int
    acu: float
    redis_bytes: int
    redis_node: str | None
    worker_cores: float
    postgres_cores: float
    redis_cores: float
    requests: float


def shard_events(events_per_record: float, event_bytes: float) -> int:
    """Events a second that one shard takes, by whichever of its two limits is reached first."""
    return int(min(SHARD_RECORDS * events_per_record, SHARD_BYTES / event_bytes))


def planned_events(shards: int, events_per_record: float, event_bytes: float) -> int:
    """Events a second that these shards may be asked for."""
    return int(shards * shard_events(events_per_record, event_bytes) * PLANNED_SHARE)


def shards_for(rate: float, events_per_record: float, event_bytes: float, micros: Micros = PLANNED) -> int:
    """Shards for a rate: by what Kinesis takes, and by what one process a shard gets through.

    A batch is decoded, merged and projected one after the other, so a shard's events wait for all three.
    """
    one_process = 1e6 / sum(micros)
    of_one = min(shard_events(events_per_record, event_bytes), one_process) * PLANNED_SHARE
    return max(1, ceil(rate / of_one))


def worker_cores(rate: float, micros: Micros = PLANNED) -> float:
    """Cores that the shard processes of all tasks take together."""
    return rate * micros.process / 1e6


def tasks_for(rate: float, shards: int, task: Task, micros: Micros = PLANNED) -> int:
    """Tasks that carry a rate and hold every shard when one of them is gone, and never fewer than two."""
    by_cpu = ceil(worker_cores(rate, micros) / (task.cpu / 1024 * PLANNED_SHARE))
    leases = max(1, min(task.max_leases, (task.memory - JVM_MIB - SUPERVISOR_MIB) // SHARD_PROCESS_MIB))
    return max(_LEAST_TASKS, by_cpu, ceil(shards / leases) + 1)


def acu_for(rate: float, micros: Micros = PLANNED) -> float:
    """Aurora capacity units of the writer, in halves, at least one."""
    needed = ACU_IDLE + rate * micros.postgres / 1e6 / (ACU_CORES * PLANNED_SHARE)
    return max(1.0, ceil(needed * 2) / 2)


def redis_bytes(states: int) -> int:
    """Memory of so many states, claims and markers being small beside them."""
    return states * STATE_BYTES


def redis_takes(node: str) -> int | None:
    """Bytes of data that a node takes; None of a size that is not in the table."""
    gib = REDIS_GIB.get(node)
    return None if gib is None else int(gib * 1024 * _MIB * REDIS_SHARE)


def redis_node_for(states: int) -> str | None:
    """The smallest node that holds them, None where no one does."""
    size = redis_bytes(states)
    return next((node for node in REDIS_GIB if size <= (redis_takes(node) or 0)), None)


def needs(workload: Workload, task: Task, micros: Micros = PLANNED) -> Needs:
    """Everything a workload needs."""
    rate = workload.rate
    # a task reads at least one shard, and one task does not outlive its zone
    shards = max(_LEAST_TASKS, shards_for(rate, workload.events_per_record, workload.event_bytes, micros))
    return Needs(
        shards=shards,
        tasks=tasks_for(rate, shards, task, micros),
        acu=acu_for(rate, micros),
        redis_bytes=redis_bytes(workload.states),
        redis_node=redis_node_for(workload.states),
        worker_cores=worker_cores(rate, micros),
        postgres_cores=rate * micros.postgres / 1e6,
        redis_cores=rate * micros.redis / 1e6,
        requests=rate / workload.events_per_request if workload.events_per_request else 0.0,
    )


def quotas(found: Needs, task: Task) -> Iterator[str]:
    """A sentence for each quota of an account that is hit, with what to do."""
    if found.shards > MOST_SHARDS:
        yield f"{found.shards:,} shards: an account has {MOST_SHARDS}; send more events a record, or ask AWS"
    if found.acu > MOST_ACU:
        yield f"{found.acu:,.1f} ACU: a cluster has at most {MOST_ACU}; the ledger must be split by school"
    if found.requests > MOST_REQUESTS:
        yield (
            f"{found.requests:,.0f} requests a second: API Gateway takes {MOST_REQUESTS:,} of an account; "
            "send more events a request"
        )
    if found.redis_node is None:
        yield f"{found.redis_bytes / 1e9:,.0f} GB of states: more than any node in the table holds"
    if found.redis_cores > PLANNED_SHARE:
        yield f"Redis would take {found.redis_cores:.1f} cores, and has one thread; split by school"
    cpus = found.tasks * task.cpu / 1024
    if cpus > MOST_TASK_CPUS:
        yield f"{cpus:g} CPUs of Fargate: a new account has {MOST_TASK_CPUS}; ask AWS for more"
