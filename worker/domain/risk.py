"""When a learner may need help: simple rules with their reasons, because teachers distrust a bare flag."""

from datetime import datetime, timedelta

import msgspec

from worker.domain.score import CourseScores


class Thresholds(msgspec.Struct, frozen=True):
    """Where each rule begins.

    Args:
        inactive_days: days without any activity, from which on a learner counts as inactive.
        ewma: below this fraction of the maximum recent work counts as weak.
        trend: below this change per attempt (a negative fraction) results count as falling.
        percentile: below this percentile of the course a learner counts as behind.
    """

    inactive_days: float = 7.0
    ewma: float = 0.6
    trend: float = -0.02
    percentile: float = 15.0


class Signal(msgspec.Struct, frozen=True):
    """One reason: its code, the value found, the threshold it crossed, and a sentence."""

    code: str
    value: float
    threshold: float
    text: str


class AtRisk(msgspec.Struct, frozen=True):
    """The flag and all its reasons."""

    flag: bool
    reasons: list[Signal]


def at_risk(
    scores: CourseScores, as_of: datetime, percentile: float | None, thresholds: Thresholds
) -> AtRisk:
    """The rules over one learner's scores as of a moment; a figure without a basis gives no reason.

    Provisional figures rest on too little to judge results by; inactivity is told all the same.
    """
    reasons = []
    idle = _idle_days(scores.last_activity_at, as_of)
    if idle is not None and idle >= thresholds.inactive_days:
        reasons.append(
            Signal("inactive", int(idle), thresholds.inactive_days, f"no activity for {int(idle)} days")
        )
    if not scores.provisional:
        reasons += _of_results(scores, percentile, thresholds)
    return AtRisk(bool(reasons), reasons)


def _of_results(scores: CourseScores, percentile: float | None, thresholds: Thresholds) -> list[Signal]:
    reasons = []
    if scores.ewma is not None and scores.ewma < thresholds.ewma:
        text = f"recent work at {scores.ewma:.0%}, below {thresholds.ewma:.0%}"
        reasons.append(Signal("low_ewma", scores.ewma, thresholds.ewma, text))
    if scores.trend is not None and scores.trend < thresholds.trend:
        text = f"results fall by {-scores.trend * 100:.1f} points with every attempt"
        reasons.append(Signal("falling", scores.trend, thresholds.trend, text))
    if percentile is not None and percentile < thresholds.percentile:
        text = f"at percentile {percentile:.0f} of the course"
        reasons.append(Signal("low_percentile", percentile, thresholds.percentile, text))
    return reasons


def _idle_days(last: datetime | None, as_of: datetime) -> float | None:
    return None if last is None else max(0.0, (as_of - last) / timedelta(days=1))
