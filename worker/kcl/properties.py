"""The daemon's configuration as types, because the daemon checks none of it.

KCL ignores unknown and mistyped keys without a word, and it skips a primitive value that equals Java's
default (0, false), so that such a line means "KCL's default" and not what it says. Hence the file is rendered
from this dataclass, every key is on the list of keys that the pinned KCL reads, and a value that would be
skipped is an error here. KCL logs each line it reads: nothing in this file is secret.
"""

import dataclasses
from typing import Literal

PRIMITIVE_KEYS = frozenset(
    {
        "callProcessRecordsEvenForEmptyRecordList",
        "dampeningPercentage",
        "failoverTimeMillis",
        "idleTimeBetweenReadsInMillis",
        "inMemoryWorkerMetricsCaptureFrequencyMillis",
        "leaseAssignmentIntervalMillis",
        "maxLeasesForWorker",
        "maxRecords",
        "metricsBufferTimeMillis",
        "parentShardPollIntervalMillis",
        "reBalanceThresholdPercentage",
        "shardSyncIntervalMillis",
        "shutdownGraceMillis",
        "varianceBalancingFrequency",
        "workerMetricsReporterFreqInMillis",
    }
)
"""Accepted keys whose 0 or false KCL skips."""

KEYS = PRIMITIVE_KEYS | {
    "AwsCredentialsProvider",
    "applicationName",
    "cloudWatchClient.endpointOverride",
    "disableWorkerMetrics",
    "dynamoDBEndpoint",
    "executableName",
    "gracefulLeaseHandoffTimeoutMillis",
    "initialPositionInStream",
    "isGracefulLeaseHandoffEnabled",
    "kinesisEndpoint",
    "leaseTableDeletionProtectionEnabled",
    "leaseTablePitrEnabled",
    "logWarningForTaskAfterMillis",
    "metricsLevel",
    "regionName",
    "retrievalMode",
    "streamName",
    "tableName",
    "workerId",
}
"""Keys that KCL 3.1.3 reads; a test finds each of them in the installed jars."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DaemonProperties:
    """What the daemon is told; times in milliseconds.

    In every round of assignments, one a second, the leader scans KCL's two tables of leases and reports once
    each, and every worker queries its leases about twice. That is what a shorter interval costs in DynamoDB.

    The defaults move the shards of a killed worker in 13 to 19 seconds and keep 4 reads a second and shard,
    within the service's limit of 5. There is no `timeoutInSeconds`: a shard that waits out an outage may be
    silent towards KCL for minutes, and KCL's answer to the timeout is to halt every shard of the task.

    Args:
        executable_name: the command of a shard process; KCL splits it on spaces and knows no quotes.
        application_name: the lease table and the prefix of its two sisters.
        worker_metrics_capture_millis: how often KCL looks how busy the task is. Its first report comes after
            two of these, and no worker without one is given a lease; in less than half an assignment interval
            the leader's second round has it, a second sooner than with KCL's own 1,000.
        worker_id: must be unique among live workers and stable across restarts of this one.
        shutdown_grace_millis: how long KCL lets children finish at SIGTERM; without it there is no grace.
    """

    executable_name: str
    application_name: str
    stream_name: str
    region_name: str
    worker_id: str

    retrieval_mode: Literal["POLLING", "FANOUT"] = "POLLING"
    idle_between_reads_millis: int = 250
    max_records: int = 1_000
    max_leases: int = 4

    failover_millis: int = 10_000
    lease_assignment_millis: int = 1_000
    lease_handoff_timeout_millis: int = 30_000
    shard_sync_millis: int = 5_000
    parent_shard_poll_millis: int = 2_000
    worker_metrics_report_millis: int = 5_000
    worker_metrics_capture_millis: int = 400
    disable_worker_metrics: bool = False
    # KCL's 10 % and 3 rounds move leases of an idle fleet back and forth on noise
    rebalance_threshold_percent: int = 50
    variance_balancing_rounds: int = 30

    shutdown_grace_millis: int = 45_000
    warn_task_after_millis: int = 10_000
    metrics_level: Literal["NONE", "SUMMARY", "DETAILED"] = "SUMMARY"

    kinesis_endpoint: str | None = None
    dynamodb_endpoint: str | None = None
    cloudwatch_endpoint: str | None = None


def render(properties: DaemonProperties) -> str:
    """The text of the .properties file, ASCII only.

    Raises:
        ValueError: a value that KCL would skip in silence.
    """
    lines = []
    for key, value in _entries(properties).items():
        if value is None:
            continue
        if key in PRIMITIVE_KEYS and not value:
            raise ValueError(f"{key} = {value}: KCL skips it and takes its own default")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{key} = {_escaped(text)}\n")
    return "".join(lines)


def _entries(p: DaemonProperties) -> dict[str, str | int | None]:
    return {
        "executableName": p.executable_name,
        "applicationName": p.application_name,
        "streamName": p.stream_name,
        "regionName": p.region_name,
        "workerId": p.worker_id,
        "AwsCredentialsProvider": "DefaultCredentialsProvider",
        "kinesisEndpoint": p.kinesis_endpoint,
        "dynamoDBEndpoint": p.dynamodb_endpoint,
        "cloudWatchClient.endpointOverride": p.cloudwatch_endpoint,
        "initialPositionInStream": "TRIM_HORIZON",
        "retrievalMode": p.retrieval_mode,
        "idleTimeBetweenReadsInMillis": p.idle_between_reads_millis,
        "maxRecords": p.max_records,
        # the clock of a quiet shard: checkpoints and heartbeats ride on empty batches
        "callProcessRecordsEvenForEmptyRecordList": True,
        "maxLeasesForWorker": p.max_leases,
        "failoverTimeMillis": p.failover_millis,
        "leaseAssignmentIntervalMillis": p.lease_assignment_millis,
        "gracefulLeaseHandoffTimeoutMillis": p.lease_handoff_timeout_millis,
        "shardSyncIntervalMillis": p.shard_sync_millis,
        "parentShardPollIntervalMillis": p.parent_shard_poll_millis,
        "workerMetricsReporterFreqInMillis": p.worker_metrics_report_millis,
        "inMemoryWorkerMetricsCaptureFrequencyMillis": p.worker_metrics_capture_millis,
        "disableWorkerMetrics": p.disable_worker_metrics,
        "reBalanceThresholdPercentage": p.rebalance_threshold_percent,
        "varianceBalancingFrequency": p.variance_balancing_rounds,
        "shutdownGraceMillis": p.shutdown_grace_millis,
        "logWarningForTaskAfterMillis": p.warn_task_after_millis,
        "metricsLevel": p.metrics_level,
        "leaseTablePitrEnabled": False,
    }


def _escaped(value: str) -> str:
    """A value as java.util.Properties reads it back: Latin-1 file, UTF-16 escapes, leading blanks kept."""
    text = value.replace("\\", "\\\\")
    if text.startswith(" "):
        text = "\\" + text
    return "".join(char if " " <= char <= "~" else _utf16(char) for char in text)


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
