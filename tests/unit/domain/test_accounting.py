"""Every event read has exactly one outcome, in every sum and difference of counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.accounting import Accounting, Outcome

COUNTS = st.dictionaries(st.sampled_from(Outcome), st.integers(0, 10**9))
ACCOUNTINGS = st.builds(Accounting, st.integers(0, 10**9), COUNTS)
CLOSED = COUNTS.map(lambda outcomes: Accounting(sum(outcomes.values()), outcomes))


def counts(accounting: Accounting) -> tuple[int, list[int]]:
    return accounting.read, [accounting[outcome] for outcome in Outcome]


def test_the_outcomes_of_the_published_sum() -> None:
    names = "applied revised duplicate superseded redelivered erased dead_lettered"
    assert [str(outcome) for outcome in Outcome] == names.split()


@pytest.mark.parametrize(
    ("read", "outcomes", "closes"),
    [
        (0, {}, True),
        (3, {Outcome.APPLIED: 2, Outcome.DEAD_LETTERED: 1}, True),
        (3, {Outcome.APPLIED: 2}, False),
        (2, {Outcome.APPLIED: 2, Outcome.DUPLICATE: 1}, False),
        (1, {}, False),
        (0, {Outcome.ERASED: 1}, False),
    ],
)
def test_it_closes_when_nothing_is_lost_or_counted_twice(
    read: int, outcomes: dict[Outcome, int], *, closes: bool
) -> None:
    assert Accounting(read, outcomes).closes is closes


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_counts_towards_the_sum(outcome: Outcome) -> None:
    accounting = Accounting(5, {outcome: 5})
    assert accounting.accounted == 5
    assert accounting[outcome] == 5


def test_an_outcome_that_did_not_happen_is_zero() -> None:
    assert [Accounting(1, {Outcome.APPLIED: 1})[outcome] for outcome in Outcome] == [1, 0, 0, 0, 0, 0, 0]


@given(CLOSED, CLOSED)
def test_what_closes_still_closes_when_added(one: Accounting, other: Accounting) -> None:
    assert (one + other).closes


@given(ACCOUNTINGS, ACCOUNTINGS)
def test_a_gap_never_disappears_by_adding_what_closes(one: Accounting, other: Accounting) -> None:
    gap = (one.read - one.accounted) + (other.read - other.accounted)
    total = one + other
    assert total.read - total.accounted == gap
    assert total.closes is (gap == 0)


@given(ACCOUNTINGS, ACCOUNTINGS)
def test_subtracting_undoes_adding(one: Accounting, other: Accounting) -> None:
    assert counts(one + other - other) == counts(one)
    assert counts(one + other) == counts(other + one)
