"""The rules of at-risk: each alone, at its threshold, and what provisional figures still tell."""

from datetime import timedelta

import msgspec
import pytest

from tests.conftest import NOW
from worker.domain.risk import Thresholds, at_risk
from worker.domain.score import DEFINITION, CourseScores

FINE = CourseScores(
    definition=DEFINITION,
    attempts_total=5,
    attempts_scored=5,
    attempts_window=5,
    mean_last_n=0.8,
    mean_last_7d=0.8,
    mean_last_30d=0.8,
    ewma=0.8,
    latest=0.8,
    best=0.9,
    trend=0.0,
    last_activity_at=NOW,
    provisional=False,
    over_max=False,
)
RULES = Thresholds(inactive_days=7, ewma=0.6, trend=-0.02, percentile=15)
DAY = timedelta(days=1)


def codes(percentile: float | None = 50.0, **changed: object) -> list[str]:
    found = at_risk(msgspec.structs.replace(FINE, **changed), NOW, percentile, RULES)
    assert found.flag == bool(found.reasons)
    return [reason.code for reason in found.reasons]


def test_somebody_who_does_well_is_not_flagged() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"last_activity_at": NOW - 7 * DAY}, ["inactive"]),
        ({"last_activity_at": NOW - 7 * DAY + timedelta(microseconds=1)}, []),
        ({"last_activity_at": NOW + timedelta(minutes=5)}, []),
        ({"last_activity_at": None}, []),
        ({"ewma": 0.599_999}, ["low_ewma"]),
        ({"ewma": 0.6}, []),
        ({"ewma": None}, []),
        ({"trend": -0.020_001}, ["falling"]),
        ({"trend": -0.02}, []),
        ({"trend": None}, []),
        ({"percentile": 14.99}, ["low_percentile"]),
        ({"percentile": 15.0}, []),
        ({"percentile": None}, []),
    ],
)
def test_each_rule_begins_at_its_threshold(changed: dict[str, object], expected: list[str]) -> None:
    assert codes(**changed) == expected  # type: ignore[arg-type]


def test_provisional_results_are_not_judged_but_inactivity_is_told() -> None:
    weak = {"ewma": 0.1, "trend": -0.5, "last_activity_at": NOW - 9 * DAY}
    assert codes(1.0, **weak) == ["inactive", "low_ewma", "falling", "low_percentile"]
    assert codes(1.0, **weak, provisional=True) == ["inactive"]


def test_a_reason_says_what_was_found_and_what_was_asked() -> None:
    found = at_risk(msgspec.structs.replace(FINE, last_activity_at=NOW - 9 * DAY), NOW, 3.4, RULES)
    inactive, low = found.reasons
    assert (inactive.value, inactive.threshold, inactive.text) == (9, 7, "no activity for 9 days")
    assert (low.value, low.threshold, low.text) == (3.4, 15, "at percentile 3 of the course")
