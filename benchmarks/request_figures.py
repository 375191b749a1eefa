"""What the benchmark of the API found: its figures, the goals they answer, and how they are shown."""

import msgspec
from rich.table import Table

from benchmarks.fullness import fullest
from benchmarks.result import Goal

READ_P99_MS = 10.0
SERVICE = "the service"
BATCH = 500
_GOOD = frozenset({"200", "202"})


class Figures(msgspec.Struct):
    """The medians of all rounds; times in seconds."""

    reads_per_second: float
    read_p50: float
    read_p99: float
    service_cpu_per_read: float
    events_per_second: float
    events_per_core_second: float
    load_cpu_share_reads: float
    load_cpu_share_events: float
    statuses: dict[str, int]

    @property
    def cores_reading(self) -> float:
        """What the service used of its core while it was read from."""
        return self.service_cpu_per_read * self.reads_per_second

    @property
    def unanswered(self) -> int:
        """Requests that were not answered well."""
        return sum(count for status, count in self.statuses.items() if status not in _GOOD)


def goals(figures: Figures, rate: float) -> list[Goal]:
    """P5."""
    what = f"GET /metrics, recorded, at {rate:,.0f} reads a second of one core: p99"
    read = Goal("P5", what, figures.read_p99 * 1000, READ_P99_MS, "ms", at_least=False)
    if not read.met:
        full = fullest({SERVICE: figures.cores_reading}, 1, most={SERVICE: 1})
        read = msgspec.structs.replace(read, binds=full)
    bad = Goal("P5", "requests not answered well", figures.unanswered, 0, "requests", at_least=False)
    told = ", ".join(f"{count:,} times {status}" for status, count in sorted(figures.statuses.items()))
    return [read, bad if bad.met else msgspec.structs.replace(bad, binds=told)]


def kept(figures: Figures) -> dict[str, object]:
    return {
        "reads_per_s": figures.reads_per_second,
        "read_p50_ms": figures.read_p50 * 1000,
        "read_p99_ms": figures.read_p99 * 1000,
        "service_us_per_read": figures.service_cpu_per_read * 1e6,
        "service_cores_reading": figures.cores_reading,
        "events_per_s": figures.events_per_second,
        "events_per_service_cpu_s": figures.events_per_core_second,
        "events_a_request": BATCH,
        "load_cores_reading": figures.load_cpu_share_reads,
        "load_cores_sending": figures.load_cpu_share_events,
        "answers": figures.statuses,
    }


def table(figures: Figures) -> Table:
    table = Table(title="the API on one core")
    table.add_column("measured")
    table.add_column("figure", justify="right")
    for name, value in (
        ("reads a second, each recorded as a disclosure", f"{figures.reads_per_second:,.0f}"),
        ("read p50", f"{figures.read_p50 * 1000:.1f} ms"),
        ("read p99", f"{figures.read_p99 * 1000:.1f} ms"),
        ("service CPU a read", f"{figures.service_cpu_per_read * 1e6:,.0f} µs"),
        (f"events a second in batches of {BATCH}", f"{figures.events_per_second:,.0f}"),
        ("events a second of service CPU", f"{figures.events_per_core_second:,.0f}"),
        ("the load's own CPU, reading", f"{figures.load_cpu_share_reads:.0%} of a core"),
        ("the load's own CPU, sending", f"{figures.load_cpu_share_events:.0%} of a core"),
        ("answers", ", ".join(f"{n:,} times {status}" for status, n in sorted(figures.statuses.items()))),
    ):
        table.add_row(name, value)
    return table
