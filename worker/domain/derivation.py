"""How each output of a score comes about: which attempts make it.

A student may ask why a figure is what it is, and a family may contest it. So an export names, for every
output of the definition, the attempts it was computed from, and recomputes it from those alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from worker.domain import window
from worker.domain.event import micros
from worker.domain.score import TREND_FROM, CourseScores, scores
from worker.domain.window import DAY_MICROS, RING, Attempt


class Derived(msgspec.Struct, frozen=True):
    """One output, its value, and the keys of the attempts that make it, oldest first."""

    value: Any
    attempts: Sequence[int]


def derive(attempts: Sequence[Attempt], as_of: datetime) -> Mapping[str, Derived]:
    """Every output of one student in one course, with what makes it."""
    ordered = sorted(attempts, key=lambda attempt: attempt[:2])
    outputs = computed(ordered, as_of)
    scored = [attempt for attempt in ordered if attempt.ratio is not None]
    ring = scored[-RING:]
    today = micros(as_of) // DAY_MICROS
    made: dict[str, Sequence[Attempt]] = {
        "attempts_total": ordered,
        "attempts_scored": scored,
        "attempts_window": ring,
        "mean_last_n": ring,
        "mean_last_7d": _of_days(scored, today, 7),
        "mean_last_30d": _of_days(scored, today, 30),
        "ewma": ring,
        "latest": ring[-1:],
        "best": _best(scored),
        "trend": ring if len(ring) >= TREND_FROM else [],
        "last_activity_at": ordered[-1:],
        "provisional": scored,
        "over_max": _best(scored),
    }
    values = msgspec.structs.asdict(outputs)
    return {name: Derived(values[name], [one.key for one in by]) for name, by in made.items()}


def computed(attempts: Sequence[Attempt], as_of: datetime) -> CourseScores:
    """The outputs of exactly these attempts."""
    return scores(window.unpack(window.rebuild(attempts)), as_of)


def _of_days(scored: Sequence[Attempt], today: int, days: int) -> list[Attempt]:
    return [one for one in scored if today - days < one.occurred // DAY_MICROS <= today]


def _best(scored: Sequence[Attempt]) -> list[Attempt]:
    best = max((one.ratio for one in scored if one.ratio is not None), default=None)
    return [one for one in scored if one.ratio == best][:1]
