"""One-off jobs: task definitions without a service, started by hand or on a schedule.

Each has a role of its own with what this job asks for, so that a replay cannot read keys it has no use for
and a retention run cannot write to the stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.cluster import MIGRATE, Cluster, Stores
from deploy.config import EnvConfig, TaskSize
from deploy.files import MOUNT


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, and what it needs beside the ledger.

    Args:
        command: what it runs; arguments are given as an override of the command.
        projection: it reads or writes Redis.
        identity: it makes pseudonyms or opens seals.
        seals: it writes dead letters.
        opens: it reads them.
        produces: it writes to the stream.
        looks: it asks how stream and KCL tables are.
        replays: it reads the stream's past.
        follows: it reads where the workers are in which stream.
        draws: it draws plots, with what only the image of the load test holds.
        size: what it needs, where that is not a worker's size.
    """

    command: tuple[str, ...]
    projection: bool = False
    identity: bool = False
    seals: bool = False
    opens: bool = False
    produces: bool = False
    looks: bool = False
    replays: bool = False
    follows: bool = False
    draws: bool = False
    size: TaskSize | None = None


def _script(name: str, *, size: TaskSize | None = None, **needs: bool) -> Job:
    return Job(command=("python", "-m", f"scripts.{name}"), size=size, **needs)


GENERATOR = TaskSize(cpu=1024, memory=2048)
"""The most that one interpreter uses: a generator that waited for its share of a processor would tell its own
lateness as the system's. What it takes of a core at the promised rate says docs/load-test/report.json."""

FILLER = TaskSize(cpu=2048, memory=4096)
"""A backfill is two processes at work, each with half a window of rows in memory."""

JOBS: Mapping[str, Job] = {
    "migrate": Job(command=("python", "-m", "worker", "migrate")),
    "check": Job(
        command=("python", "-m", "worker", "check"), projection=True, identity=True, seals=True, looks=True
    ),
    # with `--verify` it is the reconciliation of ledger and projection
    "rebuild": _script("rebuild", projection=True),
    "replay": _script("replay", projection=True, identity=True, seals=True, replays=True),
    # straight into the stores, or `--via-stream`
    "backfill": _script("backfill", projection=True, identity=True, seals=True, produces=True, size=FILLER),
    "redrive": _script("redrive", projection=True, identity=True, seals=True, opens=True),
    "retention": _script("retention", projection=True, identity=True),
    "erase": _script("erase", projection=True, identity=True, opens=True),
    "export": _script("export", projection=True, identity=True),
    "epoch": _script("epoch", projection=True, follows=True),
    "rekey": _script("rekey", projection=True, identity=True),
    # puts as a producer does, looks where readers look, proves by the ledger
    "load-test": _script(
        "load_test", projection=True, identity=True, produces=True, draws=True, size=GENERATOR
    ),
}
"""All jobs by name. tests/e2e/hosting.py holds how each is run to compare its calls with its role."""


class Jobs(Construct):
    """The jobs' task definitions, by name."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvConfig, cluster: Cluster, stores: Stores
    ) -> None:
        super().__init__(scope, construct_id)
        self.tasks: dict[str, ecs.FargateTaskDefinition] = {}
        for name, job in JOBS.items():
            task = cluster.task(
                Construct(self, name.capitalize()),
                name,
                size=job.size or config.worker,
                command=job.command,
                # reports and manifests outlive the task, so that the next one goes on from them
                environment={"STATE_DIR": f"{MOUNT}/jobs"},
                # a job is interrupted between two transactions, each of which ends within a flush
                stop=Duration.seconds(config.stop_seconds),
                serves=False,
                reads=[
                    # a migration is given what it enters with
                    *([] if name == MIGRATE else [stores.ledger.owner]),
                    *([stores.projection.secret] if job.projection else []),
                    *([stores.secrets.identity_keys] if job.identity else []),
                ],
                seals=job.seals,
                opens=job.opens,
                draws=job.draws,
            )
            if isinstance(task.task_role, iam.Role):
                if job.produces:
                    stores.stream.allow_producing(task.task_role)
                if job.looks:
                    stores.stream.allow_looking(task.task_role)
                if job.replays:
                    stores.stream.allow_replaying(task.task_role)
                if job.follows:
                    stores.stream.allow_naming(task.task_role)
                    stores.stream.allow_following(task.task_role)
            self.tasks[name] = task
