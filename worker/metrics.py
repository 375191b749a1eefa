"""Every metric in one place: its name, kind, labels and meaning.

The shard processes count, the supervisor exposes; dashboards and alarms use the same words. All names carry
the prefix `edu_` when exposed; shard metrics carry the label `shard` beside their own.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

CounterName = Literal[
    "events_read_total",
    "events_total",
    "dead_letters_total",
    "transactions_total",
    "states_touched_total",
    "states_rebuilt_total",
    "projection_retries_total",
    "waits_total",
    "sweeps_total",
    "states_dropped_total",
    "checkpoints_total",
    "daemon_starts_total",
    "watchdog_restarts_total",
    "leases_given_back_total",
    "leases_removed_total",
    "leaders_cleared_total",
    "reports_cleared_total",
    "lease_table_failures_total",
]
GaugeName = Literal[
    "iterator_age_seconds", "degraded", "halted", "shards_held", "daemon_up", "lease_table_away"
]
HistogramName = Literal["batch_events", "stage_seconds", "arrival_to_projected_seconds"]

PREFIX = "edu_"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
EVENTS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)


class Metric(NamedTuple):
    """How one metric is exposed; `buckets` only for histograms."""

    help: str
    labels: tuple[str, ...] = ("shard",)
    buckets: tuple[float, ...] = ()


COUNTERS: Mapping[CounterName, Metric] = {
    "events_read_total": Metric("Events read from the stream; an undecodable record counts as one."),
    "events_total": Metric("Events by how they ended; the sum equals events read.", ("shard", "outcome")),
    "dead_letters_total": Metric(
        "Dead letters by reason; the sum equals events dead-lettered.", ("shard", "reason")
    ),
    "transactions_total": Metric("Ledger transactions committed."),
    "states_touched_total": Metric("States asserted, folded or rebuilt after a transaction."),
    "states_rebuilt_total": Metric("States rebuilt from the ledger instead of folded."),
    "projection_retries_total": Metric("Final scripts that met a changed state and were run again."),
    "waits_total": Metric("Waits for a dependency that was away.", ("shard", "dependency")),
    "sweeps_total": Metric("Sweeps of the projection after Redis lost writes."),
    "states_dropped_total": Metric("Stale states removed by sweeps."),
    "checkpoints_total": Metric("KCL checkpoints by result.", ("shard", "result")),
    "daemon_starts_total": Metric("Starts of the KCL daemon by this supervisor.", ()),
    "watchdog_restarts_total": Metric("Restarts of a daemon that lived and did not work.", ("reason",)),
    "leases_given_back_total": Metric("Leases passed on at a stop, before they expired.", ()),
    "leases_removed_total": Metric("Leases of finished shards removed to make room for their children.", ()),
    "leaders_cleared_total": Metric("Leader records removed because they stood still.", ()),
    "reports_cleared_total": Metric("Reports of workers removed because they stood still.", ()),
    "lease_table_failures_total": Metric("Times that KCL's tables did not answer this supervisor.", ()),
}

GAUGES: Mapping[GaugeName, Metric] = {
    "iterator_age_seconds": Metric(
        "How far the shard's last batch was behind the tip of the stream, and how long ago that was if long."
    ),
    "degraded": Metric("1 while a dependency is away and the shard waits or runs without the projection."),
    "halted": Metric("1 once the shard has halted on a flood of poison; a person must look."),
    "shards_held": Metric("Shards whose process was heard within 30 seconds.", ()),
    "daemon_up": Metric("1 while the KCL daemon runs.", ()),
    "lease_table_away": Metric("1 while KCL's tables do not answer this supervisor.", ()),
}

HISTOGRAMS: Mapping[HistogramName, Metric] = {
    "batch_events": Metric("Events in one ledger transaction.", buckets=EVENTS),
    "stage_seconds": Metric("Time of each stage of a batch.", ("shard", "stage"), SECONDS),
    "arrival_to_projected_seconds": Metric(
        "From the oldest record's arrival in the stream to its batch being visible.", buckets=SECONDS
    ),
}
