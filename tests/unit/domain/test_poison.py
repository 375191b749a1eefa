"""The limit on dead-lettering, by arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.poison import PoisonLimit, PoisonWindow

LIMIT = PoisonLimit(share=0.05, window=10_000, streak=500)
GOOD, BAD = False, True


def feed(window: PoisonWindow, *batches: list[bool]) -> tuple[PoisonWindow, list[bool]]:
    halts = []
    for batch in batches:
        window, halt = window.after(batch, LIMIT)
        halts.append(halt)
    return window, halts


def test_a_few_bad_events_of_a_young_stream_do_not_halt_it() -> None:
    _, halts = feed(PoisonWindow(), [BAD] * 10, [GOOD] * 10)
    assert halts == [False, False]


def test_five_percent_of_the_window_is_allowed_and_one_more_is_not() -> None:
    # 20 batches of 25 bad and 475 good: 500 bad of 10,000
    window, halts = feed(PoisonWindow(), *[[BAD] * 25 + [GOOD] * 475] * 20)
    assert not any(halts)
    _, halts = feed(window, [BAD])
    assert halts == [True]


def test_what_left_the_window_is_forgotten() -> None:
    window, _ = feed(PoisonWindow(), *[[BAD] * 25 + [GOOD] * 475] * 20)
    window, halts = feed(window, *[[GOOD] * 500] * 20)
    assert not any(halts)
    assert window.poison == 0


@pytest.mark.parametrize(("streak", "halts"), [(499, False), (500, True)])
def test_a_streak_halts_across_batches(streak: int, *, halts: bool) -> None:
    window, _ = feed(PoisonWindow(), [GOOD, *[BAD] * 200])
    _, seen = feed(window, [BAD] * (streak - 200))
    assert seen == [halts]


def test_a_streak_that_ended_inside_the_batch_counts() -> None:
    _, halts = feed(PoisonWindow(), [BAD] * 500 + [GOOD])
    assert halts == [True]


@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=200))
def test_the_value_stays_small_and_covers_the_window(batches: list[list[bool]]) -> None:
    limit = PoisonLimit(share=1.0, window=100, streak=10**9)
    window, seen = PoisonWindow(), []
    for batch in batches:
        window, _ = window.after(batch, limit)
        seen += batch
    assert len(window.buckets) <= 21
    events = sum(count for count, _ in window.buckets)
    assert min(len(seen), 100) <= events
    assert window.poison == sum(seen[len(seen) - events :])
