"""Impossible environments are refused, each with a sentence that names what to change."""

import dataclasses
from typing import Any

import pytest

from deploy.config import ConfigError, EnvConfig, Producer, TaskSize, dev, prod

CERTIFICATE = "arn:aws:acm:ap-northeast-1:111122223333:certificate/3c1f0a52-0000-4000-8000-000000000000"
DOMAIN = "api.internal.example.org"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"suffix": "Prod"}, "suffix 'Prod'"),
        ({"suffix": ""}, "suffix ''"),
        ({"suffix": "a-"}, "suffix 'a-'"),
        ({"suffix": "a--b"}, "suffix 'a--b'"),
        ({"suffix": "x" * 17}, "1 to 16"),
        ({"account": "12"}, "12 digits"),
        ({"zones": ("ap-northeast-1a", "ap-northeast-1a")}, "two different"),
        ({"zones": ("us-east-1a", "us-east-1b")}, "not all of them are in"),
        ({"public_cidrs": ("10.1.1.0/24", "10.0.2.0/24")}, "is not inside"),
        ({"public_cidrs": ("10.0.11.0/24", "10.0.2.0/24")}, "overlaps"),
        ({"vpc_cidr": "10.0.0.1/16"}, "a CIDR is none"),
        ({"nat_gateways": 3}, "nat_gateways 3"),
        ({"shards": 0}, "from 1 to 200"),
        ({"events_per_record": 1}, "take 7 shards"),
        ({"target_events_per_second": 10_000}, "are more than 2 shards carry"),
        ({"event_bytes": 0}, "are counts"),
        ({"stream_retention_hours": 12}, "from 24 to 8,760"),
        ({"worker": TaskSize(cpu=512, memory=512)}, "does not sell this pair"),
        ({"api": TaskSize(cpu=600, memory=1024)}, "does not sell this pair"),
        ({"min_tasks": 1}, "do not outlive a zone"),
        ({"max_worker_tasks": 3}, "have nothing to do"),
        ({"max_api_tasks": 1}, "must not be under min_tasks"),
        ({"max_leases": 1}, "nobody reads the rest"),
        ({"max_leases": 6}, "shard processes need 1100"),
        ({"grace_seconds": 30}, "during a flush"),
        ({"stop_seconds": 67}, "stop_seconds 67"),
        ({"stop_seconds": 121}, "Fargate's 120"),
        ({"aurora_version": "17.4"}, "PostgreSQL 16 alone"),
        ({"aurora_min_acu": 0.7}, "in halves"),
        ({"aurora_min_acu": 4.0}, "not under aurora_min_acu"),
        ({"backup_days": 0}, "from 1 to 35"),
        ({"redis_nodes": 1}, "needs a replica"),
        ({"log_days": 8}, "CloudWatch keeps logs for"),
        ({"rotation_days": 31}, "the promised 30"),
        ({"key_deletion_days": 3}, "from 7 to 30"),
        ({"retention_days": 90}, "of the running school year"),
        ({"retention_hour": 24}, "an hour of the day"),
        ({"throttle_rate": 20_000}, "API Gateway's quotas"),
        ({"certificate_arn": CERTIFICATE}, "give both"),
        ({"certificate_arn": "mine", "internal_domain": DOMAIN}, "is not the ARN of an ACM certificate"),
        ({"public_load_balancer": True}, "certificate_arn is missing"),
        ({"producers": (Producer(role_arn="lms", realm="north"),)}, "is not the ARN of an IAM role"),
        ({"alarm_email": "nobody"}, "is not an address"),
        ({"shard_count": 3}, "shard_count is not a setting"),
    ],
)
def test_refusals(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match="cannot be deployed") as refused:
        dev(**changes)
    assert sentence in str(refused.value)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        dev(suffix="No", backup_days=0, log_days=2)
    assert len(refused.value.problems) == 3


def test_prod_refuses_one_nat_gateway_and_plain_text() -> None:
    with pytest.raises(ConfigError, match="take 2"):
        prod(certificate_arn=CERTIFICATE, internal_domain=DOMAIN, nat_gateways=1)
    with pytest.raises(ConfigError, match="in the clear"):
        EnvConfig(suffix="prod", stage="prod", nat_gateways=2)


def test_two_shards_carry_the_promised_rate_only_in_envelopes() -> None:
    assert dev().planned_events_per_second >= 5_000
    with pytest.raises(ConfigError, match="1500 at 1 events a record"):
        dev(events_per_record=1)


def test_the_refusal_names_enough_shards() -> None:
    ample = dev(events_per_record=1, shards=7, max_leases=7, worker=TaskSize(cpu=512, memory=2048))
    assert ample.planned_events_per_second >= ample.target_events_per_second


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        dev().shards = 3  # type: ignore[misc]
