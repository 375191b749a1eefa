"""A class as its teacher sees it: figures over all learners of a course, and one line for each.

Always computed from the states of the learners, never incremented: a figure that is counted up goes wrong
with the first correction and stays wrong.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from worker.domain.risk import AtRisk, Thresholds, at_risk
from worker.domain.score import DEFINITION, MICRO, CourseScores, scores
from worker.domain.window import Window

SMALL = 10
"""Groups under this size are hidden from people without row access, and no percentile is given in them."""
TENTHS = 10


class Tenth(msgspec.Struct, frozen=True, rename={"lower": "from", "upper": "to"}):
    """One bar of the distribution: learners whose mean is at least `lower` and below `upper`."""

    lower: float
    upper: float
    learners: int


class Learner(msgspec.Struct, frozen=True):
    """One line of the roster."""

    student_key: UUID
    scores: CourseScores
    percentile: float | None
    at_risk: AtRisk


class Ranking(msgspec.Struct, frozen=True):
    """The means of all learners that count, ascending, in millionths of the maximum."""

    means: list[int]

    def percentile(self, mean: float | None) -> float | None:
        """Mid-rank among the learners of the class, 0 to 100; None in a class too small to hide anyone.

        percentile = 100 (below + equal / 2) / all
        """
        if mean is None or len(self.means) < SMALL:
            return None
        value = round(mean * MICRO)
        below, upto = bisect_left(self.means, value), bisect_right(self.means, value)
        return 100 * (below + upto) / 2 / len(self.means)


class Classroom(msgspec.Struct, frozen=True):
    """The figures of one class; `counted` learners are those whose scores are not provisional."""

    course_id: str
    definition: str
    as_of: datetime
    learners: list[Learner]
    ranking: Ranking
    mean: float | None
    distribution: list[Tenth]
    at_risk: int
    degraded: bool = False

    @property
    def counted(self) -> int:
        return len(self.ranking.means)


def classroom(
    course_id: str, windows: Mapping[UUID, Window], as_of: datetime, thresholds: Thresholds
) -> Classroom:
    """The class made of these learners' states, as of an aware moment."""
    computed = [(key, scores(window, as_of)) for key, window in windows.items()]
    means = sorted(
        round(figures.mean_last_n * MICRO)
        for _, figures in computed
        if figures.mean_last_n is not None and not figures.provisional
    )
    ranking = Ranking(means)
    learners = [_learner(key, figures, as_of, ranking, thresholds) for key, figures in computed]
    return Classroom(
        course_id=course_id,
        definition=DEFINITION,
        as_of=as_of,
        learners=learners,
        ranking=ranking,
        mean=sum(means) / len(means) / MICRO if means else None,
        distribution=distribution(means),
        at_risk=sum(learner.at_risk.flag for learner in learners),
    )


def percentile_of(figures: CourseScores, ranking: Ranking) -> float | None:
    """The percentile of one learner's mean; None while it is provisional."""
    return None if figures.provisional else ranking.percentile(figures.mean_last_n)


def distribution(means: Iterable[int]) -> list[Tenth]:
    """Ten bars from 0 to 1; means below 0 count in the first, means from 1 in the last."""
    counts = [0] * TENTHS
    for mean in means:
        counts[min(max(mean * TENTHS // MICRO, 0), TENTHS - 1)] += 1
    return [Tenth(n / TENTHS, (n + 1) / TENTHS, count) for n, count in enumerate(counts)]


def merged(bars: Sequence[Tenth], least: int = SMALL) -> list[Tenth]:
    """Neighbouring bars joined until each holds at least `least` learners; none if all together do not.

    Merging hides better than leaving bars out: what is left out follows from the total.
    """
    joined: list[Tenth] = []
    open_from: float | None = None
    waiting = 0
    for bar in bars:
        open_from = bar.lower if open_from is None else open_from
        waiting += bar.learners
        if waiting >= least:
            joined.append(Tenth(open_from, bar.upper, waiting))
            open_from, waiting = None, 0
    if open_from is not None and joined:
        last = joined.pop()
        joined.append(Tenth(last.lower, bars[-1].upper, last.learners + waiting))
    return joined


def _learner(
    key: UUID, figures: CourseScores, as_of: datetime, ranking: Ranking, thresholds: Thresholds
) -> Learner:
    percentile = percentile_of(figures, ranking)
    return Learner(key, figures, percentile, at_risk(figures, as_of, percentile, thresholds))


class Publication(msgspec.Struct, frozen=True):
    """A class as people without row access see it: no learner can be told, not even by comparing two of them.

    `versions` is what each learner's state was; it is kept beside the figures and never shown. `realm` issued
    the ids of its learners; it is empty where nobody's seal tells.
    """

    course_id: str
    definition: str
    as_of: datetime
    learners: int | None
    learners_counted: int | None
    mean: float | None
    at_risk: int | None
    distribution: list[Tenth]
    versions: dict[str, str]
    realm: str = ""


def publish(
    room: Classroom,
    versions: Mapping[UUID, str],
    last: Publication | None,
    realm: str = "",
    least: int = SMALL,
) -> Publication:
    """What may be shown now: the last publication, until at least `least` learners have changed since."""
    now = {str(key): version for key, version in versions.items()}
    if last is not None and _changed(last.versions, now) < least:
        return last
    learners, counted = len(room.learners), room.counted
    # beside the number that counts, the number of all would tell how few do not
    both = counted < least or _hides(learners - counted, least)
    return Publication(
        course_id=room.course_id,
        definition=room.definition,
        as_of=room.as_of,
        learners=_large(learners, least) if both else None,
        learners_counted=_large(counted, least),
        mean=round(room.mean, 2) if room.mean is not None and counted >= least else None,
        at_risk=_large(room.at_risk, least) if learners - room.at_risk >= least else None,
        distribution=merged(room.distribution, least),
        versions=now,
        realm=realm,
    )


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> int:
    return sum(before.get(key) != now.get(key) for key in before.keys() | now.keys())


def _large(count: int, least: int) -> int | None:
    return count if count >= least else None


def _hides(rest: int, least: int) -> bool:
    """Whether the rest of a total tells nothing about few: it is empty, or large enough itself."""
    return rest == 0 or rest >= least
