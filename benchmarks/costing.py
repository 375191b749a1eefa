"""The platform's bill for a constant rate: `deploy/cost.py` sized by measured CPU, and what that leaves out.

The estimate of the platform is to decide by and leaves out what depends on the load alone: Aurora's I/O and
storage, KCL's tables, traffic between zones. At a constant rate these are a third of the bill, and they are
added here from what was measured of an event.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from benchmarks.reckoning import Costs, Ledger
from benchmarks.scaling.leases import traffic
from deploy import capacity, prices
from deploy.config import EnvConfig, prod
from deploy.cost import Line, estimate

AURORA = "Aurora, writer and reader"
POLLS = 4
"""Batches a second of a shard that is never empty."""
_MILLION, _GB = 1e6, 1e9
_OTHER_ZONE = 0.5
"""Of two zones, a task's store is as often in the other."""
_CERTIFIED = {
    "certificate_arn": "arn:aws:acm:ap-northeast-1:111122223333:certificate/example",
    "internal_domain": "api.internal.example.org",
}


class Part(StrEnum):
    """What the lines of a bill are for."""

    AURORA = "Aurora, instances"
    STORAGE = "Aurora, I/O and storage"
    TASKS = "Fargate tasks"
    REDIS = "Redis"
    STREAM = "Kinesis"
    ENTRY = "HTTP entry"
    NETWORK = "network"
    REST = "everything else"


_OF_ESTIMATE = {
    AURORA: Part.AURORA,
    "Redis": Part.REDIS,
    "Kinesis shards and their metrics": Part.STREAM,
    "Kinesis PUT units": Part.STREAM,
    "The stream's traffic, in and out": Part.NETWORK,
    "NAT gateways": Part.NETWORK,
    "Interface endpoints": Part.NETWORK,
    **dict.fromkeys(
        (
            *("REST API", "WAF requests", "X-Ray", "Access logs"),
            *("Load balancer", "Load balancer capacity"),
        ),
        Part.ENTRY,
    ),
}


class Way(NamedTuple):
    """One way to run it.

    Attributes:
        name: as it is told.
        batch: events of a request; without end where producers write to the stream.
        optimized: Aurora without bills for I/O, at dearer instances and storage.
        instances: db.r7g.large instead of capacity units.
        days: that the stream keeps; prod's week is time to mend what is broken.
        change: what of the platform would have to change for it; "" where nothing.
    """

    name: str
    batch: float = float("inf")
    optimized: bool = False
    instances: bool = False
    days: int = 7
    change: str = ""


AS_DEPLOYED = Way("by the stream, as prod is deployed")
OPTIMIZED = "`storage_type` of the cluster in `deploy/ledger.py`"
FIXED = "instances of a fixed size in `deploy/ledger.py`"
WAYS = (
    AS_DEPLOYED,
    Way("by HTTP, 500 events a request", batch=500),
    Way("by HTTP, 100 events a request", batch=100),
    Way("by the stream, no bill for I/O", optimized=True, change=OPTIMIZED),
    Way("by the stream, instances of a fixed size", instances=True, change=FIXED),
    Way("by the stream, both of these", optimized=True, instances=True, change=f"{OPTIMIZED}; {FIXED}"),
    Way("by the stream, which keeps a day", days=1, change="`stream_retention_hours` of prod"),
    Way(
        "by the stream, all of these",
        optimized=True,
        instances=True,
        days=1,
        change=f"{OPTIMIZED}; {FIXED}; `stream_retention_hours` of prod",
    ),
)


class Bill(NamedTuple):
    """A month at a constant rate."""

    rate: float
    lines: Sequence[tuple[Part, Line]]

    @property
    def dollars(self) -> float:
        return sum(line.dollars for _, line in self.lines)

    def a_million(self, part: Part | None = None) -> float:
        """Dollars of a million events, of one part or all."""
        dollars = sum(line.dollars for of, line in self.lines if part in (None, of))
        return dollars / (self.rate * prices.SECONDS / _MILLION)


def bill(
    costs: Costs, ledger: Ledger, rate: float, way: Way = AS_DEPLOYED, least: tuple[int, int] = (0, 0)
) -> Bill:
    """What prod costs a month where it is as large as the measured CPU needs.

    At least so many shards and tasks.

    Raises:
        ConfigError: one environment cannot carry the rate.
    """
    config = sized(costs, rate, way.days, least)
    lines = [
        (_OF_ESTIMATE.get(line.item, Part.TASKS if line.item.startswith("Fargate") else Part.REST), line)
        for line in estimate(config, rate=rate, batch=way.batch)
        if line.item != AURORA
    ]
    return Bill(rate, [*_aurora(config, costs, rate, way), *lines, *_by_event(config, ledger, rate, way)])


def sized(costs: Costs, rate: float, days: int = 7, least: tuple[int, int] = (0, 0)) -> EnvConfig:
    """Prod, as large as the measured CPU needs and never smaller than the platform allows."""
    workload = capacity.Workload(rate=rate)
    found = capacity.needs(workload, capacity.Task(), costs.micros)
    planned = capacity.needs(workload, capacity.Task())
    shards = max(found.shards, planned.shards, least[0])
    tasks = max(found.tasks, planned.tasks, least[1])
    return prod(
        "plan",
        **_CERTIFIED,
        shards=max(shards, tasks),
        target_events_per_second=max(1, round(rate)),
        min_tasks=tasks,
        max_worker_tasks=max(shards, tasks),
        max_api_tasks=max(8, tasks),
        stream_retention_hours=24 * days,
        aurora_max_acu=max(found.acu, planned.acu),
        redis_node=found.redis_node or max(capacity.REDIS_GIB, key=lambda node: capacity.REDIS_GIB[node]),
    )


def _aurora(config: EnvConfig, costs: Costs, rate: float, way: Way) -> Iterator[tuple[Part, Line]]:
    dearer = prices.AURORA_OPTIMIZED if way.optimized else 1.0
    if way.instances:
        each = prices.AURORA_INSTANCE_CORES * capacity.PLANNED_SHARE
        count = -(-rate * costs.postgres_us / 1e6 // each)
        hour, size = prices.AURORA_INSTANCE_HOUR * count, f"{count:g} x db.r7g.large"
    else:
        hour, size = prices.AURORA_ACU_HOUR * config.aurora_max_acu, f"{config.aurora_max_acu:g} ACU"
    dollars = 2 * hour * dearer * prices.HOURS
    yield (
        Part.AURORA,
        Line(AURORA, f"2 x {size} x {prices.HOURS} h{' x 1.3' if way.optimized else ''}", dollars),
    )


def _by_event(config: EnvConfig, ledger: Ledger, rate: float, way: Way) -> Iterator[tuple[Part, Line]]:
    events = rate * prices.SECONDS
    if not way.optimized:
        # what a commit writes is billed in whole units
        commits = min(rate, config.shards * POLLS) * prices.SECONDS
        units = events * ledger.log_bytes / prices.AURORA_IO_BYTES + commits / 2
        told = f"{units / _MILLION:,.0f} million units: {ledger.log_bytes:.0f} bytes of log an event"
        yield Part.STORAGE, Line("Aurora's I/O", told, units / _MILLION * prices.AURORA_IO_MILLION)
    # the month's own rows, of which half are there on average
    kept = events * ledger.room["attempts"].row_bytes / 2 / _GB
    price = prices.AURORA_GB_MONTH * (prices.AURORA_OPTIMIZED_STORAGE if way.optimized else 1.0)
    told = f"{kept:,.0f} GB on average: {ledger.room['attempts'].row_bytes:.0f} bytes an attempt x ${price:g}"
    yield Part.STORAGE, Line("Aurora's storage, the month's own rows", told, kept * price)
    asked = traffic(config.shards, config.min_tasks)
    dollars = asked.reads * prices.TABLE_READ_MILLION + asked.writes * prices.TABLE_WRITE_MILLION
    told = f"{asked.reads:,.1f} reads and {asked.writes:,.1f} writes a second"
    yield Part.STREAM, Line("KCL's tables", told, dollars * prices.SECONDS / _MILLION)
    moved = (ledger.redis_bytes or 0.0) + ledger.room["attempts"].heap_bytes
    crossed = events * moved * _OTHER_ZONE / _GB
    left_out = "" if ledger.redis_bytes else ", those of Redis not measured yet"
    told = f"{crossed:,.0f} GB: half of {moved:.0f} bytes an event{left_out}"
    yield Part.NETWORK, Line("Traffic between zones, to the stores", told, crossed * prices.ZONE_GB)
