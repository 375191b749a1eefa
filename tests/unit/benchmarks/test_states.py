"""Made states have the shape they are named for."""

from itertools import islice
from statistics import mean

from benchmarks import states
from benchmarks.states import OULAD, Sizes
from worker.domain.window import DAY_MICROS, RING, unpack
from worker.stream.projecting import state_value

PAIRS = 25_843


def test_the_table_is_that_of_the_open_university() -> None:
    assert sum(OULAD) == PAIRS
    assert sum(count * pairs for count, pairs in enumerate(OULAD, 1)) == 173_912


def test_typical_states_have_as_many_attempts_as_real_ones() -> None:
    made = list(islice(states.typical(4_000, 3), 9_000))
    assert len({key for key, _ in made}) == 9_000
    real = sum(count * pairs for count, pairs in enumerate(OULAD, 1)) / PAIRS
    assert abs(mean(len(state.attempts) for _, state in made) - real) < 0.2


def test_full_states_are_full() -> None:
    for _, state in states.full(10, 3):
        window = unpack(state_value(state)[17:])
        assert len(window.ring) == len(window.days) == RING
        assert len({occurred // DAY_MICROS for occurred, _, _ in state.attempts}) == RING


def test_sizes_are_told_by_their_distribution() -> None:
    found = Sizes.of([*range(1, 100), 1_000], [10] * 100)
    assert (found.states, found.p50, found.p99, found.most, found.value_mean) == (100, 51, 1_000, 1_000, 10)
    assert found.figures["mean_B"] == 59.5
