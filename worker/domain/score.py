"""Score definition `v1`: what a reader sees of one student in one course.

Computed when read, never stored: the values of the last days fall as time passes, without an event.
`docs/scores.md` explains every figure to a teacher; this module is its exact form.
"""

from datetime import datetime
from operator import mul

import msgspec

from worker.domain.event import from_micros, micros
from worker.domain.window import DAY_MICROS, NEVER, NOTHING, Window

DEFINITION = "v1"
ALPHA = 0.35
PROVISIONAL_BELOW = 3
TREND_FROM = 3
MICRO = 1_000_000


class CourseScores(msgspec.Struct, frozen=True):
    """Every output of the definition; ratios are fractions of the maximum, None without a basis.

    `trend` is the change of the ratio per attempt; `over_max` flags a ratio above 1 among the attempts.
    """

    definition: str
    attempts_total: int
    attempts_scored: int
    attempts_window: int
    mean_last_n: float | None
    mean_last_7d: float | None
    mean_last_30d: float | None
    ewma: float | None
    latest: float | None
    best: float | None
    trend: float | None
    last_activity_at: datetime | None
    provisional: bool
    over_max: bool


def scores(window: Window, as_of: datetime) -> CourseScores:
    """The outputs of a state as of an aware moment not before its newest attempt's day."""
    ratios = [ratio for _, ratio, _ in window.ring]
    today = micros(as_of) // DAY_MICROS
    best = None if window.best == NOTHING else window.best
    return CourseScores(
        definition=DEFINITION,
        attempts_total=window.total,
        attempts_scored=window.scored,
        attempts_window=len(ratios),
        mean_last_n=_mean(sum(ratios), len(ratios)),
        mean_last_7d=_mean_of_days(window, today, 7),
        mean_last_30d=_mean_of_days(window, today, 30),
        ewma=ewma(ratios),
        latest=ratios[-1] / MICRO if ratios else None,
        best=None if best is None else best / MICRO,
        trend=trend(ratios),
        last_activity_at=None if window.last_activity == NEVER else from_micros(window.last_activity),
        provisional=window.scored < PROVISIONAL_BELOW,
        over_max=best is not None and best > MICRO,
    )


def _mean_of_days(window: Window, today: int, days: int) -> float | None:
    """Mean over the scored attempts of the `days` UTC calendar days that end with `today`."""
    total = count = 0
    for day, day_total, day_count in window.days:
        if today - days < day <= today:
            total += day_total
            count += day_count
    return _mean(total, count)


def ewma(ratios: list[int]) -> float | None:
    """Exponentially weighted mean in order, seeded with the oldest: v <- 0.35 r + 0.65 v."""
    if not ratios:
        return None
    value = float(ratios[0])
    for ratio in ratios[1:]:
        value = ALPHA * ratio + (1 - ALPHA) * value
    return value / MICRO


def trend(ratios: list[int]) -> float | None:
    """Least-squares slope of the ratio over the attempt's index; None under three attempts."""
    n = len(ratios)
    if n < TREND_FROM:
        return None
    # sum((i - mean)(r - mean)) / sum((i - mean)^2), both times 2 so that the numerator stays an integer
    numerator: int = sum(map(mul, range(1 - n, n, 2), ratios))
    return 6 * numerator / (n * (n * n - 1)) / MICRO


def _mean(total: int, count: int) -> float | None:
    return total / count / MICRO if count else None
