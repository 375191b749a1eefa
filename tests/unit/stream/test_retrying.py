"""Delays grow to a bound and are spread below it; whoever asks is never told to stop."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.retrying import Backoff


class Highest(random.Random):
    """Chance at its worst: always the bound itself."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


def first(count: int, backoff: Backoff, chance: random.Random) -> list[float]:
    return list(itertools.islice(backoff.delays(chance), count))


def test_the_bound_doubles_up_to_the_maximum() -> None:
    bounds = first(9, Backoff(initial=0.1, maximum=5.0), Highest())
    assert bounds == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])


def test_no_delay_passes_the_maximum_not_even_the_first() -> None:
    assert first(3, Backoff(initial=60, maximum=5), Highest()) == [5, 5, 5]


@given(st.floats(0.001, 100), st.floats(0.001, 100), st.integers(0, 2**32))
def test_every_delay_lies_between_nothing_and_its_bound(initial: float, maximum: float, seed: int) -> None:
    backoff = Backoff(initial, maximum)
    delays = first(30, backoff, random.Random(seed))
    for delay, bound in zip(delays, first(30, backoff, Highest()), strict=True):
        assert 0 <= delay <= bound <= backoff.maximum


def test_a_fleet_that_lost_one_database_returns_spread_out() -> None:
    fleet = [first(8, Backoff(), random.Random(worker))[-1] for worker in range(300)]
    quarters = [sum(q * 1.25 <= delay < (q + 1) * 1.25 for delay in fleet) for q in range(4)]
    assert sum(quarters) == 300
    assert min(quarters) > 45  # of 75 each


def test_the_same_chance_gives_the_same_delays() -> None:
    assert first(5, Backoff(), random.Random(7)) == first(5, Backoff(), random.Random(7))


def test_every_outage_starts_from_the_beginning() -> None:
    backoff = Backoff()
    assert first(3, backoff, Highest()) == first(3, backoff, Highest())
