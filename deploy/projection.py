"""The projection: Redis with a replica in the other zone, behind TLS and a user of its own.

It may be lost at any moment and is then rebuilt from the ledger; the replica is there for the seconds in
between. A named user can hold two passwords at once, which lets a rotation pass without an outage.
"""

from aws_cdk import Fn
from aws_cdk import aws_elasticache as elasticache
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig
from deploy.network import REDIS, Network
from deploy.rotating.names import REDIS_RIGHTS
from deploy.secrets import Secrets
from deploy.security import Security

_USER = "app"
_PASSWORD_CHARACTERS = 64


class Projection(Construct):
    """The replication group, its user, and the secret that opens it.

    Attributes:
        secret: `REDIS_SECRET_ID`, with host, port, username, password and tls.
        user: whose passwords a rotation changes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvConfig,
        network: Network,
        security: Security,
        secrets: Secrets,
    ) -> None:
        super().__init__(scope, construct_id)
        name = f"edu-analytics-{config.suffix}"
        first_password = secrets.part(self, "FirstPassword", _PASSWORD_CHARACTERS)
        nobody = elasticache.CfnUser(
            self,
            "Nobody",
            engine="redis",
            user_id=f"{name}-default",
            # every group must hold the user `default`; this one may do nothing
            user_name="default",
            access_string="off -@all",
            no_password_required=True,
        )
        self.user = elasticache.CfnUser(
            self,
            "User",
            engine="redis",
            user_id=f"{name}-{_USER}",
            user_name=_USER,
            access_string=REDIS_RIGHTS,
            authentication_mode={"Type": "password", "Passwords": [first_password]},
        )
        users = elasticache.CfnUserGroup(
            self, "Users", engine="redis", user_group_id=name, user_ids=[nobody.ref, self.user.ref]
        )
        subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="Both private subnets",
            subnet_ids=network.vpc.select_subnets(
                subnet_group_name=network.private.subnet_group_name
            ).subnet_ids,
        )
        parameters = elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="redis7",
            description="States expire and may be evicted; the markers that prove lost writes may not",
            properties={"maxmemory-policy": "volatile-lru"},
        )
        logs = security.log_group(self, "Logs")
        self.group = elasticache.CfnReplicationGroup(
            self,
            "Group",
            replication_group_id=name,
            replication_group_description="Rolling scores",
            engine="redis",
            engine_version=config.redis_version,
            cache_node_type=config.redis_node,
            num_cache_clusters=config.redis_nodes,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            at_rest_encryption_enabled=True,
            kms_key_id=security.key.key_arn,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            user_group_ids=[users.ref],
            port=REDIS,
            cache_parameter_group_name=parameters.ref,
            cache_subnet_group_name=subnets.ref,
            security_group_ids=[network.redis.security_group_id],
            snapshot_retention_limit=config.redis_snapshot_days,
            snapshot_window="18:00-19:00",
            auto_minor_version_upgrade=True,
            # not the slow log: its lines quote keys
            log_delivery_configurations=[
                elasticache.CfnReplicationGroup.LogDeliveryConfigurationRequestProperty(
                    destination_type="cloudwatch-logs",
                    destination_details=elasticache.CfnReplicationGroup.DestinationDetailsProperty(
                        cloud_watch_logs_details=(
                            elasticache.CfnReplicationGroup.CloudWatchLogsDestinationDetailsProperty(
                                log_group=logs.log_group_name
                            )
                        )
                    ),
                    log_format="json",
                    log_type="engine-log",
                )
            ],
        )
        acknowledge(
            self.group,
            {
                "AEC5": "the brief names 6379; a moved port hides nothing from who is inside the network",
                "AEC6": "a user of an RBAC group with a password of its own instead of a shared token",
            },
        )
        host = Fn.get_att(self.group.logical_id, "PrimaryEndPoint.Address").to_string()
        self.secret = secrets.document(
            self,
            "Secret",
            "The projection's address and user",
            f'{{"host":"{host}","port":{REDIS},"tls":true,"username":"{_USER}","password":"{first_password}"}}',
        )
