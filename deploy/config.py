"""What one environment is made of, and the two that are deployed.

What AWS or the design could not carry is refused as it is made, every problem at once.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from deploy import capacity, refusals
from deploy.capacity import JVM_MIB, SHARD_PROCESS_MIB, SUPERVISOR_MIB

REGION = "ap-northeast-1"


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
        image: a ready image as `repository:tag` of this account, instead of one built from this repository;
            the load test's is `repository:tag-load`.
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
        problems = refusals.problems(self)
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
