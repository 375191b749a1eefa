"""Shared files: inputs of a backfill, manifests of a replay, archives, exports for a student.

Never on the way of an event: an NFS mount is slow, and bursting credits of a small file system are few.
"""

from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.config import EnvConfig
from deploy.network import Network
from deploy.security import Security

MOUNT = "/mnt/efs"
_OWNER = "1000"


class Files(Construct):
    """The file system and the one access point by which tasks see it."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvConfig, network: Network, security: Security
    ) -> None:
        super().__init__(scope, construct_id)
        self.file_system = efs.FileSystem(
            self,
            "FileSystem",
            vpc=network.vpc,
            vpc_subnets=network.private,
            security_group=network.files,
            encrypted=True,
            kms_key=security.key,
            performance_mode=efs.PerformanceMode.GENERAL_PURPOSE,
            throughput_mode=efs.ThroughputMode.BURSTING,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_30_DAYS,
            enable_automatic_backups=config.prod,
            # a policy of any kind ends the anonymous access that a file system without one allows; with
            # False the library would add a statement by which everybody writes as root
            allow_anonymous_access=True,
            file_system_policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="TlsOnly",
                        effect=iam.Effect.DENY,
                        principals=[iam.AnyPrincipal()],
                        actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                        resources=["*"],
                        conditions={"Bool": {"aws:SecureTransport": "false"}},
                    )
                ]
            ),
            removal_policy=security.removal,
        )
        self.access_point = efs.AccessPoint(
            self,
            "AccessPoint",
            file_system=self.file_system,
            path="/edu-analytics",
            create_acl=efs.Acl(owner_uid=_OWNER, owner_gid=_OWNER, permissions="750"),
            posix_user=efs.PosixUser(uid=_OWNER, gid=_OWNER),
        )

    def allow_mounting(self, role: iam.Role) -> None:
        """Reading and writing through the access point alone, never as root."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="MountFiles",
                actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                resources=[self.file_system.file_system_arn],
                conditions={
                    "StringEquals": {"elasticfilesystem:AccessPointArn": self.access_point.access_point_arn}
                },
            )
        )
