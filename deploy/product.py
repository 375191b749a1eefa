"""The product's own figures, which worker and api write into their logs in CloudWatch's embedded format.

Names are the product's; a test holds both sides together, since neither imports the other. Each task tells
its share of a minute: counts are added up, and of what is not a count the worst task's is shown.
"""

from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from deploy.config import EnvConfig

Service = Literal["worker", "api"]


def counted(config: EnvConfig, service: Service, *names: str) -> list[cloudwatch.IMetric]:
    """How often something happened in a minute, over all tasks."""
    return [_metric(config, service, name, "Sum") for name in names]


def worst(config: EnvConfig, service: Service, *names: str) -> list[cloudwatch.IMetric]:
    """The highest of all tasks."""
    return [_metric(config, service, name, "Maximum") for name in names]


def _metric(config: EnvConfig, service: Service, name: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=config.application_name,
        metric_name=name,
        dimensions_map={"service": service},
        statistic=statistic,
        period=Duration.minutes(1),
    )
