"""Class figures: percentiles, tenths, and what may be published without telling on few."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from worker.domain.classroom import (
    SMALL,
    Classroom,
    Publication,
    Ranking,
    Tenth,
    classroom,
    distribution,
    merged,
    percentile_of,
    publish,
)
from worker.domain.event import micros
from worker.domain.risk import Thresholds
from worker.domain.score import MICRO
from worker.domain.window import Attempt, Window, rebuild, unpack


def learner(n: int) -> UUID:
    return UUID(int=n)


def window(ratios: Sequence[int], *, idle_days: int = 0) -> Window:
    """A state with these ratios in percent."""
    last = micros(NOW - timedelta(days=idle_days))
    attempts = [Attempt(last - k, k, ratio * 10_000) for k, ratio in enumerate(ratios)]
    return unpack(rebuild(attempts))


def room(windows: Mapping[UUID, Window], minute: int = 0) -> Classroom:
    return classroom("algebra", windows, NOW + timedelta(minutes=minute), Thresholds())


def room_of(means: Sequence[int]) -> Classroom:
    return room({learner(n): window([mean] * 3) for n, mean in enumerate(means)})


def test_a_percentile_is_the_mid_rank() -> None:
    ranking = Ranking([100_000] * 2 + [500_000] * 4 + [900_000] * 4)
    assert ranking.percentile(0.5) == 40.0
    assert ranking.percentile(0.1) == 10.0
    assert ranking.percentile(0.9) == 80.0
    assert ranking.percentile(0.0) == 0.0
    assert ranking.percentile(1.2) == 100.0
    assert ranking.percentile(None) is None


def test_no_percentile_in_a_class_under_ten() -> None:
    assert Ranking([500_000] * 9).percentile(0.5) is None
    assert Ranking([500_000] * 10).percentile(0.5) == 50.0


@given(st.lists(st.integers(-200_000, 2_000_000), min_size=SMALL, max_size=60))
def test_percentiles_average_to_fifty_and_keep_the_order(means: list[int]) -> None:
    ranking = Ranking(sorted(means))
    found = [ranking.percentile(mean / MICRO) or 0.0 for mean in sorted(means)]
    assert abs(sum(found) / len(found) - 50) < 1e-9
    assert all(a <= b for a, b in pairwise(found))


def test_a_provisional_learner_counts_as_a_learner_and_no_further() -> None:
    windows = {learner(n): window([50] * 3) for n in range(10)}
    windows[learner(10)] = window([90] * 2)
    found = room(windows)
    assert (len(found.learners), found.counted, found.mean) == (11, 10, 0.5)
    late = next(one for one in found.learners if one.student_key == learner(10))
    assert late.percentile is None
    assert percentile_of(late.scores, found.ranking) is None


def test_an_empty_class_has_no_mean() -> None:
    found = room({learner(1): window([])})
    assert (found.mean, found.counted, sum(bar.learners for bar in found.distribution)) == (None, 0, 0)


def test_tenths_close_below_and_open_above() -> None:
    counts = [bar.learners for bar in distribution([-1, 0, 99_999, 100_000, 899_999, 900_000, 3_000_000])]
    assert counts == [3, 1, 0, 0, 0, 0, 0, 0, 1, 2]


bars = st.lists(st.integers(0, 40), min_size=10, max_size=10).map(
    lambda counts: [Tenth(n / 10, (n + 1) / 10, count) for n, count in enumerate(counts)]
)


@given(bars, st.integers(1, 30))
def test_merged_bars_hide_no_learner_and_show_no_small_group(given_bars: list[Tenth], least: int) -> None:
    found = merged(given_bars, least)
    everybody = sum(bar.learners for bar in given_bars)
    if everybody < least:
        assert found == []
        return
    assert sum(bar.learners for bar in found) == everybody
    assert all(bar.learners >= least for bar in found)
    assert (found[0].lower, found[-1].upper) == (0.0, 1.0)
    assert all(a.upper == b.lower for a, b in pairwise(found))


def test_a_merge_is_as_fine_as_it_may_be() -> None:
    counts = [0, 9, 1, 10, 3, 0, 0, 0, 0, 0]
    found = merged([Tenth(n / 10, (n + 1) / 10, count) for n, count in enumerate(counts)])
    assert [(bar.lower, bar.upper, bar.learners) for bar in found] == [(0.0, 0.3, 10), (0.3, 1.0, 13)]


def published(found: Classroom, last: Publication | None = None) -> Publication:
    return publish(found, {one.student_key: str(one.scores) for one in found.learners}, last)


def test_nothing_is_told_of_a_class_of_nine() -> None:
    shown = published(room_of([80] * 9))
    assert (shown.learners, shown.learners_counted, shown.mean, shown.at_risk) == (None, None, None, None)
    assert shown.distribution == []


def test_the_number_of_all_is_not_told_beside_few_that_do_not_count() -> None:
    windows = {learner(n): window([80] * 3) for n in range(20)}
    windows |= {learner(n): window([80]) for n in range(20, 23)}
    shown = published(room(windows))
    assert (shown.learners, shown.learners_counted) == (None, 20)
    windows |= {learner(n): window([80]) for n in range(23, 30)}
    shown = published(room(windows))
    assert (shown.learners, shown.learners_counted) == (30, 20)


def test_at_risk_is_told_only_where_both_sides_are_large() -> None:
    assert published(room_of([20] * 10 + [90] * 9)).at_risk is None
    assert published(room_of([20] * 9 + [90] * 10)).at_risk is None
    assert published(room_of([20] * 10 + [90] * 10)).at_risk == 10


def test_nine_changes_do_not_show_and_ten_do() -> None:
    first = published(room_of([80] * 30))
    assert published(room_of([20] * 9 + [80] * 21), first) is first
    assert published(room_of([20] * 10 + [80] * 20), first) is not first


def test_one_who_leaves_or_comes_has_changed() -> None:
    first = published(room_of([80] * 30))
    assert published(room_of([80] * 39), first) is first
    assert published(room_of([80] * 40), first) is not first
    assert published(room_of([80] * 21), first) is first


steps = st.lists(
    st.dictionaries(
        st.integers(0, 45), st.lists(st.integers(0, 110), min_size=0, max_size=4), min_size=1, max_size=25
    ),
    min_size=1,
    max_size=6,
)


@given(steps)
def test_successive_publications_differ_by_ten_learners_and_no_cell_is_small(
    changes: list[dict[int, list[int]]],
) -> None:
    windows: dict[UUID, Window] = {}
    last: Publication | None = None
    for minute, change in enumerate(changes):
        windows |= {learner(n): window(ratios) for n, ratios in change.items()}
        versions = {key: str(found) for key, found in windows.items()}
        shown = publish(room(windows, minute), versions, last)
        if last is not None and shown is not last:
            both = last.versions.keys() | shown.versions.keys()
            assert sum(last.versions.get(key) != shown.versions.get(key) for key in both) >= SMALL
        _assert_no_small_cell(shown, len(shown.versions))
        last = shown


def _assert_no_small_cell(shown: Publication, everybody: int) -> None:
    told = [shown.learners, shown.learners_counted, shown.at_risk, *(b.learners for b in shown.distribution)]
    assert all(count is None or count >= SMALL for count in told)
    counted = sum(bar.learners for bar in shown.distribution)
    assert shown.learners_counted in (None, counted)
    if shown.learners is not None:
        assert shown.learners == everybody
        assert counted == 0 or shown.learners - counted == 0 or shown.learners - counted >= SMALL
        assert shown.at_risk is None or shown.learners - shown.at_risk >= SMALL
    assert shown.mean is None or round(shown.mean, 2) == shown.mean
