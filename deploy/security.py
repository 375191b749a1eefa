"""The one customer-managed key, and log groups that cannot be made without it.

The brief asks for one key over streams, stores, secrets and logs. A log group without the key, or with a
retention of its own, would be an easy slip: every construct gets its log groups here.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import (
    ArnFormat,
    Duration,
    RemovalPolicy,
    Stack,
)
from aws_cdk import (
    aws_iam as iam,
)
from aws_cdk import (
    aws_kms as kms,
)
from aws_cdk import (
    aws_logs as logs,
)
from constructs import Construct

from deploy.config import EnvConfig

_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS,
    150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    400: logs.RetentionDays.THIRTEEN_MONTHS,
    545: logs.RetentionDays.EIGHTEEN_MONTHS,
    731: logs.RetentionDays.TWO_YEARS,
}


LETTERS = {"purpose": "dead-letters"}
"""The encryption context that the product names when it seals or opens a dead letter."""
_OF_LETTERS = {f"kms:EncryptionContext:{name}": value for name, value in LETTERS.items()}


class Security(Construct):
    """The key and what may use it without a role of ours.

    Attributes:
        key: encrypts everything that can be encrypted by a key of the account.
        removal: what happens to state when its resource leaves the template.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvConfig) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self.removal = RemovalPolicy.RETAIN if config.prod else RemovalPolicy.DESTROY
        self.key = kms.Key(
            self,
            "Key",
            alias=f"alias/edu-analytics-{config.suffix}",
            description="Student analytics: stream, tables, ledger, projection, files, secrets and logs",
            enable_key_rotation=True,
            pending_window=Duration.days(config.key_deletion_days),
            removal_policy=self.removal,
        )
        self._let_logs_use_it()
        self._let_alarms_use_it()

    def log_group(self, scope: Construct, construct_id: str, name: str | None = None) -> logs.LogGroup:
        """A log group under the key, kept for as long as the environment says."""
        group = logs.LogGroup(
            scope,
            construct_id,
            log_group_name=name,
            encryption_key=self.key,
            retention=_RETENTION[self._config.log_days],
            # logs hold no student's data and live for days: nothing is lost with the stack
            removal_policy=RemovalPolicy.DESTROY,
        )
        # the key's policy is a part of the key, so CloudFormation would not wait for it by itself
        group.node.add_dependency(self.key)
        return group

    def let_services_use_it(self, role: iam.Role, sid: str, actions: Sequence[str], *services: str) -> None:
        """Let AWS use the key in a role's name, for what the role asks of these services.

        The role itself can then open nothing with the key: dead letters lie under the same one.
        """
        through = [f"{service}.{self._config.region}.amazonaws.com" for service in services]
        self._let_use_it(role, sid, actions, {"kms:ViaService": through})

    def let_seal_letters(self, role: iam.Role) -> None:
        """Let a role make data keys for dead letters; that opens none."""
        self._let_use_it(role, "SealLetters", ["kms:GenerateDataKey"], _OF_LETTERS)

    def let_open_letters(self, role: iam.Role) -> None:
        """Let a role open dead letters, and nothing else that the key has encrypted."""
        self._let_use_it(role, "OpenLetters", ["kms:Decrypt"], _OF_LETTERS)

    def _let_use_it(
        self, role: iam.Role, sid: str, actions: Sequence[str], where: Mapping[str, object]
    ) -> None:
        role.add_to_policy(
            iam.PolicyStatement(
                sid=sid,
                actions=list(actions),
                resources=[self.key.key_arn],
                conditions={"StringEquals": dict(where)},
            )
        )

    def _let_logs_use_it(self) -> None:
        # LogGroup(encryption_key=...) does not do this
        stack = Stack.of(self)
        groups = stack.format_arn(
            service="logs", resource="log-group", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroupsOfThisAccount",
                principals=[iam.ServicePrincipal(f"logs.{self._config.region}.amazonaws.com")],
                # what CloudWatch Logs documents, spelled out
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey",
                    "kms:GenerateDataKeyWithoutPlaintext",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                ],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )

    def _let_alarms_use_it(self) -> None:
        # without it alarms fire into an encrypted topic and nobody ever hears them
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
