"""Passwords that live for 30 days: three functions inside the network, on the schedule of their secrets."""

import shutil
from importlib.metadata import distribution
from pathlib import Path
from tempfile import mkdtemp

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.cluster import Stores
from deploy.config import EnvConfig
from deploy.network import Network
from deploy.security import Security

_SOURCE = Path(__file__).parent / "rotating"
_DRIVER = ("asn1crypto", "pg8000", "python-dateutil", "scramp", "six")
"""The PostgreSQL driver and what it needs: pure Python, so that they run on either processor as they are."""

_NETWORK_INTERFACES = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]


class Rotation(Construct):
    """A function a user, and the schedules.

    Attributes:
        functions: by the user whose password they change: the ledger's owner is `Database`.
        roles: theirs.
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
        self._network = network
        self._security = security
        code = lambda_.Code.from_asset(str(_packed()))
        user_id = stores.projection.user.user_id
        self.roles: dict[str, iam.Role] = {}
        self.functions = {
            "Database": self._function("Database", code, "database", stores.ledger.owner, {}),
            "Application": self._function(
                "Application",
                code,
                "application",
                stores.ledger.application,
                {"OWNER_SECRET_ID": stores.ledger.owner.secret_arn},
            ),
            "Redis": self._function(
                "Redis", code, "redis_user", stores.projection.secret, {"USER_ID": user_id}
            ),
        }
        self._let_it_change_the_user(self.functions["Redis"], user_id)
        # one user cannot change the other: the owner does
        stores.secrets.allow_reading(self.roles["Application"], stores.ledger.owner)
        stores.secrets.rotate(stores.ledger.owner, self.functions["Database"])
        stores.secrets.rotate(stores.ledger.application, self.functions["Application"])
        stores.secrets.rotate(stores.projection.secret, self.functions["Redis"])

    def _function(
        self,
        name: str,
        code: lambda_.Code,
        module: str,
        secret: secretsmanager.ISecret,
        environment: dict[str, str],
    ) -> lambda_.Function:
        logs = self._security.log_group(self, f"{name}Logs")
        role = iam.Role(
            self,
            f"{name}Role",
            description=f"Rotates the password of the {name.lower()}",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        self.roles[name] = role
        role.add_to_policy(
            iam.PolicyStatement(
                sid="ChangeSecret",
                actions=[
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                resources=[secret.secret_arn],
            )
        )
        self._security.let_services_use_it(
            role,
            "UseKey",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            "secretsmanager",
            # which opens the function's variables
            "lambda",
        )
        role.add_to_policy(
            iam.PolicyStatement(sid="EnterNetwork", actions=_NETWORK_INTERFACES, resources=["*"])
        )
        acknowledge(
            role,
            {"IAM5[Resource::*]": "Lambda makes its network interfaces with actions that know no resource"},
        )
        logs.grant_write(role)
        return lambda_.Function(
            self,
            name,
            description=f"The four steps of a rotation of the {name.lower()}'s password",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            handler=f"deploy.rotating.{module}.handler",
            environment=environment,
            environment_encryption=self._security.key,
            # ElastiCache may take minutes to change a user
            timeout=Duration.minutes(10),
            memory_size=256,
            role=role,
            log_group=logs,
            vpc=self._network.vpc,
            vpc_subnets=self._network.private,
            security_groups=[self._network.rotation],
        )

    def _let_it_change_the_user(self, function: lambda_.Function, user_id: str) -> None:
        arn = Stack.of(self).format_arn(
            service="elasticache",
            resource="user",
            resource_name=user_id,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        function.add_to_role_policy(
            iam.PolicyStatement(
                sid="ChangeUser",
                actions=["elasticache:DescribeUsers", "elasticache:ModifyUser"],
                resources=[arn],
            )
        )


def _packed() -> Path:
    """The functions' own code and the installed driver in one folder; a synthesis downloads nothing."""
    folder = Path(mkdtemp(prefix="rotating-"))
    package = folder / "deploy"
    shutil.copytree(_SOURCE, package / "rotating", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").touch()
    for name in _DRIVER:
        for file in distribution(name).files or ():
            # metadata too, since the driver asks for its own version when it is imported
            if ".." not in file.parts and (file.suffix == ".py" or file.name == "METADATA"):
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    return folder
