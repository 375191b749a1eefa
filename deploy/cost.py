"""What an environment costs a month, line by line, with the arithmetic beside each: `python -m deploy.cost`.

An estimate to decide by, not a bill: traffic between zones, storage, and what people read are left out.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from deploy import prices
from deploy.choosing import choose
from deploy.config import ConfigError, EnvConfig, TaskSize

_MILLION, _GB = 1e6, 1e9
_SECRETS, _ALARMS, _PRODUCT_METRICS = 8, 29, 37
_WRONG = 2


class Line(NamedTuple):
    """One item of the bill."""

    item: str
    arithmetic: str
    dollars: float


def estimate(config: EnvConfig, *, rate: float, batch: float) -> list[Line]:
    """A month of an environment under a constant load.

    Args:
        config: the environment.
        rate: events a second; 0 for the cost of being there.
        batch: events of one request; without end where nothing is posted.
    """
    requests = rate / batch * prices.SECONDS
    return [*_standing(config, busy=rate > 0), *_by_request(requests, rate, config), *_by_event(config, rate)]


def _standing(config: EnvConfig, *, busy: bool) -> Iterator[Line]:
    acu = config.aurora_max_acu if busy else config.aurora_min_acu
    hours = prices.HOURS
    yield Line(
        "Aurora, writer and reader",
        f"2 x {acu:g} ACU x ${prices.AURORA_ACU_HOUR} x {hours} h",
        2 * acu * prices.AURORA_ACU_HOUR * hours,
    )
    tasks = config.min_tasks
    yield Line(
        f"Fargate, {tasks} worker and {tasks} api tasks",
        f"{config.architecture}, {config.worker.cpu} and {config.api.cpu} CPU units",
        tasks * (_task_hour(config, config.worker) + _task_hour(config, config.api)) * hours,
    )
    node = prices.REDIS_NODE_HOUR.get(config.redis_node)
    yield Line(
        "Redis",
        f"{config.redis_nodes} x {config.redis_node}" + ("" if node else ", whose price is not in the table"),
        config.redis_nodes * (node or 0) * hours,
    )
    yield from _network(config)
    extended = prices.EXTENDED_RETENTION_SHARD_HOUR if config.stream_retention_hours > 24 else 0
    yield Line(
        "Kinesis shards and their metrics",
        f"{config.shards} x ${prices.SHARD_HOUR + extended:.4f} x {hours} h, {prices.SHARD_METRICS} metrics",
        config.shards
        * ((prices.SHARD_HOUR + extended) * hours + prices.SHARD_METRICS * prices.SHARD_METRIC_MONTH),
    )
    yield Line("Load balancer", f"${prices.ALB_HOUR} x {hours} h", prices.ALB_HOUR * hours)
    yield Line(
        "WAF, key, secrets, alarms, dashboard, Container Insights, product metrics",
        f"{_SECRETS} secrets, {_ALARMS} alarms, {_PRODUCT_METRICS} metrics",
        prices.WAF_MONTH
        + prices.KEY_MONTH
        + _SECRETS * prices.SECRET_MONTH
        + _ALARMS * prices.ALARM_MONTH
        + _PRODUCT_METRICS * prices.METRIC_MONTH
        + prices.DASHBOARD_MONTH
        + prices.CONTAINER_INSIGHTS_MONTH,
    )


def _network(config: EnvConfig) -> Iterator[Line]:
    zones, endpoints = len(config.zones), 10
    if config.egress == "nat":
        yield Line(
            "NAT gateways",
            f"{config.nat_gateways} x ${prices.NAT_HOUR} x {prices.HOURS} h",
            config.nat_gateways * prices.NAT_HOUR * prices.HOURS,
        )
        endpoints = 1 if config.kinesis_endpoint else 0
    if endpoints:
        yield Line(
            "Interface endpoints",
            f"{endpoints} x {zones} zones x ${prices.ENDPOINT_HOUR} x {prices.HOURS} h",
            endpoints * zones * prices.ENDPOINT_HOUR * prices.HOURS,
        )


def _by_request(requests: float, rate: float, config: EnvConfig) -> Iterator[Line]:
    if not requests:
        return
    millions = requests / _MILLION
    yield Line("REST API", f"{millions:,.0f} million requests", _tiered(millions))
    yield Line("WAF requests", f"{millions:,.0f} million", millions * prices.WAF_MILLION)
    sampled = millions * prices.XRAY_SAMPLED
    yield Line(
        "X-Ray", f"{prices.XRAY_SAMPLED:.0%} of them: define a sampling rule", sampled * prices.XRAY_MILLION
    )
    logged = requests * prices.ACCESS_LOG_BYTES / _GB
    yield Line("Access logs", f"{logged:,.0f} GB", logged * prices.LOG_GB)
    units = max(
        requests / prices.SECONDS / prices.ALB_LCU_NEW_CONNECTIONS,
        rate * config.event_bytes * 3_600 / prices.ALB_LCU_BYTES_HOUR,
    )
    yield Line(
        "Load balancer capacity",
        f"{units:,.1f} LCU x ${prices.ALB_LCU_HOUR} x {prices.HOURS} h",
        units * prices.ALB_LCU_HOUR * prices.HOURS,
    )


def _by_event(config: EnvConfig, rate: float) -> Iterator[Line]:
    if not rate:
        return
    records = rate / config.events_per_record * prices.SECONDS
    units = records * ceil(config.events_per_record * config.event_bytes / prices.PUT_UNIT_BYTES)
    yield Line(
        "Kinesis PUT units",
        f"{units / _MILLION:,.0f} million, {config.events_per_record} events a record",
        units / _MILLION * prices.PUT_UNIT_MILLION,
    )
    moved = 2 * rate * config.event_bytes * prices.SECONDS / _GB
    by_endpoint = config.egress == "endpoints" or config.kinesis_endpoint
    price = prices.ENDPOINT_GB if by_endpoint else prices.NAT_GB
    yield Line(
        "The stream's traffic, in and out",
        f"{moved:,.0f} GB by {'the endpoint' if by_endpoint else 'NAT'} x ${price}",
        moved * price,
    )


def _task_hour(config: EnvConfig, size: TaskSize) -> float:
    cpu = size.cpu / 1024 * prices.FARGATE_CPU_HOUR[config.architecture]
    return cpu + size.memory / 1024 * prices.FARGATE_GB_HOUR[config.architecture]


def _tiered(millions: float) -> float:
    dollars = 0.0
    for size, price in prices.REST_MILLION:
        here = min(millions, size)
        dollars += here * price
        millions -= here
    return dollars


def table(lines: Sequence[Line]) -> str:
    """The lines as text, dearest first, with their sum."""
    rows = sorted(lines, key=lambda line: -line.dollars)
    width = max(len(line.item) for line in rows)
    body = [f"{line.item:<{width}}  {line.dollars:>9,.0f}  {line.arithmetic}" for line in rows]
    total = sum(line.dollars for line in rows)
    return "\n".join([*body, f"{'a month, US dollars':<{width}}  {total:>9,.0f}  prices of {prices.AS_OF}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the estimate; exit code 0, or 2 for an environment that cannot be deployed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cost", description="What an environment costs.")
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0 is the idle environment")
    parser.add_argument("--batch", type=int, default=100, help="events of one request")
    arguments = parser.parse_args(argv)
    if arguments.rate < 0 or arguments.batch < 1:
        parser.error("--rate is not negative and --batch at least 1")
    try:
        config = choose(os.environ)
    except ConfigError as error:
        print(error)  # noqa: T201
        return _WRONG
    if arguments.rate > config.planned_events_per_second:
        print(  # noqa: T201
            f"{arguments.rate:,.0f} events a second are more than {config.shards} shards carry, "
            f"{config.planned_events_per_second:,}"
        )
        return _WRONG
    print(table(estimate(config, rate=arguments.rate, batch=arguments.batch)))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
