"""The verdict on two computations of the same scores: where they differ, and how many pupils they agree on.

"Everything matches" is only worth printing with the number of things that were compared, and a mismatch
only helps when it says whose score, which figure, and both values.
"""

from collections.abc import Mapping
from datetime import datetime
from math import isnan
from typing import NamedTuple

Pair = tuple[str, str]
Outputs = Mapping[str, object]


class Difference(NamedTuple):
    """One figure that differs; as text, a sentence. An absent pair has the metric `scores`."""

    student_id: str
    course_id: str
    metric: str
    expected: object
    actual: object

    def __str__(self) -> str:
        return (
            f"student {self.student_id}, course {self.course_id}: "
            f"{self.metric} is {_shown(self.actual)}, expected {_shown(self.expected)}"
        )


class Comparison(NamedTuple):
    """All differences, by pair, and what was compared: pupils, and (student, course) pairs."""

    differences: list[Difference]
    pupils: int
    pupils_equal: int
    pairs: int
    pairs_equal: int

    def __str__(self) -> str:
        return (
            f"{self.pupils_equal:,} of {self.pupils:,} pupils, "
            f"{self.pairs_equal:,} of {self.pairs:,} (student, course) pairs"
        )


def compare(
    expected: Mapping[Pair, Outputs], actual: Mapping[Pair, Outputs], tolerance: float = 1e-6
) -> Comparison:
    """Compare every figure of `expected` with the same figure of `actual`.

    Numbers may differ by `tolerance`; None equals only None, times, flags and texts only themselves. Figures
    that only `actual` has are not compared. A pair that one side lacks equals one without attempts, which is
    what is left when all are voided.
    """
    differences = []
    pairs = expected.keys() | actual.keys()
    for pair in sorted(pairs):
        differences += _differences(pair, expected.get(pair), actual.get(pair), tolerance)
    wrong = {(difference.student_id, difference.course_id) for difference in differences}
    pupils, wrong_pupils = {student for student, _ in pairs}, {student for student, _ in wrong}
    return Comparison(
        differences, len(pupils), len(pupils) - len(wrong_pupils), len(pairs), len(pairs) - len(wrong)
    )


def _differences(
    pair: Pair, expected: Outputs | None, actual: Outputs | None, tolerance: float
) -> list[Difference]:
    if expected is None or actual is None:
        there = expected or actual or {}
        if there.get("attempts_total") == 0:
            return []
        return [
            Difference(
                *pair, "scores", *("absent" if side is None else "there" for side in (expected, actual))
            )
        ]
    return [
        Difference(*pair, metric, value, actual.get(metric, "absent"))
        for metric, value in expected.items()
        if not _equal(value, actual.get(metric, "absent"), tolerance)
    ]


def _equal(expected: object, actual: object, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return not isnan(actual) and abs(expected - actual) <= tolerance
    return type(expected) is type(actual) and expected == actual


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "null" if value is None else f"{value}"
