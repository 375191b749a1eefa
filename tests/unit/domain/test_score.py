"""Definition `v1` against a slow reading of `docs/scores.md`, exact in fractions, and examples by hand."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW, score_event
from worker.domain.event import Kind, ScoreEvent, micros, order_of, ratio_micros, register_of
from worker.domain.score import CourseScores, ewma, scores, trend
from worker.domain.window import EMPTY, Attempt, rebuild, unpack


class Made(NamedTuple):
    """A surviving attempt as the page speaks of it."""

    occurred_at: datetime
    key: int
    ratio: Fraction | None


def as_defined(attempts: Sequence[Made], as_of: datetime) -> dict[str, object]:
    """Every figure from its words on the page; nothing here is fast, binary or shared with the worker."""
    scored = [(a.occurred_at, a.key, a.ratio) for a in attempts if a.ratio is not None]
    everything = [ratio for _, _, ratio in sorted(scored)]
    window = everything[-20:]
    k = len(window)

    def mean(values: Sequence[Fraction]) -> Fraction | None:
        return sum(values, Fraction()) / len(values) if values else None

    def last_days(n: int) -> Fraction | None:
        calendar: list[date] = [as_of.astimezone(UTC).date() - timedelta(days=d) for d in range(n)]
        return mean([ratio for at, _, ratio in scored if at.astimezone(UTC).date() in calendar])

    running = window[0] if window else None
    for ratio in window[1:]:
        assert running is not None
        running = Fraction(35, 100) * ratio + Fraction(65, 100) * running

    slope = None
    if k >= 3:
        i_mean, r_mean = Fraction(k - 1, 2), sum(window, Fraction()) / k
        above = sum((i - i_mean) * (r - r_mean) for i, r in enumerate(window))
        slope = above / sum((i - i_mean) ** 2 for i in range(k))

    return {
        "definition": "v1",
        "attempts_total": len(attempts),
        "attempts_scored": len(scored),
        "attempts_window": k,
        "mean_last_n": mean(window),
        "mean_last_7d": last_days(7),
        "mean_last_30d": last_days(30),
        "ewma": running,
        "latest": window[-1] if window else None,
        "best": max(everything, default=None),
        "trend": slope,
        "last_activity_at": max((a.occurred_at for a in attempts), default=None),
        "provisional": len(scored) < 3,
        "over_max": any(ratio > 1 for ratio in everything),
    }


def named(found: CourseScores) -> dict[str, object]:
    return {name: getattr(found, name) for name in CourseScores.__struct_fields__}


def shown(attempts: Sequence[Made], as_of: datetime) -> dict[str, object]:
    """What the worker shows of the same attempts."""
    kept = [
        Attempt(micros(made.occurred_at), made.key, None if made.ratio is None else int(made.ratio * 10**6))
        for made in attempts
    ]
    return named(scores(unpack(rebuild(kept)), as_of))


def approximately(figures: dict[str, object]) -> dict[str, object]:
    # 1e-12 and not 1e-6: both sides start from the same whole millionths
    return {
        name: pytest.approx(float(value), rel=1e-12, abs=1e-12) if isinstance(value, Fraction) else value
        for name, value in figures.items()
    }


MILLIONTHS = st.integers(-2_000_000, 2_000_000) | st.sampled_from([0, 10**6, 10**6 + 1, 10**9, -(10**9)])
MADE = st.builds(
    lambda days, seconds, key, ratio: Made(NOW + timedelta(days=days, seconds=seconds), key, ratio),
    st.integers(-45, 0),
    st.sampled_from([0, 1, 43_199, 43_200]) | st.integers(-43_200, 43_200),
    st.integers(-(2**63), 2**63 - 1),
    st.none() | MILLIONTHS.map(lambda millionths: Fraction(millionths, 10**6)),
)
HISTORIES = st.lists(MADE, max_size=6, unique_by=lambda a: a.key) | st.lists(
    MADE, min_size=18, max_size=45, unique_by=lambda a: a.key
)
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))


@given(HISTORIES, st.integers(0, 45 * 24 * 3600), ZONES)
def test_the_figures_are_those_of_the_page(attempts: list[Made], seconds: int, zone: timezone) -> None:
    newest = max((a.occurred_at for a in attempts), default=NOW)
    as_of = (newest + timedelta(seconds=seconds)).astimezone(zone)
    assert shown(attempts, as_of) == approximately(as_defined(attempts, as_of))


@given(HISTORIES, st.integers(1, 300))
def test_also_before_the_newest_attempt_which_may_lie_five_minutes_ahead(
    attempts: list[Made], seconds: int
) -> None:
    midnight = datetime(2026, 3, 4, tzinfo=UTC)
    ahead = Made(midnight + timedelta(seconds=seconds - 1), -1, Fraction(1, 2))
    history = [a for a in attempts if a.key != -1] + [ahead]
    as_of = ahead.occurred_at - timedelta(seconds=seconds)
    assert as_of.date() < ahead.occurred_at.date()  # the reader's day has not ended yet
    assert shown(history, as_of) == approximately(as_defined(history, as_of))


EXAMPLE = [
    score_event(item="quiz-1", score=6, max_score=10, at=datetime(2026, 2, 2, 9, tzinfo=UTC)),
    score_event(item="quiz-2", score=10, max_score=10, at=datetime(2026, 2, 20, 9, tzinfo=UTC)),
    score_event(item="essay", score=None, max_score=20, at=datetime(2026, 3, 3, 17, 30, tzinfo=UTC)),
    score_event(item="quiz-3", score=5, max_score=10, at=datetime(2026, 3, 10, 9, tzinfo=UTC)),
    score_event(
        item="quiz-3",
        score=7,
        max_score=10,
        at=datetime(2026, 3, 10, 9, tzinfo=UTC),
        graded=datetime(2026, 3, 12, 15, tzinfo=UTC),
    ),
    score_event(item="lab", score=11, max_score=10, at=datetime(2026, 3, 16, 10, tzinfo=UTC)),
    score_event(item="quiz-4", score=2, max_score=10, at=datetime(2026, 3, 18, 9, tzinfo=UTC)),
    score_event(
        item="quiz-4",
        void=True,
        at=datetime(2026, 3, 18, 9, tzinfo=UTC),
        graded=datetime(2026, 3, 18, 12, tzinfo=UTC),
    ),
]


def surviving(events: Sequence[ScoreEvent]) -> list[Attempt]:
    registers: dict[int, ScoreEvent] = {}
    for event in events:
        register = register_of(event)
        standing = registers.get(register.key)
        if standing is None or order_of(standing, register_of(standing)) < order_of(event, register):
            registers[register.key] = event
    return [
        Attempt(micros(event.occurred_at), key, ratio_micros(event.score, event.max_score))
        for key, event in registers.items()
        if event.kind is Kind.SCORED
    ]


@pytest.mark.parametrize(
    ("as_of", "mean_last_7d", "mean_last_30d"),
    [
        (datetime(2026, 3, 20, tzinfo=UTC), 1.1, 2.8 / 3),
        (datetime(2026, 3, 23, tzinfo=UTC), None, 0.9),
        (datetime(2026, 4, 14, 23, 59, tzinfo=UTC), None, 1.1),
        (datetime(2026, 4, 15, tzinfo=UTC), None, None),
    ],
)
@pytest.mark.parametrize("rotation", range(len(EXAMPLE)))
def test_the_example_of_the_page_in_whatever_order_it_arrives(
    rotation: int, as_of: datetime, mean_last_7d: float | None, mean_last_30d: float | None
) -> None:
    for events in (EXAMPLE[rotation:] + EXAMPLE[:rotation], (EXAMPLE[:rotation] + EXAMPLE[rotation:])[::-1]):
        found = named(scores(unpack(rebuild(surviving(events))), as_of))
        assert found == {
            "definition": "v1",
            "attempts_total": 5,
            "attempts_scored": 4,
            "attempts_window": 4,
            "mean_last_n": 0.85,
            "mean_last_7d": pytest.approx(mean_last_7d, abs=1e-6),
            "mean_last_30d": pytest.approx(mean_last_30d, abs=1e-6),
            "ewma": pytest.approx(0.8569, abs=1e-12),
            "latest": 1.1,
            "best": 1.1,
            "trend": pytest.approx(0.12, abs=1e-12),
            "last_activity_at": datetime(2026, 3, 16, 10, tzinfo=UTC),
            "provisional": False,
            "over_max": True,
        }


def test_without_attempts_there_is_nothing_to_compute_from() -> None:
    assert scores(unpack(EMPTY), NOW) == CourseScores(
        definition="v1",
        attempts_total=0,
        attempts_scored=0,
        attempts_window=0,
        mean_last_n=None,
        mean_last_7d=None,
        mean_last_30d=None,
        ewma=None,
        latest=None,
        best=None,
        trend=None,
        last_activity_at=None,
        provisional=True,
        over_max=False,
    )


def of(*ratios: int | None, at: datetime = NOW, as_of: datetime = NOW) -> CourseScores:
    """The figures of attempts one second apart that end at `at`."""
    made = [
        Attempt(micros(at) - (len(ratios) - 1 - n) * 1_000_000, n << 32, ratio)
        for n, ratio in enumerate(ratios)
    ]
    return scores(unpack(rebuild(made)), as_of)


def test_no_points_are_zero_and_not_nothing() -> None:
    found = of(0)
    figures = [
        found.mean_last_n,
        found.mean_last_7d,
        found.mean_last_30d,
        found.ewma,
        found.latest,
        found.best,
    ]
    assert figures == [0.0] * 6


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([], None),
        ([400_000], 0.4),
        ([0, 1_000_000], 0.35),
        ([1_000_000, 0], 0.65),
        ([600_000, 1_000_000, 700_000, 1_100_000], 0.8569),
        ([500_000] * 20, 0.5),
        ([1_000_000] + [0] * 19, 0.65**19),
        ([0] * 19 + [1_000_000], 0.35),
        ([0] * 15 + [1_000_000] * 5, 1 - 0.65**5),  # the last five make 88 % of it
    ],
)
def test_ewma_by_hand(ratios: list[int], expected: float | None) -> None:
    assert ewma(ratios) == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([], None),
        ([1_000_000], None),
        ([0, 1_000_000], None),  # two points are not a trend
        ([0, 500_000, 1_000_000], 0.5),
        ([1_000_000, 500_000, 0], -0.5),
        ([700_000] * 3, 0),
        ([0, 1_000_000, 0], 0),
        ([600_000, 1_000_000, 700_000, 1_100_000], 0.12),
        ([0, 0, 0, 1_000_000], 0.3),
        ([50_000 * i for i in range(20)], 0.05),
        (
            [0] * 10 + [1_000_000] * 10,
            600 / 7980,
        ),  # six times 100, the sum of (2i - 19)r, by n(n² - 1)
    ],
)
def test_trend_by_hand(ratios: list[int], expected: float | None) -> None:
    assert trend(ratios) == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize(
    ("ratios", "provisional"),
    [([], True), ([1], True), ([1, 1], True), ([1, None, 1, None], True), ([1, 1, 1], False)],
)
def test_fewer_than_three_scored_attempts_are_provisional(
    ratios: list[int | None], *, provisional: bool
) -> None:
    assert of(*ratios).provisional is provisional


@pytest.mark.parametrize(
    ("ratios", "over_max"),
    [
        ([1_000_000], False),
        ([1_000_001], True),
        ([-1_000_001], False),
        ([None], False),
        ([1_000_001] + [0] * 25, True),  # long out of the window, but it stands
    ],
)
def test_a_ratio_above_one_is_flagged(ratios: list[int | None], *, over_max: bool) -> None:
    assert of(*ratios).over_max is over_max


def test_best_looks_beyond_the_window_and_may_be_negative() -> None:
    assert of(900_000, *[100_000] * 20).best == 0.9
    assert of(-500_000, -250_000).best == -0.25


def test_the_window_is_the_last_twenty() -> None:
    found = of(*[0] * 30, *[1_000_000] * 20)
    assert (found.attempts_total, found.attempts_scored, found.attempts_window) == (50, 50, 20)
    assert found.mean_last_n == found.latest == found.ewma == 1.0
    assert found.trend == 0.0


def test_last_activity_is_the_latest_attempt_scored_or_not() -> None:
    assert of(1, None).last_activity_at == NOW
    assert of(None, 1).last_activity_at == NOW
    assert of(None, at=NOW - timedelta(days=90)).last_activity_at == NOW - timedelta(days=90)


MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
LAST_MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("made", "as_of", "within_7", "within_30"),
    [
        #  7 days    26 27 28 29 30 31 |01|         D = 2026-01-01, across the year
        (MIDNIGHT - timedelta(days=6), MIDNIGHT, True, True),
        (MIDNIGHT - timedelta(days=6) - LAST_MOMENT, MIDNIGHT, False, True),
        # the same attempts one moment earlier, when it is still 2025
        (MIDNIGHT - timedelta(days=6) - LAST_MOMENT, MIDNIGHT - LAST_MOMENT, True, True),
        (MIDNIGHT - timedelta(days=7) - LAST_MOMENT, MIDNIGHT - LAST_MOMENT, False, True),
        #  30 days   2025-12-03 ...... 2026-01-01
        (datetime(2025, 12, 3, tzinfo=UTC), MIDNIGHT, False, True),
        (datetime(2025, 12, 3, tzinfo=UTC) - LAST_MOMENT, MIDNIGHT, False, False),
        # today counts to its end
        (MIDNIGHT + timedelta(days=1) - LAST_MOMENT, MIDNIGHT, True, True),
        (MIDNIGHT + timedelta(days=1), MIDNIGHT, False, False),
        # a leap day is a day: 2024-02-29 is the first of the 30 that end on 29 March
        (datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 29, 12, tzinfo=UTC), False, True),
        (datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 30, tzinfo=UTC), False, False),
        # the day is that of UTC, not of the reader's zone
        (
            MIDNIGHT - timedelta(days=7),
            MIDNIGHT.replace(hour=5, tzinfo=timezone(timedelta(hours=9))),
            True,
            True,
        ),
    ],
)
def test_calendar_days(made: datetime, as_of: datetime, *, within_7: bool, within_30: bool) -> None:
    found = of(1_000_000, at=made, as_of=as_of)
    assert (found.mean_last_7d is not None, found.mean_last_30d is not None) == (within_7, within_30)


def test_the_days_fall_without_an_event_and_nothing_else_does() -> None:
    state = unpack(rebuild([Attempt(micros(NOW), 1, 800_000), Attempt(micros(NOW) + 1, 2, None)]))
    figures = [scores(state, NOW + timedelta(days=days)) for days in range(35)]
    for earlier, later in itertools.pairwise(figures):
        assert later.mean_last_n == earlier.mean_last_n
        assert later.last_activity_at == earlier.last_activity_at
    assert [f.mean_last_7d for f in figures] == [0.8] * 7 + [None] * 28
    assert [f.mean_last_30d for f in figures] == [0.8] * 30 + [None] * 5
