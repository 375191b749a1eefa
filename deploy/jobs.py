"""One-off jobs: task definitions without a service, started by hand or on a schedule.

Each has a role of its own with what this job asks for, so that a replay cannot read the dead letters' keys it
has no use for and a retention run cannot write to the stream.
"""

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.cluster import Cluster, Stores
from deploy.config import EnvConfig, TaskSize

_PRODUCING = frozenset(("replay", "redrive"))

COMMANDS = {
    "migrate": ["python", "-m", "worker", "migrate"],
    "reconcile": ["python", "-m", "worker", "reconcile"],
    "replay": ["python", "-m", "scripts.replay"],
    "backfill": ["python", "-m", "scripts.backfill"],
    "redrive": ["python", "-m", "scripts.redrive"],
    "rebuild": ["python", "-m", "scripts.rebuild"],
    "retention": ["python", "-m", "scripts.retention"],
}
"""What each job runs; arguments are given as an override of the command."""


class Jobs(Construct):
    """The jobs' task definitions, by name."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvConfig, cluster: Cluster, stores: Stores
    ) -> None:
        super().__init__(scope, construct_id)
        self.tasks: dict[str, ecs.FargateTaskDefinition] = {}
        for name, command in COMMANDS.items():
            task = cluster.task(
                Construct(self, name.capitalize()),
                name,
                size=TaskSize(cpu=config.worker.cpu, memory=config.worker.memory),
                command=command,
                environment={},
                # a job is interrupted between two transactions, each of which ends within a flush
                stop=Duration.seconds(config.stop_seconds),
                serves=False,
            )
            if name in _PRODUCING and isinstance(task.task_role, iam.Role):
                stores.stream.allow_producing(task.task_role)
            self.tasks[name] = task
