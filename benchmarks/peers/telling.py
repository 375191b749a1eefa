"""What was found, as goals, as figures to keep and as tables to read."""

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from benchmarks.peers import latency
from benchmarks.peers.cost import Cost
from benchmarks.peers.latency import Latency
from benchmarks.peers.throughput import ASYNC, OURS, OURS_AWAY, SAMPLE, SAMPLE_AWAY
from benchmarks.result import Goal

POLLED = "Pathway, stream polled by boto3, rows and means"
NEAREST = "Pathway, files, registers and windows"
FILES = "Pathway, files, rows and means"

_WAY = (
    "the way through the daemon: both poll every 250 ms, but KCL hands a batch to the shard process by a "
    "queue and a pipe, and Redis follows PostgreSQL"
)

Costs = Mapping[str, Sequence[Cost]]
"""By name, of each round."""


def median(costs: Sequence[Cost]) -> Cost:
    """Each figure by itself."""
    return Cost(
        events=costs[0].events,
        seconds=statistics.median(c.seconds * costs[0].events / c.events for c in costs),
        process_us=statistics.median(c.process_us for c in costs),
        postgresql_us=statistics.median(c.postgresql_us for c in costs),
        valkey_us=statistics.median(c.valkey_us for c in costs),
    )


def goals(costs: Costs, latencies: Mapping[str, Latency], stages: Mapping[str, float]) -> list[Goal]:
    """Those that can be told of what was run."""
    found = {name: median(rounds) for name, rounds in costs.items()}
    told: list[Goal] = []
    if OURS not in found:
        return told
    mine = found[OURS]
    over = "events a second, our shard process over the sample of amazon_kclpy, one record at a time"
    for own, sample, where in ((OURS, SAMPLE, ""), (OURS_AWAY, SAMPLE_AWAY, ", servers 1 ms away")):
        if own in found and sample in found:
            value = found[own].rate / found[sample].rate
            told.append(_times(f"{over}{where}", value, 20, _binds(mine, stages)))
    for name, limit in ((ASYNC, 5.0), (POLLED, 1.0), (NEAREST, 1.0), (FILES, 1.0)):
        if name in found:
            what = f"events a second of the process's own CPU, ours over {name}"
            told.append(_times(what, mine.per_cpu / found[name].per_cpu, limit, _binds(mine, stages)))
    return told + [
        _times(f"latency {share} until all sinks show it, {name}, over ours", theirs / own, 1, _WAY)
        for name in (latency.POLLED, latency.POLLED_FAST)
        if name in latencies and latency.OURS in latencies
        for share, theirs, own in (
            ("p50", latencies[name].p50, latencies[latency.OURS].p50),
            ("p99", latencies[name].p99, latencies[latency.OURS].p99),
        )
    ]


def _times(what: str, value: float, limit: float, binds: str) -> Goal:
    goal = Goal("P3", what, round(value, 2), limit, "times", True)
    return goal if goal.met else Goal("P3", what, round(value, 2), limit, "times", True, binds)


def _binds(mine: Cost, stages: Mapping[str, float]) -> str:
    """Where the time of an event goes in our shard process."""
    spent = ", ".join(f"{name} {us:.0f}" for name, us in stages.items())
    return (
        f"one shard process waits for one server after the other: of {1e6 / mine.rate:.0f} us an event "
        f"{mine.process_us:.0f} are its own CPU, {mine.postgresql_us:.0f} PostgreSQL's, "
        f"{mine.valkey_us:.0f} Valkey's; by stage: {spent}"
    )


def figures(costs: Costs, latencies: Mapping[str, Latency]) -> dict[str, object]:
    """Everything, the unit in each key."""
    return {
        "throughput": {name: _told(median(rounds), len(rounds)) for name, rounds in costs.items()},
        "latency": {
            name: {
                "probes": found.probes,
                "p50_ms": {server: round(ms, 1) for server, ms in found.p50_ms.items()},
                "p99_ms": {server: round(ms, 1) for server, ms in found.p99_ms.items()},
            }
            for name, found in latencies.items()
        },
    }


def _told(cost: Cost, rounds: int) -> dict[str, float]:
    return {
        "rounds": rounds,
        "events_measured": cost.events,
        "events_per_second": round(cost.rate),
        "events_per_process_cpu_second": round(cost.per_cpu),
        "process_us_per_event": round(cost.process_us, 1),
        "postgresql_us_per_event": round(cost.postgresql_us, 1),
        "valkey_us_per_event": round(cost.valkey_us, 1),
    }


def throughput_table(costs: Costs) -> Table:
    """One line a run."""
    table = Table(title="events, and CPU in microseconds an event")
    table.add_column("what")
    for name in ("events/s", "per CPU second", "process", "PostgreSQL", "Valkey"):
        table.add_column(name, justify="right")
    for name, rounds in costs.items():
        cost = median(rounds)
        parts = (cost.process_us, cost.postgresql_us, cost.valkey_us)
        table.add_row(name, f"{cost.rate:,.0f}", f"{cost.per_cpu:,.0f}", *(f"{us:.1f}" for us in parts))
    return table


def latency_table(latencies: Mapping[str, Latency]) -> Table:
    """One line a server of each."""
    table = Table(title="from putting an attempt until it can be read, ms")
    for name in ("what", "where it is read"):
        table.add_column(name)
    for name in ("p50", "p99"):
        table.add_column(name, justify="right")
    for name, found in latencies.items():
        for server, ms in found.p50_ms.items():
            table.add_row(name, server, f"{ms:,.0f}", f"{found.p99_ms[server]:,.0f}")
    return table
