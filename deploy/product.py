"""The product's own figures, which worker and api write into their logs in CloudWatch's embedded format.

Names are the product's; a test holds both sides together, since neither imports the other. Each task tells
its share of a minute: counts are added up, and of what is not a count the worst task's is shown. What runs
every night tells at its end whether it has done all it should.
"""

from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from deploy.config import EnvConfig

Service = Literal["worker", "api", "retention"]

_MINUTE = Duration.minutes(1)


def counted(config: EnvConfig, service: Service, *names: str) -> list[cloudwatch.IMetric]:
    """How often something happened in a minute, over all tasks."""
    return [_metric(config, service, name, "Sum") for name in names]


def worst(config: EnvConfig, service: Service, *names: str) -> list[cloudwatch.IMetric]:
    """The highest of all tasks."""
    return [_metric(config, service, name, "Maximum") for name in names]


def done(config: EnvConfig, job: Service) -> cloudwatch.IMetric:
    """Whether a run of a job was done in an hour: 1, or 0 where one failed; nothing where none ended."""
    return _metric(config, job, "Done", "Maximum", Duration.hours(1))


def _metric(
    config: EnvConfig, service: Service, name: str, statistic: str, period: Duration = _MINUTE
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=config.application_name,
        metric_name=name,
        dimensions_map={"service": service},
        statistic=statistic,
        period=period,
    )
