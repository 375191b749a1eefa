"""The cluster, and what all tasks have in common: image, logs, roles, mounts, settings.

A task's root file system is read-only and it runs as a user without rights; it writes to /tmp and the shared
files alone. Secrets are passed by name and read at each connect: what ECS itself injects is frozen at the
start of a task, and a rotation would then break every running one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Duration, IgnoreMode, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig, TaskSize
from deploy.files import MOUNT, Files
from deploy.image import LOAD
from deploy.ledger import Ledger
from deploy.network import SERVICE_PORT, Network
from deploy.projection import Projection
from deploy.secrets import Secrets
from deploy.security import Security
from deploy.stream import Stream

CERTIFICATES = "/usr/local/share/aws/rds-global-bundle.pem"
"""Where the image keeps the authorities that sign Aurora's certificates."""

METRICS_PORT = 9102
"""Prometheus; no security group opens it and no route leads to it."""

MIGRATE = "migrate"
"""The container that brings the schema up to date, before each service and as a job."""

_SOURCE = Path(__file__).parent.parent
_USER = "1000:1000"
_PROBE = (
    f"import urllib.request as request; request.urlopen('http://127.0.0.1:{SERVICE_PORT}/healthz', timeout=4)"
)
HEALTH_CHECK = ecs.HealthCheck(
    command=["CMD", "python", "-c", _PROBE],
    # three misses are 45 s, which leaves four of the five promised minutes to the replacement
    interval=Duration.seconds(15),
    timeout=Duration.seconds(5),
    retries=3,
    # half a CPU starts a Java machine slowly
    start_period=Duration.seconds(90),
)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What a process reads and writes."""

    stream: Stream
    ledger: Ledger
    projection: Projection
    files: Files
    secrets: Secrets

    @property
    def everyday(self) -> list[secretsmanager.ISecret]:
        """The secrets of whoever turns events into scores, or scores into answers."""
        return [self.ledger.application, self.projection.secret, self.secrets.identity_keys]


class Cluster(Construct):
    """The ECS cluster and a maker of task definitions.

    Attributes:
        logs: of all tasks, `/ecs/edu-analytics-{suffix}`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        security: Security,
        stores: Stores,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._security = security
        self._stores = stores
        self.logs = security.log_group(self, "Logs", f"/ecs/edu-analytics-{config.suffix}")
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=f"edu-ecs-cluster-{config.suffix}",
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        self._image = self._container_image("Image")
        # what a service pulls at each start holds no plots
        self._load_image = self._container_image("LoadImage", LOAD)

    def task(
        self,
        scope: Construct,
        name: str,
        *,
        size: TaskSize,
        command: Sequence[str],
        environment: Mapping[str, str],
        stop: Duration,
        serves: bool,
        reads: Sequence[secretsmanager.ISecret],
        seals: bool = False,
        opens: bool = False,
        draws: bool = False,
    ) -> ecs.FargateTaskDefinition:
        """A task definition with roles of its own.

        Args:
            scope: the construct that the task belongs to.
            name: of the process.
            size: what Fargate is asked for.
            command: what the container runs.
            environment: its settings beside those that all have.
            stop: how long after SIGTERM it is killed.
            serves: it goes on until it is stopped and answers on 8080; migrations run before it starts.
            reads: the secrets that it reads, at each connect.
            seals: it writes dead letters, each under a data key of ours.
            opens: it reads them.
            draws: it draws plots, with what only the image of the load test holds.
        """
        definition = ecs.FargateTaskDefinition(
            scope,
            "Task",
            family=f"edu-analytics-{name}-{self._config.suffix}",
            cpu=size.cpu,
            memory_limit_mib=size.memory,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64
                if self._config.architecture == "ARM64"
                else ecs.CpuArchitecture.X86_64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            execution_role=self._role(scope, "ExecutionRole", f"Starts the {name}: image and logs"),
            task_role=self._role(scope, "TaskRole", f"The {name} itself"),
            volumes=[self._shared_files(), ecs.Volume(name="tmp")],
        )
        main = self._container(
            definition,
            name,
            image=self._load_image if draws else self._image,
            command=command,
            environment=environment,
            stop=stop,
            cpu=size.cpu,
            serves=serves,
            secrets=self._for_migrations() if name == MIGRATE else {},
        )
        if serves:
            first = self._container(
                definition,
                MIGRATE,
                image=self._image,
                command=["python", "-m", "worker", "migrate"],
                environment={},
                stop=stop,
                cpu=None,
                serves=False,
                essential=False,
                secrets=self._for_migrations(),
            )
            # the new version never meets the old schema; two tasks that do it at once wait for each other
            main.add_container_dependencies(
                ecs.ContainerDependency(container=first, condition=ecs.ContainerDependencyCondition.SUCCESS)
            )
        self._allow(definition, reads, seals=seals, opens=opens)
        return definition

    def _database_secret(self, serves: bool) -> secretsmanager.ISecret:
        """The user that serves may delete nothing; a job is an operator's act and may need more."""
        ledger = self._stores.ledger
        return ledger.application if serves else ledger.owner

    def _for_migrations(self) -> dict[str, ecs.Secret]:
        """What a migration enters with, given by ECS: it lives for seconds, so nothing rotates meanwhile.

        The task's role, which the serving container shares, cannot read the owner's secret.
        """
        ledger = self._stores.ledger
        return {
            "OWNER_SECRET": ecs.Secret.from_secrets_manager(ledger.owner),
            "APPLICATION_SECRET": ecs.Secret.from_secrets_manager(ledger.application),
        }

    def _allow(
        self,
        definition: ecs.FargateTaskDefinition,
        reads: Sequence[secretsmanager.ISecret],
        *,
        seals: bool,
        opens: bool,
    ) -> None:
        role = definition.task_role
        if not isinstance(role, iam.Role):
            raise TypeError("a task definition's role is one of ours")
        stores = self._stores
        if reads:
            stores.secrets.allow_reading(role, *reads)
            self._security.let_services_use_it(role, "OpenSecrets", ["kms:Decrypt"], "secretsmanager")
        if seals:
            self._security.let_seal_letters(role)
        if opens:
            self._security.let_open_letters(role)
        stores.files.allow_mounting(role)
        acknowledge(
            definition,
            {
                "ECS2": "plain variables hold names and numbers; every secret is passed by its ARN and read "
                "at each connect"
            },
        )

    def _container(
        self,
        definition: ecs.FargateTaskDefinition,
        name: str,
        *,
        image: ecs.ContainerImage,
        command: Sequence[str],
        environment: Mapping[str, str],
        stop: Duration,
        cpu: int | None,
        serves: bool,
        essential: bool = True,
        secrets: Mapping[str, ecs.Secret],
    ) -> ecs.ContainerDefinition:
        container = definition.add_container(
            name,
            container_name=name,
            image=image,
            command=list(command),
            cpu=cpu,
            essential=essential,
            environment={**self._settings(serves or not essential), **environment},
            secrets=dict(secrets),
            user=_USER,
            readonly_root_filesystem=True,
            # an init process passes SIGTERM on and reaps what the shard processes leave
            linux_parameters=ecs.LinuxParameters(definition, f"{name}-init", init_process_enabled=True),
            stop_timeout=stop,
            health_check=HEALTH_CHECK if serves else None,
            logging=ecs.LogDriver.aws_logs(
                stream_prefix=name, log_group=self.logs, mode=ecs.AwsLogDriverMode.NON_BLOCKING
            ),
            port_mappings=[ecs.PortMapping(container_port=SERVICE_PORT)] if serves else None,
        )
        container.add_mount_points(
            ecs.MountPoint(source_volume="files", container_path=MOUNT, read_only=False),
            ecs.MountPoint(source_volume="tmp", container_path="/tmp", read_only=False),  # noqa: S108
        )
        return container

    def _settings(self, serves: bool) -> dict[str, str]:
        """What every process is told, by the worker's names of its settings."""
        config, stores = self._config, self._stores
        return {
            "MODE": "aws",
            "AWS_REGION": config.region,
            "STREAM_NAME": config.stream_name,
            "APPLICATION_NAME": config.application_name,
            "DATABASE_SECRET_ID": self._database_secret(serves).secret_arn,
            "REDIS_SECRET_ID": stores.projection.secret.secret_arn,
            "IDENTITY_KEYS_SECRET_ID": stores.secrets.identity_keys.secret_arn,
            "DEAD_LETTER_KMS_KEY_ID": self._security.key.key_arn,
            "REALM": config.realm,
            "HEALTH_PORT": str(SERVICE_PORT),
            "METRICS_PORT": str(METRICS_PORT),
            "PGSSLROOTCERT": CERTIFICATES,
            "HOME": "/tmp",  # noqa: S108 - the only place such a task can write to
        }

    def _role(self, scope: Construct, construct_id: str, description: str) -> iam.Role:
        stack = Stack.of(self)
        role = iam.Role(
            scope,
            construct_id,
            description=description,
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                # another account's tasks must not talk ECS into lending them this role
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            ),
        )
        if construct_id == "ExecutionRole":
            acknowledge(
                role,
                {"IAM5[Resource::*]": "ecr:GetAuthorizationToken knows no resource and opens none"},
            )
        return role

    def _shared_files(self) -> ecs.Volume:
        return ecs.Volume(
            name="files",
            efs_volume_configuration=ecs.EfsVolumeConfiguration(
                file_system_id=self._stores.files.file_system.file_system_id,
                transit_encryption="ENABLED",
                authorization_config=ecs.AuthorizationConfig(
                    access_point_id=self._stores.files.access_point.access_point_id, iam="ENABLED"
                ),
            ),
        )

    def _container_image(self, construct_id: str, target: str | None = None) -> ecs.ContainerImage:
        if self._config.image is not None:
            name, _, tag = self._config.image.partition(":")
            repository = ecr.Repository.from_repository_name(self, f"RepositoryOf{construct_id}", name)
            return ecs.ContainerImage.from_ecr_repository(repository, f"{tag}-{target}" if target else tag)
        asset = ecr_assets.DockerImageAsset(
            self,
            construct_id,
            directory=str(_SOURCE),
            target=target,
            # what else is in it says .dockerignore
            ignore_mode=IgnoreMode.DOCKER,
            platform=ecr_assets.Platform.LINUX_ARM64
            if self._config.architecture == "ARM64"
            else ecr_assets.Platform.LINUX_AMD64,
        )
        return ecs.ContainerImage.from_docker_image_asset(asset)
