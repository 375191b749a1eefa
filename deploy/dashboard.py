"""What an operator looks at: the dashboard of one environment."""

from collections.abc import Sequence
from typing import TypeAlias

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from deploy.config import EnvConfig
from deploy.product import counted, worst
from deploy.watched import Watched
from deploy.worker import iterator_age

_MINUTE = Duration.minutes(1)
_WIDTH, _IN_A_ROW = 8, 3

Graph: TypeAlias = tuple[str, list[cloudwatch.IMetric]]
"""A title and what is drawn under it."""


def dashboard(
    scope: Construct, config: EnvConfig, watched: Watched, alarms: Sequence[cloudwatch.IAlarm]
) -> None:
    """One page in three parts, under the alarms: for whom the system is, the fleet, and what it stands on."""
    page = cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=f"edu-analytics-{config.suffix}")
    page.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24))
    for heading, graphs in (
        ("Business: what learners and teachers get", _business(config)),
        ("Fleet: how the workers fare", _fleet(config)),
        ("Platform: what AWS sees", _platform(config, watched)),
    ):
        page.add_widgets(cloudwatch.TextWidget(markdown=f"## {heading}", width=24, height=1))
        widgets = [
            cloudwatch.GraphWidget(title=title, left=metrics, width=_WIDTH) for title, metrics in graphs
        ]
        for at in range(0, len(widgets), _IN_A_ROW):
            page.add_widgets(*widgets[at : at + _IN_A_ROW])


def _business(config: EnvConfig) -> list[Graph]:
    return [
        ("Events taken", counted(config, "api", "EventsAccepted", "EventsRejected")),
        (
            "Attempts in the ledger",
            counted(config, "worker", "EventsApplied", "EventsRevised", "EventsErased"),
        ),
        (
            "From the stream to the scores, s",
            worst(config, "worker", "ArrivalToProjectedP50", "ArrivalToProjectedP99"),
        ),
        ("Looks at somebody else's record", counted(config, "api", "DisclosuresRecorded")),
        ("Answers of GET /metrics and POST /students, s", worst(config, "api", "ReadP99", "IngestP99")),
        (
            "Dead letters",
            counted(
                config,
                "worker",
                "DeadLettersUnreadable",
                "DeadLettersTooLarge",
                "DeadLettersWrongEnvelope",
                "DeadLettersWrongField",
                "DeadLettersRefused",
            ),
        ),
    ]


def _fleet(config: EnvConfig) -> list[Graph]:
    return [
        (
            "How late the latest shard is, s and ms",
            [*worst(config, "worker", "IteratorAge"), iterator_age(config)],
        ),
        ("Halted, degraded", worst(config, "worker", "Halted", "Degraded")),
        ("Shards held", counted(config, "worker", "ShardsHeld")),
        (
            "Delivered again",
            counted(config, "worker", "EventsRedelivered", "EventsDuplicate", "EventsSuperseded"),
        ),
        ("Healing of the projection", counted(config, "worker", "StatesRebuilt", "Sweeps")),
        ("Restarts of the daemon", counted(config, "worker", "DaemonRestarts")),
    ]


def _platform(config: EnvConfig, watched: Watched) -> list[Graph]:
    stream, gateway = watched.stores.stream.stream, watched.gateway.api
    return [
        (
            "Requests, by the service",
            counted(config, "api", "Requests2xx", "Requests3xx", "Requests4xx", "Requests5xx"),
        ),
        (
            "Requests and errors, by the gateway",
            [
                gateway.metric_count(statistic="Sum", period=_MINUTE),
                gateway.metric_client_error(statistic="Sum", period=_MINUTE),
                gateway.metric_server_error(statistic="Sum", period=_MINUTE),
            ],
        ),
        (
            "Answers of the gateway, ms",
            [gateway.metric_latency(statistic=p, period=_MINUTE) for p in ("p50", "p99")],
        ),
        (
            "Records in and out",
            [
                stream.metric_incoming_records(statistic="Sum", period=_MINUTE),
                stream.metric_get_records(statistic="Sum", period=_MINUTE),
            ],
        ),
        (
            "Processors, %",
            [
                watched.worker.service.metric_cpu_utilization(label="worker"),
                watched.api.service.metric_cpu_utilization(label="api"),
            ],
        ),
        (
            "Ledger, % of what it may take",
            [watched.stores.ledger.cluster.metric("ACUUtilization", period=_MINUTE)],
        ),
    ]
