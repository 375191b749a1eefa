"""What has been measured, for the suites that reckon with it: no figure of theirs is typed in.

The load test tells what every part costs at the promised rate, the task's suite what it costs from a full
stream, and the growth suite what the ledger's rows and its log take. Each figure names where it is from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.latency import RATE
from benchmarks.result import Result, kept
from deploy import capacity

KEPT = Path(__file__).parent / "results"
"""Where the others' results are, also when this one's go elsewhere."""

_SUPERVISOR = "worker task"
_JAVA = "worker task, KCL's Java"
_CHILD = "worker task, shard processes"


class Costs(NamedTuple):
    """CPU of one event in microseconds, by part, and how that is known."""

    source: str
    child_us: float
    java_us: float
    supervisor_us: float
    postgres_us: float
    valkey_us: float

    @property
    def task_us(self) -> float:
        """All that runs in a worker task."""
        return self.child_us + self.java_us + self.supervisor_us

    @property
    def micros(self) -> capacity.Micros:
        """The same as the platform's figures are reckoned."""
        return capacity.Micros(self.task_us, self.postgres_us, self.valkey_us)


class Room(NamedTuple):
    """What the rows of one table take."""

    rows: int
    heap_bytes: float
    index_bytes: Mapping[str, float]
    index_levels: Mapping[str, int]

    @property
    def row_bytes(self) -> float:
        """A row and its entry in each index."""
        return self.heap_bytes + sum(self.index_bytes.values())


class Ledger(NamedTuple):
    """What the largest measured ledger takes; see `benchmarks/growth.py`.

    Attributes:
        source: how it is known.
        rows: of the largest.
        room: by table; of every size that was looked at, the largest last, in `levels`.
        levels: of each index, by rows of the ledger.
        log_bytes: of one event, without whole pages, which Aurora's storage does without.
        redis_bytes: of one event, to Redis and from it; None where it was not measured.
        cpu_us: of one event, all parts, by rows.
        postgres_us: of one event, by rows.
        batch_us: of the clock, whatever is in a batch; None where it was not measured.
        event_us: of the clock, for each event more; all of it where batches were not told apart.
        upkeep: microseconds a state, and seconds a gigabyte, of what grows with the whole ledger; may lack.
        parted: times the CPU of an event where the attempts are in partitions, and how many; may lack.
        statements: by rows: pages and milliseconds of each statement of a usual batch.
        batch_events: events of that batch.
    """

    source: str
    rows: int
    room: Mapping[str, Room]
    levels: Mapping[int, Mapping[str, int]]
    log_bytes: float
    redis_bytes: float | None
    cpu_us: Mapping[int, float]
    postgres_us: Mapping[int, float]
    batch_us: float | None
    event_us: float
    upkeep: Mapping[str, float]
    parted: tuple[float, int] | None
    statements: Mapping[int, Mapping[str, Mapping[str, float]]]
    batch_events: int


class Waiting(NamedTuple):
    """From put to visible in the load test, in milliseconds, and on how many shards.

    `highest` is the rate up to which its search found a p99 under a second, None where it did not search.
    """

    source: str
    p50_ms: float
    p99_ms: float
    shards: int
    highest: float | None


def load_test(folder: Path = KEPT) -> Costs:
    """At the promised rate.

    Raises:
        FileNotFoundError: it was never run.
    """
    result = kept("latency", folder)
    figures: Any = result.figures
    return _costs(f"load test at {RATE:,} events/s, {_of(result)}", figures["cpu_us_per_event"])


def waiting(folder: Path = KEPT) -> Waiting:
    """At the promised rate; its two shards are the load test's own."""
    result = kept("latency", folder)
    latency: Any = result.figures["latency_ms"]
    shards = int(str(result.figures["target"]).partition(" shards")[0].rpartition(" ")[2])
    highest: Any = result.figures.get("highest_rate_p99_under_1s")
    return Waiting(f"load test, {_of(result)}", latency["p50"], latency["p99"], shards, highest)


def task(folder: Path = KEPT) -> Costs | None:
    """From a full stream in envelopes as small as at the promised rate; None where it was not measured."""
    try:
        result = kept("task", folder)
    except FileNotFoundError:
        return None
    regimes: Any = result.figures["regimes"]
    regime = regimes["limited_small_envelopes"]
    return _costs(f"task from a full stream, {_of(result)}", regime["cpu_us_per_event"])


def rebuilt_per_second(folder: Path = KEPT) -> float | None:
    """States a second into an empty Redis; None where it was not measured."""
    try:
        figures: Any = kept("backfill", folder).figures
    except FileNotFoundError:
        return None
    return float(figures["rebuild"]["per_second"])


def posted_per_core(folder: Path = KEPT) -> float | None:
    """Events a second that a core of the API takes, 500 a request; None where it was not measured."""
    try:
        figures: Any = kept("api", folder).figures
    except FileNotFoundError:
        return None
    return float(figures["events_per_service_cpu_s"])


def ledger(folder: Path = KEPT) -> Ledger:
    """By the growth suite.

    Raises:
        FileNotFoundError: it was never run.
    """
    return of_growth(kept("growth", folder))


def of_growth(result: Result) -> Ledger:
    """What a result of the growth suite says."""
    figures: Any = result.figures
    costs = {int(rows): cost for rows, cost in figures["cost"]["aurora"].items()}
    rows = max(costs)
    # a run from before every size was looked at knows the room of the largest alone
    rooms = {rows: figures["room"]} if "attempts" in figures["room"] else figures["room"]
    by_rows = {int(size): _rooms(found) for size, found in rooms.items()}
    clock = figures["by_batch"]["wall_us"] if "by_batch" in figures else {}
    parts = figures.get("partitions")
    return Ledger(
        source=f"growth at {rows:,} rows, {_of(result)}",
        rows=rows,
        room=by_rows[rows],
        levels={
            size: {name: level for room in found.values() for name, level in room.index_levels.items()}
            for size, found in by_rows.items()
        },
        log_bytes=costs[rows]["wal_bytes"],
        redis_bytes=costs[rows].get("redis_bytes"),
        cpu_us={size: cost["cpu_us"] for size, cost in costs.items()},
        postgres_us={size: cost["postgres_us"] for size, cost in costs.items()},
        batch_us=clock.get("a_batch"),
        event_us=clock.get("an_event", costs[rows]["wall_us"]),
        upkeep=figures.get("upkeep", {}),
        parted=(parts["times"]["cpu_us"], parts["count"]) if parts else None,
        statements={int(size): kinds["usual"] for size, kinds in figures["statements"].items()},
        batch_events=figures["events_a_batch"],
    )


def _rooms(found: Mapping[str, Any]) -> Mapping[str, Room]:
    return {
        table: Room(one["rows"], one["heap_bytes_per_row"], one["index_bytes_per_row"], one["index_levels"])
        for table, one in found.items()
    }


def _costs(source: str, used: Mapping[str, float]) -> Costs:
    parts = (_CHILD, _JAVA, _SUPERVISOR, "PostgreSQL", "Valkey")
    return Costs(source, *(used[part] for part in parts))


def _of(result: Result) -> str:
    return f"{result.date}, commit {result.commit}"
