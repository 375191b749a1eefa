"""The estimate: the figures that decide are right to the arithmetic, and nonsense is refused."""

import pytest

from deploy.config import dev
from deploy.cost import estimate, main


def _dollars(rate: float, batch: int) -> dict[str, float]:
    return {line.item: line.dollars for line in estimate(dev(), rate=rate, batch=batch)}


def test_idle_is_some_hundreds() -> None:
    assert 280 < sum(_dollars(0, 1).values()) < 450


def test_one_event_a_request_costs_what_a_batch_saves() -> None:
    # 13.14 billion requests: 333 at 4.25, 667 at 3.53, the rest at 3.00
    assert _dollars(5_000, 1)["REST API"] == pytest.approx(40_190, rel=0.01)
    assert _dollars(5_000, 50)["REST API"] == pytest.approx(1_117, rel=0.05)
    assert _dollars(5_000, 100)["REST API"] < 600


def test_aurora_is_counted_at_its_limit_under_load() -> None:
    assert _dollars(0, 1)["Aurora, writer and reader"] == pytest.approx(146)
    assert _dollars(5_000, 100)["Aurora, writer and reader"] == pytest.approx(584)


def test_it_prints_a_sum(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGE", raising=False)
    assert main(["--rate", "5000", "--batch", "100"]) == 0
    printed = capsys.readouterr().out
    assert "a month, US dollars" in printed
    assert "prices of 2026-11" in printed


def test_more_than_the_shards_carry_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAGE", raising=False)
    assert main(["--rate", "50000"]) == 2
    assert "are more than 2 shards carry" in capsys.readouterr().out


def test_an_environment_that_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGE", "prod")
    monkeypatch.delenv("CERTIFICATE_ARN", raising=False)
    assert main([]) == 2
    assert "certificate_arn is missing" in capsys.readouterr().out
