"""The verdict: what counts as a difference, what it says, and how many pupils it speaks of."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.local.compare import compare

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCORES = {"attempts_total": 3, "best": 0.5, "trend": None, "provisional": False, "last_activity_at": NOON}


def test_equal_scores_are_counted_by_pupil_and_by_pair() -> None:
    expected = {("ann", "c1"): SCORES, ("ann", "c2"): SCORES, ("bob", "c1"): SCORES}
    result = compare(expected, {pair: {**SCORES, "best": 0.5 + 9e-7, "more": 1} for pair in expected})
    assert result.differences == []
    assert str(result) == "2 of 2 pupils, 3 of 3 (student, course) pairs"


@pytest.mark.parametrize(
    ("metric", "actual", "text"),
    [
        ("best", 0.5 + 2e-6, "best is 0.500002, expected 0.5"),
        ("best", None, "best is null, expected 0.5"),
        ("best", float("nan"), "best is nan, expected 0.5"),
        ("trend", 0.0, "trend is 0.0, expected null"),
        ("provisional", 0, "provisional is 0, expected False"),
        ("attempts_total", 4, "attempts_total is 4, expected 3"),
        (
            "last_activity_at",
            NOON + timedelta(microseconds=1),
            "last_activity_at is 2026-03-01T12:00:00.000001+00:00, expected 2026-03-01T12:00:00+00:00",
        ),
    ],
)
def test_a_difference_says_whose_and_which_and_both_values(metric: str, actual: object, text: str) -> None:
    expected = {("ann", "c1"): SCORES, ("ann", "c2"): SCORES, ("bob", "c1"): SCORES}
    result = compare(expected, {**expected, ("ann", "c2"): {**SCORES, metric: actual}})
    assert [str(difference) for difference in result.differences] == [f"student ann, course c2: {text}"]
    assert (result.pupils_equal, result.pupils, result.pairs_equal, result.pairs) == (1, 2, 2, 3)


def test_a_figure_that_is_not_there_differs() -> None:
    actual = {name: value for name, value in SCORES.items() if name != "trend"}
    [difference] = compare({("ann", "c1"): SCORES}, {("ann", "c1"): actual}).differences
    assert str(difference) == "student ann, course c1: trend is absent, expected null"


def test_a_pair_that_one_side_lacks_differs_unless_it_has_no_attempts() -> None:
    empty = {**SCORES, "attempts_total": 0}
    result = compare(
        {("ann", "c1"): SCORES, ("bob", "c1"): empty}, {("cat", "c1"): SCORES, ("dan", "c1"): empty}
    )
    assert [str(difference) for difference in result.differences] == [
        "student ann, course c1: scores is absent, expected there",
        "student cat, course c1: scores is there, expected absent",
    ]
    assert (result.pupils_equal, result.pupils) == (2, 4)


def test_the_tolerance_is_the_callers() -> None:
    pair = ("ann", "c1")
    assert compare({pair: {"best": 0.5}}, {pair: {"best": 0.52}}, tolerance=0.1).differences == []
