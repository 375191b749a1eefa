"""What AWS or the design could not carry of an environment, each with what to do about it.

A wrong figure found at synth costs a second; the same figure found by CloudFormation costs half an hour and a
rollback, and found by the load it was meant for costs an incident.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from deploy import capacity
from deploy.capacity import PLANNED_SHARE

if TYPE_CHECKING:
    from deploy.config import EnvConfig

LEAVE_SECONDS, SUPERVISOR_MARGIN_SECONDS, GIVE_BACK_SECONDS = 2, 15, 5
"""What a stop takes beside KCL's own grace: children leave, the daemon is awaited, leases passed on."""

FARGATE_STOP_LIMIT_SECONDS = 120

FARGATE_MEMORY: dict[int, frozenset[int]] = {
    256: frozenset((512, 1024, 2048)),
    512: frozenset(range(1024, 4096 + 1, 1024)),
    1024: frozenset(range(2048, 8192 + 1, 1024)),
    2048: frozenset(range(4096, 16384 + 1, 1024)),
    4096: frozenset(range(8192, 30720 + 1, 1024)),
    8192: frozenset(range(16384, 61440 + 1, 4096)),
    16384: frozenset(range(32768, 122880 + 1, 8192)),
}
"""The CPU units that Fargate sells and the memory, in MiB, it sells with each."""

LOG_DAYS = frozenset((1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731))

_SUFFIX = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,15}")
_ROLE_ARN = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+")
_CERTIFICATE_ARN = re.compile(r"arn:aws:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+")
_TASKS_LEAST = 2
_SCHOOL_YEAR_DAYS = 366


def problems(env: "EnvConfig") -> list[str]:
    """Everything that is wrong with an environment, for people to read; empty when it can be deployed."""
    looks = (_names, _network, _stream, _tasks, _stores, _retention, _edge)
    return [problem for look in looks for problem in look(env)]


def _names(env: "EnvConfig") -> Iterator[str]:
    if not _SUFFIX.fullmatch(env.suffix):
        yield (
            f"suffix {env.suffix!r}: 1 to 16 lower-case letters, digits and single hyphens, beginning "
            "with a letter; a load balancer's name holds 32 characters and must not end in a hyphen"
        )
    if env.account is not None and not re.fullmatch(r"\d{12}", env.account):
        yield f"account {env.account!r}: an AWS account is 12 digits"


def _network(env: "EnvConfig") -> Iterator[str]:
    if len(set(env.zones)) != len(env.zones):
        yield f"zones {env.zones}: state must stand in two different availability zones"
    if any(not zone.startswith(env.region) for zone in env.zones):
        yield f"zones {env.zones}: not all of them are in {env.region}"
    try:
        vpc = IPv4Network(env.vpc_cidr)
        subnets = [IPv4Network(cidr) for cidr in (*env.public_cidrs, *env.private_cidrs)]
    except ValueError as error:
        yield f"a CIDR is none: {error}"
        return
    for subnet in subnets:
        if not subnet.subnet_of(vpc):
            yield f"subnet {subnet} is not inside {vpc}"
        if any(subnet.overlaps(other) for other in subnets if other is not subnet):
            yield f"subnet {subnet} overlaps another one"
    if env.egress == "nat" and env.nat_gateways not in (1, 2):
        yield f"nat_gateways {env.nat_gateways}: 1, or 2 for one in each zone"
    if env.prod and env.egress == "nat" and env.nat_gateways != len(env.zones):
        yield "one NAT gateway in prod: its zone's failure would cut off the other zone's tasks; take 2"


def _stream(env: "EnvConfig") -> Iterator[str]:
    if not 1 <= env.shards <= 200:
        yield f"shards {env.shards}: from 1 to 200"
    if env.events_per_record < 1 or env.event_bytes < 1 or env.target_events_per_second < 1:
        yield "target_events_per_second, events_per_record and event_bytes are counts: at least 1 each"
    elif env.target_events_per_second > env.planned_events_per_second:
        needed = capacity.shards_for(env.target_events_per_second, env.events_per_record, env.event_bytes)
        yield (
            f"{env.target_events_per_second} events a second are more than {env.shards} shards carry: "
            f"{env.planned_events_per_second} at {env.events_per_record} events a record of "
            f"{env.event_bytes} bytes each, with {1 - PLANNED_SHARE:.0%} to spare; take {needed} shards "
            "or more events a record"
        )
    if not 24 <= env.stream_retention_hours <= 8_760:
        yield f"stream_retention_hours {env.stream_retention_hours}: from 24 to 8,760"


def _tasks(env: "EnvConfig") -> Iterator[str]:
    for name, size in (("worker", env.worker), ("api", env.api)):
        if size.memory not in FARGATE_MEMORY.get(size.cpu, ()):
            yield f"{name} {size.cpu} CPU / {size.memory} MiB: Fargate does not sell this pair"
    if env.min_tasks < _TASKS_LEAST:
        yield f"min_tasks {env.min_tasks}: fewer than 2 tasks do not outlive a zone"
    if env.max_worker_tasks > env.shards:
        yield (
            f"max_worker_tasks {env.max_worker_tasks}: a shard is read by one task, so more tasks than "
            f"the {env.shards} shards have nothing to do"
        )
    if env.max_worker_tasks < env.min_tasks or env.max_api_tasks < env.min_tasks:
        yield f"max_worker_tasks and max_api_tasks must not be under min_tasks, {env.min_tasks}"
    if (env.min_tasks - 1) * env.max_leases < env.shards:
        yield (
            f"max_leases {env.max_leases}: with one of {env.min_tasks} tasks gone the others take "
            f"{(env.min_tasks - 1) * env.max_leases} of {env.shards} shards, and nobody reads the rest"
        )
    if env.worker_memory_needed > env.worker.memory:
        yield (
            f"worker {env.worker.memory} MiB: the daemon and {env.max_leases} shard processes need "
            f"{env.worker_memory_needed}"
        )
    carried = env.max_worker_tasks * env.worker.cpu / 1024 * PLANNED_SHARE
    if (cores := capacity.worker_cores(env.target_events_per_second)) > carried:
        yield (
            f"max_worker_tasks {env.max_worker_tasks} of {env.worker.cpu} CPU units: "
            f"{env.target_events_per_second} events a second take {cores:.2f} cores, planned are "
            f"{carried:.2f}"
        )
    if env.grace_seconds <= env.longest_flush_seconds:
        yield (
            f"grace_seconds {env.grace_seconds}: KCL would end a shard process during a flush, which "
            f"may take {env.longest_flush_seconds}"
        )
    least = env.grace_seconds + LEAVE_SECONDS + SUPERVISOR_MARGIN_SECONDS + GIVE_BACK_SECONDS
    if not least < env.stop_seconds <= FARGATE_STOP_LIMIT_SECONDS:
        yield (
            f"stop_seconds {env.stop_seconds}: more than {least}, which the daemon's grace and the "
            f"return of its leases take, and at most Fargate's {FARGATE_STOP_LIMIT_SECONDS}"
        )


def _stores(env: "EnvConfig") -> Iterator[str]:
    if not re.fullmatch(r"16\.\d+", env.aurora_version):
        yield f"aurora_version {env.aurora_version}: the ledger is tested on PostgreSQL 16 alone"
    for acu in (env.aurora_min_acu, env.aurora_max_acu):
        if not 0.5 <= acu <= 256 or acu * 2 % 1:
            yield f"{acu} ACU: from 0.5 to 256, in halves"
    if env.aurora_max_acu < max(1, env.aurora_min_acu):
        yield f"aurora_max_acu {env.aurora_max_acu}: at least 1, and not under aurora_min_acu"
    if (needed := capacity.acu_for(env.target_events_per_second)) > env.aurora_max_acu:
        yield (
            f"aurora_max_acu {env.aurora_max_acu}: {env.target_events_per_second} events a second need "
            f"{needed:g}"
        )
    takes = capacity.redis_takes(env.redis_node)
    if takes is not None and (size := capacity.redis_bytes(env.states)) > takes:
        yield (
            f"redis_node {env.redis_node}: it takes {takes / 1e6:,.0f} MB, {env.states:,} states need "
            f"{size / 1e6:,.0f}; take {capacity.redis_node_for(env.states) or 'none, split by school'}"
        )
    if not 1 <= env.backup_days <= 35:
        yield f"backup_days {env.backup_days}: from 1 to 35"
    if env.redis_nodes < _TASKS_LEAST:
        yield f"redis_nodes {env.redis_nodes}: automatic failover needs a replica, so at least 2"
    if env.log_days not in LOG_DAYS:
        yield f"log_days {env.log_days}: CloudWatch keeps logs for {sorted(LOG_DAYS)} days"
    if not 1 <= env.rotation_days <= 30:
        yield f"rotation_days {env.rotation_days}: from 1 to the promised 30"
    if not 7 <= env.key_deletion_days <= 30:
        yield f"key_deletion_days {env.key_deletion_days}: from 7 to 30"


def _retention(env: "EnvConfig") -> Iterator[str]:
    if env.retention_days is not None and env.retention_days < _SCHOOL_YEAR_DAYS:
        yield (
            f"retention_days {env.retention_days}: it would drop scores of the running school year for "
            f"good; at least {_SCHOOL_YEAR_DAYS}"
        )
    if not 0 <= env.retention_hour <= 23:
        yield f"retention_hour {env.retention_hour}: an hour of the day in UTC, from 0 to 23"


def _edge(env: "EnvConfig") -> Iterator[str]:
    if not 1 <= env.throttle_rate <= 10_000 or not 1 <= env.throttle_burst <= 5_000:
        yield "throttle_rate, throttle_burst: API Gateway's quotas are 10,000 a second, 5,000 at once"
    if (env.certificate_arn is None) != (env.internal_domain is None):
        yield "certificate_arn and internal_domain: a certificate is checked against its name, give both"
    if env.certificate_arn is not None and not _CERTIFICATE_ARN.fullmatch(env.certificate_arn):
        yield f"certificate_arn {env.certificate_arn!r} is not the ARN of an ACM certificate"
    if env.certificate_arn is None and (env.prod or env.public_load_balancer):
        yield (
            "certificate_arn is missing: student data would travel in the clear between the gateway and "
            "the load balancer"
        )
    for producer in env.producers:
        if not _ROLE_ARN.fullmatch(producer.role_arn):
            yield f"producer {producer.role_arn!r} is not the ARN of an IAM role"
    if len({producer.role_arn for producer in env.producers}) != len(env.producers):
        yield "a producer's role is bound twice"
    if env.alarm_email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", env.alarm_email):
        yield f"alarm_email {env.alarm_email!r} is not an address"
