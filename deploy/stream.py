"""The stream, and the three tables by which KCL shares its shards.

The tables are made here and not by KCL: it would make them without our key, and its role would need the right
to create and change tables for ever.
"""

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from deploy.acknowledging import acknowledge
from deploy.config import EnvConfig
from deploy.security import Security

LEASE_INDEX = "LeaseOwnerToLeaseKeyIndex"
"""KCL 3 asks for it by this name."""

_READ = [
    f"kinesis:{action}"
    for action in ("DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards")
]
_LEASES = ("DeleteItem", "DescribeTable", "GetItem", "PutItem", "Scan", "UpdateItem")
_LEADER = ("DeleteItem", "DescribeTable", "GetItem", "PutItem", "UpdateItem")
_REPORTS = ("DeleteItem", "DescribeTable", "Scan", "UpdateItem")
# what KCL 3.1.3 and our supervisor call; tests/e2e/test_deploy.py compares it with what they are seen to call


class Stream(Construct):
    """The stream and the tables of its one consumer application.

    Attributes:
        leases: one row a shard; named like the application.
        tables: the lease table, the coordinator's state, the workers' reports.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvConfig, security: Security) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._security = security
        self.stream = kinesis.Stream(
            self,
            "Stream",
            stream_name=config.stream_name,
            stream_mode=kinesis.StreamMode.PROVISIONED,
            shard_count=config.shards,
            retention_period=Duration.hours(config.stream_retention_hours),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=security.key,
            shard_level_metrics=[kinesis.ShardLevelMetrics.ALL],
            removal_policy=security.removal,
        )
        acknowledge(
            self.stream,
            {"KDS3": "encrypted by our own key, whose policy and rotation are ours"},
        )
        application = config.application_name
        self.leases = self._table("Leases", application, key="leaseKey")
        self.leases.add_global_secondary_index(
            index_name=LEASE_INDEX,
            partition_key=dynamodb.Attribute(name="leaseOwner", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="leaseKey", type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.tables = [
            self.leases,
            self._table("Coordinator", f"{application}-CoordinatorState", key="key"),
            self._table("Workers", f"{application}-WorkerMetricStats", key="wid"),
        ]

    def allow_consuming(self, role: iam.Role) -> None:
        """What KCL and the supervisor call; no CreateTable, no UpdateTable."""
        self._allow_reading(role)
        calls = {"ShareLeases": _LEASES, "ElectLeader": _LEADER, "ReportWork": _REPORTS}
        for table, (sid, actions) in zip(self.tables, calls.items(), strict=True):
            role.add_to_policy(
                iam.PolicyStatement(
                    sid=sid,
                    actions=[f"dynamodb:{action}" for action in actions],
                    resources=[table.table_arn],
                )
            )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="LeasesByOwner",
                actions=["dynamodb:Query"],
                resources=[f"{self.leases.table_arn}/index/{LEASE_INDEX}"],
            )
        )
        self._security.let_services_use_it(role, "OpenTables", ["kms:Decrypt"], "dynamodb")
        role.add_to_policy(
            iam.PolicyStatement(
                sid="ConsumerMetrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": self._config.application_name}},
            )
        )
        acknowledge(
            role,
            {
                "IAM5[Resource::*]": "cloudwatch:PutMetricData knows no resource; the statement is bound to "
                "the application's namespace"
            },
        )

    def allow_producing(self, role: iam.Role) -> None:
        """What a producer calls; the shard map tells it which shard owns a student."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="WriteStream",
                actions=["kinesis:ListShards", "kinesis:PutRecords"],
                resources=[self.stream.stream_arn],
            )
        )
        self._security.let_services_use_it(role, "EncryptRecords", ["kms:GenerateDataKey"], "kinesis")

    def allow_looking(self, role: iam.Role) -> None:
        """What tells whether stream and tables are there."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="LookAtStream", actions=["kinesis:ListShards"], resources=[self.stream.stream_arn]
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="LookAtTables",
                actions=["dynamodb:DescribeTable"],
                resources=[table.table_arn for table in self.tables],
            )
        )

    def allow_replaying(self, role: iam.Role) -> None:
        """What reads the stream's past beside the live readers, whose leases it never touches."""
        self._allow_reading(role)

    def allow_naming(self, role: iam.Role) -> None:
        """What tells this stream from an earlier one of its name, as the ledger's sources do."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="NameStream",
                actions=["kinesis:DescribeStreamSummary"],
                resources=[self.stream.stream_arn],
            )
        )

    def allow_following(self, role: iam.Role) -> None:
        """What tells whether workers are alive and how far they are; changes nothing."""
        role.add_to_policy(
            iam.PolicyStatement(
                sid="LookAtLeases", actions=["dynamodb:Scan"], resources=[self.leases.table_arn]
            )
        )
        self._security.let_services_use_it(role, "OpenTables", ["kms:Decrypt"], "dynamodb")

    def _allow_reading(self, role: iam.Role) -> None:
        role.add_to_policy(
            iam.PolicyStatement(sid="ReadStream", actions=_READ, resources=[self.stream.stream_arn])
        )
        self._security.let_services_use_it(role, "OpenRecords", ["kms:Decrypt"], "kinesis")

    def _table(self, construct_id: str, name: str, *, key: str) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            construct_id,
            table_name=name,
            partition_key=dynamodb.Attribute(name=key, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._security.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._config.prod,
            removal_policy=self._security.removal,
        )
