"""Live attempts for the demo: what a school day sends, with everything that makes scores hard.

The history of a file arrives sorted and clean. Live traffic does not: a few learners do most of the work,
so that their windows roll over, teachers regrade and take back, platforms send things twice. All of it is
drawn here, from one seed, so that a run that goes wrong can be run again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import TypeVar

_QUIZZES = 12
_MAX_SCORE = 100.0
_TICK = timedelta(microseconds=1)

_REMEMBERED = 100_000

Event = dict[str, object]
T = TypeVar("T")


def live_attempts(
    pairs: Sequence[tuple[str, str]],
    rng: Random,
    count: int,
    now: Callable[[], datetime],
    *,
    skew: float = 1.0,
) -> Iterator[Event]:
    """Yield `count` native events of known learners; the caller paces them by asking.

    Of 1,000 events about 940 are new attempts (20 of them without a score, 30 above the maximum), 25 regrades
    of an earlier attempt, 10 voids and 25 exact copies of an earlier event. Earlier means one of about the
    last 100,000, so that a stream without an end takes no more memory than that. The n-th busiest pair sends
    a share proportional to 1/n: of 20,000 events over 20,000 pairs, 70 pairs send more than 25.

    Args:
        pairs: the (student_id, course_id) that may send; not empty when count > 0.
        rng: where all choices come from; also decides who is busy.
        count: how many events.
        skew: the power of n in that share; 0 makes all pairs equally busy.
        now: the time of asking, aware; becomes occurred_at, or graded_at of regrades and voids.
    """
    ranked = rng.sample(pairs, len(pairs))
    shares = list(accumulate(1 / rank**skew for rank in range(1, len(ranked) + 1)))
    abilities = [rng.gauss(68, 12) for _ in ranked]
    tries: Counter[tuple[str, str, str]] = Counter()
    sent: list[Event] = []
    standing: list[tuple[Event, datetime]] = []  # attempts not voided, each with its last grading

    for number in range(count):
        lot = rng.random()
        if lot < 0.025 and sent:
            event = dict(rng.choice(sent))
        elif lot < 0.06 and standing:
            index = rng.randrange(len(standing))
            earlier, graded_at = standing[index]
            graded_at = max(now(), graded_at + _TICK)
            if lot < 0.05:
                event = _regrade(earlier, graded_at, rng)
                standing[index] = (event, graded_at)
            else:
                event = {**earlier, "score": None, "kind": "voided", "graded_at": _rfc3339(graded_at)}
                standing[index] = standing[-1]
                standing.pop()
        else:
            position = rng.choices(range(len(ranked)), cum_weights=shares)[0]
            student_id, course_id = ranked[position]
            item_id = f"live-quiz-{rng.randint(1, _QUIZZES)}"
            tries[student_id, course_id, item_id] += 1
            occurred_at = now()
            event = {
                "student_id": student_id,
                "course_id": course_id,
                "item_id": item_id,
                "attempt": tries[student_id, course_id, item_id],
                "score": _score(abilities[position], rng),
                "max_score": _MAX_SCORE,
                "occurred_at": _rfc3339(occurred_at),
            }
            _remember(standing, (event, occurred_at), number)
        _remember(sent, event, number)
        yield dict(event)


def _remember(past: list[T], what: T, number: int) -> None:
    if len(past) < _REMEMBERED:
        past.append(what)
    else:
        past[number % _REMEMBERED] = what


def _score(ability: float, rng: Random) -> float | None:
    lot = rng.random()
    if lot < 0.02:
        return None
    if lot < 0.05:
        return round(rng.uniform(_MAX_SCORE + 0.5, _MAX_SCORE * 1.1), 1)
    return round(min(max(rng.gauss(ability, 10), 0.0), _MAX_SCORE), 1)


def _regrade(earlier: Event, graded_at: datetime, rng: Random) -> Event:
    score = round(rng.uniform(40, 100), 1)
    if score == earlier["score"]:
        score -= 0.5
    return {**earlier, "score": score, "graded_at": _rfc3339(graded_at)}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
