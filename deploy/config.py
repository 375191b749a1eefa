"""What one environment is made of, refused here when AWS or the design could not carry it.

A wrong figure found at synth costs a second; the same figure found by CloudFormation costs half an hour and a
rollback, and found by the load it was meant for costs an incident. Every problem is reported at once.
"""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from deploy import capacity
from deploy.capacity import JVM_MIB, PLANNED_SHARE, SHARD_PROCESS_MIB, SUPERVISOR_MIB

REGION = "ap-northeast-1"

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


class ConfigError(ValueError):
    """Choices that cannot be deployed; the message lists every one of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("this environment cannot be deployed:\n" + "\n".join(f"  {p}" for p in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class TaskSize:
    """What Fargate sells as one task: CPU units and MiB."""

    cpu: int = 512
    memory: int = 1024


@dataclass(frozen=True, kw_only=True)
class Producer:
    """A role that may send events, and what it may send."""

    role_arn: str
    realm: str
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """One environment.

    Args:
        suffix: ends every name: `edu-analytics-stream-{suffix}`.
        stage: `prod` retains and protects what holds state.
        target_events_per_second: the rate that the environment is promised to carry.
        events_per_record: events in a record at that rate; producers that send single records give 1.
        event_bytes: what one event adds to a record. 63 is measured in full envelopes; the small ones of a
            short linger compress worse, so the default is three times that.
        states: rolling states that Redis holds: students times their courses.
        stop_seconds: ECS kills a task this long after SIGTERM.
        grace_seconds: KCL gives its shard processes this long to flush and check point.
        longest_flush_seconds: how long a flush waits for Redis before it goes on without.
        egress: how private tasks reach AWS: NAT gateways, or interface endpoints and no internet at all.
        kinesis_endpoint: the stream's traffic by an interface endpoint although there is a NAT, which would
            bill every byte of it.
        retention_days: attempts older than that are dropped every night, and refused when they come again;
            None drops only what has an end of its own, such as dead letters.
        retention_hour: of the day, in UTC, at which that is done.
        certificate_arn: TLS between the gateway and the load balancer; the name must be `internal_domain`.
        api_account_role: let this stack set the role by which API Gateway writes logs, one for the whole
            account and region.
        image: a ready image as `repository:tag` of this account, instead of one built from this repository.
        producers: who may send events through the gateway.
    """

    suffix: str
    stage: Literal["dev", "prod"] = "dev"
    account: str | None = None
    region: str = REGION

    vpc_cidr: str = "10.0.0.0/16"
    zones: tuple[str, str] = ("ap-northeast-1a", "ap-northeast-1c")
    public_cidrs: tuple[str, str] = ("10.0.1.0/24", "10.0.2.0/24")
    private_cidrs: tuple[str, str] = ("10.0.11.0/24", "10.0.12.0/24")
    egress: Literal["nat", "endpoints"] = "nat"
    nat_gateways: int = 1
    kinesis_endpoint: bool = False

    shards: int = 2
    stream_retention_hours: int = 24
    target_events_per_second: int = 5_000
    events_per_record: int = 20
    event_bytes: int = 200
    states: int = 200_000

    worker: TaskSize = TaskSize()
    api: TaskSize = TaskSize()
    min_tasks: int = 2
    max_worker_tasks: int = 2
    max_api_tasks: int = 4
    max_leases: int = 4
    stop_seconds: int = 90
    grace_seconds: int = 45
    longest_flush_seconds: int = 30
    architecture: Literal["ARM64", "X86_64"] = "ARM64"
    image: str | None = None

    aurora_version: str = "16.13"
    aurora_min_acu: float = 0.5
    aurora_max_acu: float = 2
    backup_days: int = 1
    redis_version: str = "7.1"
    redis_node: str = "cache.t4g.micro"
    redis_nodes: int = 2
    redis_snapshot_days: int = 1

    log_days: int = 7
    rotation_days: int = 30
    key_deletion_days: int = 10
    retention_days: int | None = None
    retention_hour: int = 17

    throttle_rate: int = 5_000
    throttle_burst: int = 5_000
    public_load_balancer: bool = False
    certificate_arn: str | None = None
    internal_domain: str | None = None
    api_account_role: bool = True
    serve_page: bool = True
    producers: tuple[Producer, ...] = ()
    realm: str = "default"
    alarm_email: str | None = None

    def __post_init__(self) -> None:
        problems = [
            *self._wrong_names(),
            *self._wrong_network(),
            *self._wrong_stream(),
            *self._wrong_tasks(),
            *self._wrong_stores(),
            *self._wrong_retention(),
            *self._wrong_edge(),
        ]
        if problems:
            raise ConfigError(problems)

    @property
    def prod(self) -> bool:
        """Whether state is retained and protected."""
        return self.stage == "prod"

    @property
    def stream_name(self) -> str:
        """The stream's name."""
        return f"edu-analytics-stream-{self.suffix}"

    @property
    def application_name(self) -> str:
        """The KCL application: the lease table's name and the namespace of its metrics."""
        return f"edu-analytics-{self.suffix}"

    @property
    def shard_events_per_second(self) -> int:
        """What one shard takes, by whichever of its two limits is reached first."""
        return capacity.shard_events(self.events_per_record, self.event_bytes)

    @property
    def planned_events_per_second(self) -> int:
        """What the shards may be asked for."""
        return capacity.planned_events(self.shards, self.events_per_record, self.event_bytes)

    @property
    def worker_memory_needed(self) -> int:
        """MiB of a worker task that holds as many leases as it may."""
        return JVM_MIB + SUPERVISOR_MIB + SHARD_PROCESS_MIB * self.max_leases

    def _wrong_names(self) -> Iterator[str]:
        if not _SUFFIX.fullmatch(self.suffix):
            yield (
                f"suffix {self.suffix!r}: 1 to 16 lower-case letters, digits and single hyphens, beginning "
                "with a letter; a load balancer's name holds 32 characters and must not end in a hyphen"
            )
        if self.account is not None and not re.fullmatch(r"\d{12}", self.account):
            yield f"account {self.account!r}: an AWS account is 12 digits"

    def _wrong_network(self) -> Iterator[str]:
        if len(set(self.zones)) != len(self.zones):
            yield f"zones {self.zones}: state must stand in two different availability zones"
        if any(not zone.startswith(self.region) for zone in self.zones):
            yield f"zones {self.zones}: not all of them are in {self.region}"
        try:
            vpc = IPv4Network(self.vpc_cidr)
            subnets = [IPv4Network(cidr) for cidr in (*self.public_cidrs, *self.private_cidrs)]
        except ValueError as error:
            yield f"a CIDR is none: {error}"
            return
        for subnet in subnets:
            if not subnet.subnet_of(vpc):
                yield f"subnet {subnet} is not inside {vpc}"
            if any(subnet.overlaps(other) for other in subnets if other is not subnet):
                yield f"subnet {subnet} overlaps another one"
        if self.egress == "nat" and self.nat_gateways not in (1, 2):
            yield f"nat_gateways {self.nat_gateways}: 1, or 2 for one in each zone"
        if self.prod and self.egress == "nat" and self.nat_gateways != len(self.zones):
            yield "one NAT gateway in prod: its zone's failure would cut off the other zone's tasks; take 2"

    def _wrong_stream(self) -> Iterator[str]:
        if not 1 <= self.shards <= 200:
            yield f"shards {self.shards}: from 1 to 200"
        if self.events_per_record < 1 or self.event_bytes < 1 or self.target_events_per_second < 1:
            yield "target_events_per_second, events_per_record and event_bytes are counts: at least 1 each"
        elif self.target_events_per_second > self.planned_events_per_second:
            needed = capacity.shards_for(
                self.target_events_per_second, self.events_per_record, self.event_bytes
            )
            yield (
                f"{self.target_events_per_second} events a second are more than {self.shards} shards carry: "
                f"{self.planned_events_per_second} at {self.events_per_record} events a record of "
                f"{self.event_bytes} bytes each, with {1 - PLANNED_SHARE:.0%} to spare; take {needed} shards "
                "or more events a record"
            )
        if not 24 <= self.stream_retention_hours <= 8_760:
            yield f"stream_retention_hours {self.stream_retention_hours}: from 24 to 8,760"

    def _wrong_tasks(self) -> Iterator[str]:
        for name, size in (("worker", self.worker), ("api", self.api)):
            if size.memory not in FARGATE_MEMORY.get(size.cpu, ()):
                yield f"{name} {size.cpu} CPU / {size.memory} MiB: Fargate does not sell this pair"
        if self.min_tasks < _TASKS_LEAST:
            yield f"min_tasks {self.min_tasks}: fewer than 2 tasks do not outlive a zone"
        if self.max_worker_tasks > self.shards:
            yield (
                f"max_worker_tasks {self.max_worker_tasks}: a shard is read by one task, so more tasks than "
                f"the {self.shards} shards have nothing to do"
            )
        if self.max_worker_tasks < self.min_tasks or self.max_api_tasks < self.min_tasks:
            yield f"max_worker_tasks and max_api_tasks must not be under min_tasks, {self.min_tasks}"
        if (self.min_tasks - 1) * self.max_leases < self.shards:
            yield (
                f"max_leases {self.max_leases}: with one of {self.min_tasks} tasks gone the others take "
                f"{(self.min_tasks - 1) * self.max_leases} of {self.shards} shards, and nobody reads the rest"
            )
        if self.worker_memory_needed > self.worker.memory:
            yield (
                f"worker {self.worker.memory} MiB: the daemon and {self.max_leases} shard processes need "
                f"{self.worker_memory_needed}"
            )
        carried = self.max_worker_tasks * self.worker.cpu / 1024 * PLANNED_SHARE
        if (cores := capacity.worker_cores(self.target_events_per_second)) > carried:
            yield (
                f"max_worker_tasks {self.max_worker_tasks} of {self.worker.cpu} CPU units: "
                f"{self.target_events_per_second} events a second take {cores:.2f} cores, planned are "
                f"{carried:.2f}"
            )
        if self.grace_seconds <= self.longest_flush_seconds:
            yield (
                f"grace_seconds {self.grace_seconds}: KCL would end a shard process during a flush, which "
                f"may take {self.longest_flush_seconds}"
            )
        least = self.grace_seconds + LEAVE_SECONDS + SUPERVISOR_MARGIN_SECONDS + GIVE_BACK_SECONDS
        if not least < self.stop_seconds <= FARGATE_STOP_LIMIT_SECONDS:
            yield (
                f"stop_seconds {self.stop_seconds}: more than {least}, which the daemon's grace and the "
                f"return of its leases take, and at most Fargate's {FARGATE_STOP_LIMIT_SECONDS}"
            )

    def _wrong_stores(self) -> Iterator[str]:
        if not re.fullmatch(r"16\.\d+", self.aurora_version):
            yield f"aurora_version {self.aurora_version}: the ledger is tested on PostgreSQL 16 alone"
        for acu in (self.aurora_min_acu, self.aurora_max_acu):
            if not 0.5 <= acu <= 256 or acu * 2 % 1:
                yield f"{acu} ACU: from 0.5 to 256, in halves"
        if self.aurora_max_acu < max(1, self.aurora_min_acu):
            yield f"aurora_max_acu {self.aurora_max_acu}: at least 1, and not under aurora_min_acu"
        if (needed := capacity.acu_for(self.target_events_per_second)) > self.aurora_max_acu:
            yield (
                f"aurora_max_acu {self.aurora_max_acu}: {self.target_events_per_second} events a second need "
                f"{needed:g}"
            )
        takes = capacity.redis_takes(self.redis_node)
        if takes is not None and (size := capacity.redis_bytes(self.states)) > takes:
            yield (
                f"redis_node {self.redis_node}: it takes {takes / 1e6:,.0f} MB, {self.states:,} states need "
                f"{size / 1e6:,.0f}; take {capacity.redis_node_for(self.states) or 'none, split by school'}"
            )
        if not 1 <= self.backup_days <= 35:
            yield f"backup_days {self.backup_days}: from 1 to 35"
        if self.redis_nodes < _TASKS_LEAST:
            yield f"redis_nodes {self.redis_nodes}: automatic failover needs a replica, so at least 2"
        if self.log_days not in LOG_DAYS:
            yield f"log_days {self.log_days}: CloudWatch keeps logs for {sorted(LOG_DAYS)} days"
        if not 1 <= self.rotation_days <= 30:
            yield f"rotation_days {self.rotation_days}: from 1 to the promised 30"
        if not 7 <= self.key_deletion_days <= 30:
            yield f"key_deletion_days {self.key_deletion_days}: from 7 to 30"

    def _wrong_retention(self) -> Iterator[str]:
        if self.retention_days is not None and self.retention_days < _SCHOOL_YEAR_DAYS:
            yield (
                f"retention_days {self.retention_days}: it would drop scores of the running school year for "
                f"good; at least {_SCHOOL_YEAR_DAYS}"
            )
        if not 0 <= self.retention_hour <= 23:
            yield f"retention_hour {self.retention_hour}: an hour of the day in UTC, from 0 to 23"

    def _wrong_edge(self) -> Iterator[str]:
        if not 1 <= self.throttle_rate <= 10_000 or not 1 <= self.throttle_burst <= 5_000:
            yield "throttle_rate, throttle_burst: API Gateway's quotas are 10,000 a second, 5,000 at once"
        if (self.certificate_arn is None) != (self.internal_domain is None):
            yield "certificate_arn and internal_domain: a certificate is checked against its name, give both"
        if self.certificate_arn is not None and not _CERTIFICATE_ARN.fullmatch(self.certificate_arn):
            yield f"certificate_arn {self.certificate_arn!r} is not the ARN of an ACM certificate"
        if self.certificate_arn is None and (self.prod or self.public_load_balancer):
            yield (
                "certificate_arn is missing: student data would travel in the clear between the gateway and "
                "the load balancer"
            )
        for producer in self.producers:
            if not _ROLE_ARN.fullmatch(producer.role_arn):
                yield f"producer {producer.role_arn!r} is not the ARN of an IAM role"
        if len({producer.role_arn for producer in self.producers}) != len(self.producers):
            yield "a producer's role is bound twice"
        if self.alarm_email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", self.alarm_email):
            yield f"alarm_email {self.alarm_email!r} is not an address"


def dev(suffix: str = "dev", **changes: object) -> EnvConfig:
    """The brief's sizes, which are the least that keep every promise, and nothing kept after a teardown."""
    return _environment({"suffix": suffix, **changes})


def prod(suffix: str = "prod", **changes: object) -> EnvConfig:
    """Room to scale out, a NAT gateway in each zone, and state that outlives the stack."""
    return _environment(
        {
            "suffix": suffix,
            "stage": "prod",
            "nat_gateways": 2,
            "kinesis_endpoint": True,
            # the promised rate fits in two; four leave the autoscaling two more tasks to start
            "shards": 4,
            "max_worker_tasks": 4,
            "max_api_tasks": 8,
            "stream_retention_hours": 7 * 24,
            "aurora_max_acu": 16,
            "backup_days": 35,
            "redis_node": "cache.t4g.medium",
            "redis_snapshot_days": 15,
            **changes,
        }
    )


def _environment(choices: dict[str, object]) -> EnvConfig:
    known = {field.name for field in dataclasses.fields(EnvConfig)}
    if unknown := sorted(set(choices) - known):
        raise ConfigError([f"{name} is not a setting of an environment" for name in unknown])
    return EnvConfig(**choices)  # type: ignore[arg-type]  # names are checked above, values by EnvConfig
