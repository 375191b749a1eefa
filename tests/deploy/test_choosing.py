"""The variables choose an environment; what they get wrong is said in a sentence."""

from pathlib import Path

import pytest

from deploy.choosing import choose
from deploy.config import ConfigError, Producer
from tests.deploy.synthesis import CERTIFICATE, DOMAIN


def test_dev_is_the_default() -> None:
    assert (choose({}).suffix, choose({}).stage) == ("dev", "dev")


def test_prod_under_a_suffix_of_its_own() -> None:
    config = choose(
        {
            "STAGE": "prod",
            "ENVIRONMENT_SUFFIX": "school",
            "CDK_DEFAULT_ACCOUNT": "111122223333",
            "CERTIFICATE_ARN": CERTIFICATE,
            "INTERNAL_DOMAIN": DOMAIN,
            "ALARM_EMAIL": "",
        }
    )
    assert (config.suffix, config.prod, config.account) == ("school", True, "111122223333")
    assert config.alarm_email is None


def test_another_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="dev or prod"):
        choose({"STAGE": "test"})


def test_producers_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "producers.json"
    file.write_text(
        '{"arn:aws:iam::111122223333:role/lms": {"realm": "north", "sources": ["lms"]},'
        ' "arn:aws:iam::111122223333:role/sis": {"realm": "south"}}'
    )
    assert choose({"PRODUCERS_FILE": str(file)}).producers == (
        Producer(role_arn="arn:aws:iam::111122223333:role/lms", realm="north", sources=("lms",)),
        Producer(role_arn="arn:aws:iam::111122223333:role/sis", realm="south"),
    )


def test_the_days_of_retention_are_a_number() -> None:
    assert choose({"RETENTION_DAYS": "1825"}).retention_days == 1825
    with pytest.raises(ConfigError, match="a whole number of days"):
        choose({"RETENTION_DAYS": "five years"})
