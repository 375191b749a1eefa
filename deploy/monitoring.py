"""What an operator is woken by; what they look at then is the dashboard.

Each alarm's description names the heading of the runbook that says what to do. Missing data is bad news where
only a living fleet reports: a dead one reports nothing.
"""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from deploy.config import EnvConfig
from deploy.dashboard import dashboard
from deploy.nightly import RETENTION
from deploy.product import counted, done, worst
from deploy.security import Security
from deploy.watched import Watched
from deploy.worker import iterator_age

_MINUTE = Duration.minutes(1)
_MORE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
# from the end of one night's run to that of the next, which may take four hours longer
_NIGHT_AND_MORE = 28
_LESS = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


class Monitoring(Construct):
    """Topic, alarms, the composite alarm that students notice, and the dashboard."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvConfig, security: Security, watched: Watched
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._watched = watched
        self.topic = sns.Topic(self, "Alarms", master_key=security.key, enforce_ssl=True)
        self._let_alarms_publish()
        if config.alarm_email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        self.alarms: dict[str, cloudwatch.Alarm] = {}
        self._stream_alarms()
        self._service_alarms()
        self._product_alarms()
        self._edge_alarms()
        self._store_alarms()
        self._rotation_alarms()
        self._nightly_alarms()
        self._students_see_stale_scores()
        dashboard(self, config, watched, list(self.alarms.values()))

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float,
        runbook: str,
        says: str,
        comparison: cloudwatch.ComparisonOperator = _MORE,
        periods: int = 3,
        of: int = 3,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=of,
            datapoints_to_alarm=periods,
            treat_missing_data=missing,
            alarm_description=f"{says} Runbook: {runbook}",
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))
        self.alarms[name] = alarm

    def _stream_alarms(self) -> None:
        stream = self._watched.stores.stream.stream
        self._alarm(
            "IteratorAge",
            iterator_age(self._config),
            threshold=60_000,
            runbook="Scores are late",
            says="The latest shard is more than a minute behind, or no worker reports at all.",
            missing=cloudwatch.TreatMissingData.BREACHING,
        )
        self._alarm(
            "RetentionAtRisk",
            stream.metric_get_records_iterator_age_milliseconds(statistic="Maximum", period=_MINUTE),
            # half of what the stream keeps: the other half is the time left to act before events are lost
            threshold=self._config.stream_retention_hours * 3_600_000 / 2,
            runbook="Events are about to expire",
            says="A shard is behind by half of the stream's retention.",
            periods=1,
            of=1,
        )
        for name, metric, what in (
            ("WriteThrottled", "WriteProvisionedThroughputExceeded", "Producers are refused"),
            ("ReadThrottled", "ReadProvisionedThroughputExceeded", "Workers are refused"),
        ):
            self._alarm(
                name,
                stream.metric(metric, statistic="Sum", period=_MINUTE),
                threshold=0,
                runbook="The stream is too small",
                says=f"{what} by the stream.",
            )

    def _service_alarms(self) -> None:
        for name, service in (("Worker", self._watched.worker.service), ("Api", self._watched.api.service)):
            dimensions = {
                "ClusterName": service.cluster.cluster_name,
                "ServiceName": service.service_name,
            }
            self._alarm(
                f"{name}TasksMissing",
                cloudwatch.Metric(
                    namespace="ECS/ContainerInsights",
                    metric_name="RunningTaskCount",
                    dimensions_map=dimensions,
                    statistic="Minimum",
                    period=_MINUTE,
                ),
                threshold=self._config.min_tasks,
                comparison=_LESS,
                runbook="Tasks do not start",
                says=f"Fewer than {self._config.min_tasks} {name.lower()} tasks run.",
                missing=cloudwatch.TreatMissingData.BREACHING,
            )
            self._alarm(
                f"{name}Memory",
                service.metric_memory_utilization(statistic="Maximum", period=_MINUTE),
                threshold=85,
                runbook="A task runs out of memory",
                says=f"A {name.lower()} task uses more than 85 % of its memory.",
            )

    def _product_alarms(self) -> None:
        """What only the product itself knows; whether its tasks live at all, other alarms say."""
        (halted,) = worst(self._config, "worker", "Halted")
        (degraded,) = worst(self._config, "worker", "Degraded")
        (dead_letters,) = counted(self._config, "worker", "DeadLetters")
        (late,) = worst(self._config, "worker", "ArrivalToProjectedP99")
        self._alarm(
            "Halted",
            halted,
            threshold=0,
            runbook="A shard has halted",
            says="A flood of events that cannot be understood has halted a shard; nothing is lost.",
            periods=1,
            of=1,
        )
        self._alarm(
            "DeadLetters",
            dead_letters,
            # single ones are a producer's slip and wait for 30 days; this many in each of three minutes are a
            # producer that has changed its format
            threshold=10,
            runbook="Events become dead letters",
            says="More than 10 events a minute cannot be understood.",
        )
        self._alarm(
            "Degraded",
            degraded,
            threshold=0,
            runbook="A dependency is away",
            says="A shard waits for a dependency, or goes on without Redis, for three minutes.",
        )
        self._alarm(
            "SlowProjection",
            late,
            threshold=10,
            runbook="Scores are late",
            says="One batch in a hundred needs more than 10 s from its arrival until its scores are seen.",
        )

    def _edge_alarms(self) -> None:
        gateway, api = self._watched.gateway.api, self._watched.api
        self._alarm(
            "ServerErrors",
            gateway.metric_server_error(statistic="Average", period=_MINUTE),
            threshold=0.01,
            runbook="Requests fail",
            says="More than 1 % of requests end in a server error.",
        )
        self._alarm(
            "SlowAnswers",
            gateway.metric_latency(statistic="p99", period=_MINUTE),
            # the promise is below a second
            threshold=1_000,
            runbook="Answers are slow",
            says="One request in a hundred takes longer than a second.",
        )
        self._alarm(
            "UnhealthyTargets",
            api.targets.metrics.unhealthy_host_count(statistic="Maximum", period=_MINUTE),
            threshold=0,
            runbook="Tasks do not start",
            says="The load balancer finds an api task unhealthy.",
        )

    def _store_alarms(self) -> None:
        stores = self._watched.stores
        cluster = stores.ledger.cluster
        self._alarm(
            "LedgerAtItsLimit",
            cluster.metric("ACUUtilization", statistic="Average", period=_MINUTE),
            threshold=90,
            runbook="The ledger is too small",
            says="Aurora uses more than 90 % of the capacity it may take.",
            periods=5,
            of=5,
        )
        self._alarm(
            "LedgerReplicaLag",
            cluster.metric("AuroraReplicaLagMaximum", statistic="Maximum", period=_MINUTE),
            threshold=1_000,
            runbook="The ledger's reader is behind",
            says="The writer's heir is more than a second behind.",
        )
        for number in range(1, self._config.redis_nodes + 1):
            # CloudWatch knows a replication group's members alone
            member = f"edu-analytics-{self._config.suffix}-{number:03d}"
            for name, metric, threshold, says in (
                ("Cpu", "EngineCPUUtilization", 80, "Redis uses more than 80 % of its one core."),
                ("Memory", "DatabaseMemoryUsagePercentage", 80, "Redis is more than 80 % full."),
                ("Replication", "ReplicationLag", 5, "The replica is more than 5 s behind."),
            ):
                self._alarm(
                    f"Redis{number}{name}",
                    cloudwatch.Metric(
                        namespace="AWS/ElastiCache",
                        metric_name=metric,
                        dimensions_map={"CacheClusterId": member},
                        statistic="Maximum",
                        period=_MINUTE,
                    ),
                    threshold=threshold,
                    runbook="Redis is too small" if name != "Replication" else "Redis failed over",
                    says=says,
                )
        self._alarm(
            "FilesOutOfCredits",
            cloudwatch.Metric(
                namespace="AWS/EFS",
                metric_name="BurstCreditBalance",
                dimensions_map={"FileSystemId": stores.files.file_system.file_system_id},
                statistic="Minimum",
                period=Duration.minutes(5),
            ),
            # half of the 2.1 TiB that every file system begins with
            threshold=1.1e12,
            comparison=_LESS,
            runbook="Files are slow",
            says="The shared files have used up half of their burst credits.",
        )

    def _rotation_alarms(self) -> None:
        for name, function in self._watched.rotation.functions.items():
            self._alarm(
                f"{name}Rotation",
                function.metric_errors(statistic="Sum", period=Duration.minutes(5)),
                threshold=0,
                runbook="A password is not rotated",
                says=f"The rotation of the {name.lower()}'s password failed.",
                periods=1,
                of=1,
            )

    def _nightly_alarms(self) -> None:
        """A run that failed, was killed or was never started tells of itself by one sign: none was done."""
        self._alarm(
            "RetentionMissed",
            done(self._config, RETENTION),
            threshold=1,
            comparison=_LESS,
            runbook="What has expired is still there",
            says=f"Nothing was dropped for {_NIGHT_AND_MORE} hours: retention failed or did not run.",
            # hours without a word count as hours in which it was not done
            periods=_NIGHT_AND_MORE,
            of=_NIGHT_AND_MORE,
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def _students_see_stale_scores(self) -> None:
        composite = cloudwatch.CompositeAlarm(
            self,
            "StaleScores",
            composite_alarm_name=f"edu-analytics-{self._config.suffix}-students-see-stale-scores",
            alarm_description="Students see stale scores. Runbook: Students see stale scores",
            alarm_rule=cloudwatch.AlarmRule.any_of(
                *(
                    cloudwatch.AlarmRule.from_alarm(self.alarms[name], cloudwatch.AlarmState.ALARM)
                    for name in (
                        "IteratorAge",
                        "SlowProjection",
                        "Halted",
                        "WorkerTasksMissing",
                        "WriteThrottled",
                    )
                )
            ),
        )
        composite.add_alarm_action(actions.SnsAction(self.topic))

    def _let_alarms_publish(self) -> None:
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.topic.stack.account}},
            )
        )
