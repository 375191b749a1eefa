"""What has been measured, for the suites that reckon with it: no figure of theirs is typed in.

The load test tells what every part costs at the promised rate, the task's suite what it costs from a full
stream, and the growth suite what the ledger's rows and its log take. Each figure names where it is from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.result import Result, kept
from deploy import capacity

REPORT = Path(__file__).parents[1] / "docs" / "load-test" / "report.json"
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


class Ledger(NamedTuple):
    """What the largest measured ledger takes; see `benchmarks/growth.py`.

    Attributes:
        source: how it is known.
        log_bytes: of one event, without whole pages, which Aurora's storage does without.
        redis_bytes: of one event, to Redis and from it.
        kept_bytes: of one attempt, its row and its entry in the index.
        batch_us: of the clock, whatever is in a batch.
        event_us: of the clock, for each event more.
        upkeep: microseconds a state, and seconds a gigabyte, of what grows with the whole ledger.
    """

    source: str
    log_bytes: float
    redis_bytes: float
    kept_bytes: float
    batch_us: float
    event_us: float
    upkeep: Mapping[str, float]


def load_test(path: Path = REPORT) -> Costs:
    """At the promised rate, by the load test's own report."""
    report: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    trial = report["trials"][0]
    used = {name: seconds / trial["sent"] * 1e6 for name, seconds in trial["cpu_seconds"].items()}
    day = str(report["started"])[:10]
    return _costs(f"load test at {trial['rate']:,.0f} events/s, {day}, commit {report['commit']}", used)


def task(folder: Path = KEPT) -> Costs | None:
    """From a full stream in envelopes as small as at the promised rate; None where it was not measured."""
    try:
        result = kept("task", folder)
    except FileNotFoundError:
        return None
    regimes: Any = result.figures["regimes"]
    regime = regimes["limited_small_envelopes"]
    return _costs(f"task from a full stream, {_of(result)}", regime["cpu_us_per_event"])


def ledger(folder: Path = KEPT) -> Ledger:
    """By the growth suite.

    Raises:
        FileNotFoundError: it was never run.
    """
    result = kept("growth", folder)
    figures: Any = result.figures
    largest = max(figures["room"], key=int)
    attempts = figures["room"][largest]["attempts"]
    cost = figures["cost"]["aurora"][largest]
    clock = figures["by_batch"]["wall_us"]
    return Ledger(
        f"growth at {int(largest):,} rows, {_of(result)}",
        log_bytes=cost["wal_bytes"],
        redis_bytes=cost["redis_bytes"],
        kept_bytes=attempts["heap_bytes_per_row"] + sum(attempts["index_bytes_per_row"].values()),
        batch_us=clock["a_batch"],
        event_us=clock["an_event"],
        upkeep=figures["upkeep"],
    )


def _costs(source: str, used: Mapping[str, float]) -> Costs:
    parts = (_CHILD, _JAVA, _SUPERVISOR, "PostgreSQL", "Valkey")
    return Costs(source, *(used[part] for part in parts))


def _of(result: Result) -> str:
    return f"{result.date}, commit {result.commit}"
