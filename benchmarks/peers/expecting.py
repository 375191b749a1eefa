"""What events must have left in a peer's sinks, worked out anew from the events alone."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

KEPT = 20

Event = Mapping[str, Any]
State = tuple[str, str]
"""A student and a course."""


class Expected(NamedTuple):
    """What is left by whoever takes each event as a further score.

    Attributes:
        rows: one an event.
        total: of all scores.
        last: of each state the last scores, in the order of arrival.
        scores: how many each state has had.
    """

    rows: int
    total: float
    last: Mapping[State, Sequence[float]]
    scores: Mapping[State, int]


class Registered(NamedTuple):
    """What is left by whoever keeps the last grading of each attempt.

    Attributes:
        attempts: all, those that were taken back as well.
        total: of the scores that stand.
        means: of each state, over its last attempts that stand.
    """

    attempts: int
    total: float
    means: Mapping[State, float]


def expected(events: Iterable[Event], student: str = "student_id") -> Expected:
    """What these events leave; `student` is the field that names the student in their form."""
    last: dict[State, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
    scores: dict[State, int] = defaultdict(int)
    rows, total = 0, 0.0
    for event in events:
        rows += 1
        if (score := event.get("score")) is not None:
            state = event[student], event["course_id"]
            total += score
            scores[state] += 1
            last[state].append(score)
    return Expected(rows, total, {state: list(found) for state, found in last.items()}, dict(scores))


def registered(events: Iterable[Event]) -> Registered:
    """What they leave as registers: the newest grading wins, then a void."""
    attempts: dict[tuple[str, str, str, int], tuple[str, bool, float | None, str]] = {}
    for event in events:
        key = event["student_id"], event["course_id"], event["item_id"], event["attempt"]
        occurred = str(event["occurred_at"]).removesuffix("Z")
        graded = str(event.get("graded_at") or event["occurred_at"]).removesuffix("Z")
        grading = graded, event.get("kind") == "voided", event.get("score"), occurred
        if key not in attempts or grading[:2] >= attempts[key][:2]:
            attempts[key] = grading
    standing: dict[State, list[tuple[str, float]]] = defaultdict(list)
    for (student, course, _, _), (_, voided, score, occurred) in attempts.items():
        if not voided and score is not None:
            standing[student, course].append((occurred, score))
    means = {}
    for state, scores in standing.items():
        last = [score for _, score in sorted(scores)[-KEPT:]]
        means[state] = sum(last) / len(last)
    total = sum(score for scores in standing.values() for _, score in scores)
    return Registered(len(attempts), total, means)


def close(one: float, other: float) -> bool:
    """Equal but for the order of adding."""
    return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
