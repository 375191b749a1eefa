"""The ledger: Aurora PostgreSQL, the one store whose content cannot be computed again.

Writer and reader stand in two zones and share six copies of the storage in three, so a failed zone loses no
committed transaction; the reader is the writer's heir, because without one a failover is a rebuild.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig
from deploy.network import Network
from deploy.rotating.names import APPLICATION_USERS
from deploy.security import Security

DATABASE = "eduanalytics"
_USER = "eduanalytics"


class Ledger(Construct):
    """The cluster and the secrets of its two users, with host, port, dbname, username, password and sslmode.

    Attributes:
        owner: owns the tables: migrations and the operators' jobs.
        application: `DATABASE_SECRET_ID` of worker and API, who may read and add and delete nothing.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvConfig, network: Network, security: Security
    ) -> None:
        super().__init__(scope, construct_id)
        identifier = f"edu-analytics-{config.suffix}"
        # Aurora would make it itself, without key and for ever
        logs = security.log_group(self, "Logs", f"/aws/rds/cluster/{identifier}/postgresql")
        engine = rds.DatabaseClusterEngine.aurora_postgres(
            version=rds.AuroraPostgresEngineVersion.of(config.aurora_version, "16")
        )
        user = self._user("User", _USER, "The ledger's owner", security)
        self.cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            cluster_identifier=identifier,
            engine=engine,
            default_database_name=DATABASE,
            credentials=rds.Credentials.from_secret(user, _USER),
            writer=rds.ClusterInstance.serverless_v2("Writer"),
            # promotion tier 1: it follows the writer's size, so a failover does not begin small and cold
            readers=[rds.ClusterInstance.serverless_v2("Reader", scale_with_writer=True)],
            serverless_v2_min_capacity=config.aurora_min_acu,
            serverless_v2_max_capacity=config.aurora_max_acu,
            vpc=network.vpc,
            vpc_subnets=network.private,
            security_groups=[network.database],
            parameter_group=rds.ParameterGroup(
                self,
                "Parameters",
                engine=engine,
                description="TLS or nothing",
                parameters={"rds.force_ssl": "1"},
            ),
            storage_encrypted=True,
            storage_encryption_key=security.key,
            # operators enter with their own short-lived identity and never need the secret
            iam_authentication=True,
            cloudwatch_logs_exports=["postgresql"],
            backup=rds.BackupProps(
                retention=Duration.days(config.backup_days),
                # 02:00 to 03:00 in Tokyo, before any school day
                preferred_window="17:00-18:00",
            ),
            copy_tags_to_snapshot=True,
            deletion_protection=config.prod,
            removal_policy=RemovalPolicy.SNAPSHOT if config.prod else RemovalPolicy.DESTROY,
        )
        self.cluster.node.add_dependency(logs)
        secret = self.cluster.secret
        if secret is None:
            raise RuntimeError("the cluster was made without a secret")
        self.owner: secretsmanager.ISecret = secret
        serving = self._user(
            "Application", APPLICATION_USERS[0], "The ledger's user of worker and API", security
        )
        # adds host, port and dbname, and makes no user: the migrations do, and from then on the rotation
        self.application: secretsmanager.ISecret = serving.attach(self.cluster)
        if not config.prod:
            acknowledge(
                self.cluster, {"RDS10": "a development environment is torn down with one single command"}
            )

    def _user(self, name: str, user: str, description: str, security: Security) -> secretsmanager.Secret:
        return secretsmanager.Secret(
            self,
            name,
            description=f"{description}; Aurora adds host, port and dbname",
            encryption_key=security.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                # libpq's field: the server's certificate and name are checked at each connect
                secret_string_template=f'{{"username":"{user}","sslmode":"verify-full"}}',
                generate_string_key="password",
                password_length=48,
                exclude_punctuation=True,
            ),
            removal_policy=security.removal,
        )

    def allow_operators(self, role: iam.IRole, database_user: str) -> None:
        """Entrance with the operator's own identity; the database user must hold `rds_iam`."""
        self.cluster.grant_connect(role, database_user)
