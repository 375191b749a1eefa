from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from worker.domain.derivation import computed, derive
from worker.domain.event import micros
from worker.domain.window import DAY_MICROS, RING, Attempt

TODAY = micros(NOW)


def attempt(n: int, *, days_ago: float = 0, ratio: int | None = 500_000) -> Attempt:
    return Attempt(TODAY - round(days_ago * DAY_MICROS), n << 32, ratio)


def test_each_output_names_the_attempts_that_make_it() -> None:
    attempts = [attempt(n, days_ago=n, ratio=n * 10_000) for n in range(40)]
    derived = derive([*attempts, attempt(99, days_ago=-0.1, ratio=None)], NOW)
    ring = [one.key for one in reversed(attempts[:RING])]
    assert derived["mean_last_n"].attempts == derived["ewma"].attempts == derived["trend"].attempts == ring
    assert [key >> 32 for key in derived["mean_last_7d"].attempts] == [6, 5, 4, 3, 2, 1, 0]
    assert len(derived["mean_last_30d"].attempts) == 30
    assert [key >> 32 for key in derived["latest"].attempts] == [0]
    assert [key >> 32 for key in derived["best"].attempts] == [39]
    assert [key >> 32 for key in derived["last_activity_at"].attempts] == [99]
    assert (derived["attempts_total"].value, derived["attempts_scored"].value) == (41, 40)


def test_too_few_attempts_make_no_trend_and_none_make_nothing() -> None:
    assert list(derive([attempt(1), attempt(2)], NOW)["trend"].attempts) == []
    assert all(not one.attempts for one in derive([], NOW).values())


@given(st.lists(st.tuples(st.floats(0, 60), st.none() | st.integers(-(10**6), 10**8)), max_size=60))
def test_every_output_can_be_computed_from_its_own_attempts_alone(
    made: list[tuple[float, int | None]],
) -> None:
    attempts = [attempt(n, days_ago=days, ratio=ratio) for n, (days, ratio) in enumerate(made)]
    by_key = {one.key: one for one in attempts}
    for name, one in derive(attempts, NOW + timedelta(minutes=1)).items():
        if one.attempts:
            again = computed([by_key[key] for key in one.attempts], NOW + timedelta(minutes=1))
            assert getattr(again, name) == one.value
