"""What a worker task's first process is composed of: the supervisor and the daemon that it starts.

It imports neither PostgreSQL nor Redis, which only the shard processes ask.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry

from worker.adapters.kinesis import source_prefix
from worker.adapters.leases import DynamoLeases
from worker.kcl import watchdog, worker_id
from worker.kcl.daemon import JavaCommand, shard_executable
from worker.kcl.fleet import FleetPatience
from worker.kcl.properties import DaemonProperties
from worker.kcl.restart import RestartPolicy
from worker.kcl.supervisor import Supervisor, SupervisorConfig
from worker.product_metrics import WORKER, Minute, told_each_minute
from worker.settings import Settings
from worker.wiring_aws import client, endpoint


def run(settings: Settings, environment: Mapping[str, str]) -> int:
    """PID 1 of a worker task: supervise the KCL daemon until told to stop; its exit code."""
    state_dir = Path(settings.state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    prefix = source_prefix(client(settings, "kinesis"), settings.stream_name)
    with worker_id.claim(
        state_dir, settings.worker_id, environment.get("ECS_CONTAINER_METADATA_URI_V4")
    ) as own:
        config = SupervisorConfig(
            state_dir=state_dir,
            environment={**environment, "SOURCE_PREFIX": prefix},
            health_host=settings.health_host,
            health_port=settings.health_port,
            metrics_port=settings.metrics_port,
            restart=RestartPolicy(settings.crash_limit, settings.crash_window_seconds),
            give_back_seconds=settings.give_back_seconds,
            fleet=FleetPatience(leader=settings.leader_patience_seconds, look=settings.look_seconds),
            watchdog=watchdog.Patience(
                silent=settings.watchdog_silent_seconds,
                stuck=settings.watchdog_stuck_seconds,
                lease=settings.watchdog_lease_seconds,
                leader=2 * settings.leader_patience_seconds,
            ),
        )
        archive = None if settings.java_archive is None else Path(settings.java_archive)
        command = JavaCommand(settings.java_bin or "java", settings.java_heap_mb, archive=archive)
        # a look is worth nothing once the next is due
        leases = DynamoLeases(client(settings, "dynamodb", attempts=2, seconds=2), settings.application_name)
        kinesis = client(settings, "kinesis", attempts=1, seconds=5)
        registry = CollectorRegistry()
        supervisor = Supervisor(
            config,
            properties(settings, own.value),
            command,
            leases,
            registry=registry,
            ask_stream=lambda: source_prefix(kinesis, settings.stream_name),
        )
        minute = Minute(registry, WORKER, settings.application_name, "worker")
        with told_each_minute(minute, time.time, settings.product_metrics_seconds):
            return supervisor.run()


def properties(settings: Settings, own_id: str) -> DaemonProperties:
    """What the KCL daemon of one worker is told."""
    shard = [sys.executable, "-u", "-m", "worker", "shard"]
    emulated = settings.aws_endpoint_url is not None
    return DaemonProperties(
        executable_name=shard_executable(shard, Path(settings.state_dir)),
        application_name=settings.application_name,
        stream_name=settings.stream_name,
        region_name=settings.aws_region,
        worker_id=own_id,
        idle_between_reads_millis=settings.poll_millis,
        max_records=settings.max_records,
        max_leases=settings.max_leases,
        failover_millis=settings.failover_millis,
        lease_assignment_millis=settings.lease_assignment_millis,
        shard_sync_millis=settings.shard_sync_millis,
        shutdown_grace_millis=settings.shutdown_grace_millis,
        # beside an emulator no task has a CPU that it is told of, and on a laptop nobody reads metrics
        disable_worker_metrics=emulated,
        metrics_level="NONE" if emulated and settings.mode == "local" else "SUMMARY",
        kinesis_endpoint=endpoint(settings, "kinesis"),
        dynamodb_endpoint=endpoint(settings, "dynamodb"),
        cloudwatch_endpoint=endpoint(settings, "cloudwatch"),
    )
