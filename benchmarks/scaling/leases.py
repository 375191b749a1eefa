"""What KCL and the supervisors read and write in DynamoDB, for so many shards and tasks.

One table holds a row for each shard and is read from end to end by whoever wants to know about all of them:
by the leader once a round, and by every supervisor. The first grows with the shards, the second with shards
times tasks, and both come out of one partition's reads.
"""

from typing import Any, NamedTuple

from worker.kcl.properties import DaemonProperties
from worker.settings import Settings

READ_BYTES, _WRITE_BYTES = 4096, 1024
PARTITION_READS, PARTITION_WRITES = 3_000, 1_000
"""Units a second of one partition; a table of less than 10 GB has one until it is hot."""

_DIGITS = 56
"""Of a sequence number."""

# as KCL 3.1 writes them: what a unit buys counts names and values
_LEASE = {
    "leaseKey": 20,
    "leaseOwner": 32,
    "leaseCounter": 5,
    "ownerSwitchesSinceCheckpoint": 2,
    "checkpoint": _DIGITS,
    "checkpointSubSequenceNumber": 4,
    "startingHashKey": 39,
    "endingHashKey": 39,
    "throughputKBps": 9,
}
_REPORT = {"wid": 32, "lut": 6, "sts": 60, "opr": 30, "sup": 10, "slu": 10}
LEASE_BYTES = sum(len(name) + size for name, size in _LEASE.items())
REPORT_BYTES = sum(len(name) + size for name, size in _REPORT.items())


class Timers(NamedTuple):
    """Seconds between what is done again and again; by default as the product sets them."""

    round: float
    renewal: float
    checkpoint: float
    report: float
    look: float

    @classmethod
    def usual(cls) -> "Timers":
        """Those of a task that was told nothing else."""
        kcl: dict[str, Any] = {
            field.name: field.default for field in DaemonProperties.__dataclass_fields__.values()
        }
        return cls(
            round=kcl["lease_assignment_millis"] / 1000,
            renewal=kcl["failover_millis"] / 3000,
            checkpoint=_setting("checkpoint_seconds"),
            report=kcl["worker_metrics_report_millis"] / 1000,
            look=_setting("look_seconds"),
        )


class Traffic(NamedTuple):
    """Units a second, by who asks and of which table."""

    leader_reads: float
    supervisor_reads: float
    index_reads: float
    report_reads: float
    renewals: float
    checkpoints: float
    reports: float

    @property
    def reads(self) -> float:
        """Of all tables, as they are billed."""
        return self.lease_reads + self.index_reads + self.report_reads

    @property
    def writes(self) -> float:
        """Of all tables."""
        return self.lease_writes + self.reports

    @property
    def lease_reads(self) -> float:
        """Of the table of leases itself."""
        return self.leader_reads + self.supervisor_reads

    @property
    def lease_writes(self) -> float:
        """Of the table of leases; no owner changes, so the index is not written."""
        return self.renewals + self.checkpoints


def traffic(shards: int, tasks: int, timers: Timers | None = None) -> Traffic:
    """Of a fleet at work. KCL's reads are eventually consistent, at half a unit; the supervisors' are not."""
    timers = timers or Timers.usual()
    of_leases, of_reports = (max(1.0, size / READ_BYTES) for size in sizes(shards, tasks))
    return Traffic(
        leader_reads=of_leases / 2 / timers.round,
        supervisor_reads=tasks * of_leases / timers.look,
        # each asks for its own rows twice a round, half a unit for up to 4 KiB of keys
        index_reads=tasks * 2 * 0.5 / timers.round,
        # and the one row of the leader
        report_reads=of_reports / 2 / timers.round + tasks * (of_reports + 1) / timers.look,
        renewals=shards / timers.renewal * _units(LEASE_BYTES),
        checkpoints=shards / timers.checkpoint * _units(LEASE_BYTES),
        reports=tasks / timers.report * _units(REPORT_BYTES),
    )


def sizes(shards: int, tasks: int) -> tuple[int, int]:
    """Bytes of the table of leases and of that of the workers' reports."""
    return shards * LEASE_BYTES, tasks * REPORT_BYTES


def _units(size: int) -> int:
    return -(-size // _WRITE_BYTES)


def _setting(name: str) -> float:
    fields = Settings.__struct_fields__
    default = Settings.__struct_defaults__[fields.index(name) - len(fields)]
    return float(default)
