from datetime import datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import NOW, batch, minutes, score_event
from tests.doubles import key_of
from worker.adapters.memory import MemoryLedger, MemoryRegisters
from worker.batch import DeadLetter, Delivered, StateKey
from worker.domain import window
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import LedgerUnavailable, Reason
from worker.domain.event import ScoreEvent, register_of
from worker.domain.position import Position
from worker.domain.score import scores
from worker.stream.difference import Change, Difference, quantile

LATER = NOW + minutes(60)


def delivered(*events: ScoreEvent) -> list[Delivered]:
    return list(batch(*events).events)


def learn(ledger: MemoryLedger, *events: ScoreEvent, sequence: int = 1) -> Accounting:
    ledger.open_source("test")
    return ledger.commit(batch(*events, sequence=sequence)).accounting


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def difference(ledger: MemoryLedger) -> Difference:
    return Difference(MemoryRegisters(ledger))


def test_new_revised_and_unchanged_attempts_are_told_apart(
    ledger: MemoryLedger, difference: Difference
) -> None:
    learn(ledger, score_event("ada", score=40), score_event("ben"))
    difference.take(
        delivered(
            score_event("ada", score=90, graded=NOW + minutes(1)),
            score_event("ben"),
            score_event("cy", score=45),
        )
    )
    found = difference.conclude(LATER)
    assert (found.read, found.new, found.revised, found.without_effect) == (3, 1, 1, 1)
    assert (found.states, found.students) == (2, 2)
    ada, cy = score_event("ada").student_key, score_event("cy").student_key
    assert found.largest == [Change(ada, "algebra", 0.4, 0.9), Change(cy, "algebra", None, 0.45)]
    assert list(found.sizes) == [0.45, 0.5]


def test_the_last_writer_of_many_counts_once(difference: Difference) -> None:
    versions = [score_event(score=n, graded=NOW + minutes(n)) for n in range(4)]
    difference.take(delivered(versions[1], versions[3]))
    difference.take(delivered(versions[0], versions[2]))
    found = difference.conclude(LATER)
    assert (found.new, found.revised, found.without_effect) == (1, 0, 3)
    assert found.largest[0].after == 0.03


def test_a_void_takes_the_mean_away(ledger: MemoryLedger, difference: Difference) -> None:
    learn(ledger, score_event(score=80))
    difference.take(delivered(score_event(void=True, graded=NOW + minutes(1))))
    found = difference.conclude(LATER)
    assert found.revised == 1
    assert (found.largest[0].before, found.largest[0].after) == (0.8, None)
    assert found.largest[0].size == 0.8


def test_erased_students_dead_letters_and_collisions_change_nothing(
    ledger: MemoryLedger, difference: Difference
) -> None:
    learn(ledger, score_event("ada"), score_event("ben"))
    ledger.tombstones[score_event("ada").student_key] = {"algebra"}
    (other,) = delivered(score_event("ben", graded=NOW + minutes(5)))
    collides = msgspec.structs.replace(
        other, register=msgspec.structs.replace(other.register, check=other.register.check + 1)
    )
    letter = DeadLetter(Position(1), 1, Reason.NOT_JSON, None, b"")
    difference.take([*delivered(score_event("ada", score=1, graded=NOW + minutes(1))), collides], [letter])
    found = difference.conclude(LATER)
    assert (found.read, found.erased, found.changes, found.without_effect) == (3, 1, 0, 0)
    assert found.dead_letters == {"key_collision": 1, "not_json": 1}


def test_what_a_horizon_or_a_lifted_tombstone_refuses_changes_nothing(
    ledger: MemoryLedger, difference: Difference
) -> None:
    learn(ledger, score_event("ada"), score_event("ben"))
    ada, ben = score_event("ada").student_key, score_event("ben").student_key
    ledger.refused_until[ada] = NOW + minutes(1)
    ledger.horizons = {"logic": NOW + minutes(2), None: NOW + minutes(1)}
    difference.take(
        delivered(
            *(score_event("ada", graded=NOW + minutes(n), score=n) for n in (1, 2)),
            *(score_event("ben", graded=NOW + minutes(n), score=n) for n in (0, 1)),
            *(score_event("cy", course="logic", graded=NOW + minutes(n)) for n in (1, 2)),
        )
    )
    found = difference.conclude(LATER)
    assert (found.erased, found.new, found.revised, found.without_effect) == (3, 1, 2, 0)
    assert {change.student_key: change.after for change in found.largest[1:]} == {ada: 0.02, ben: 0.01}


def test_a_refused_event_does_not_compete_with_one_that_counts(
    ledger: MemoryLedger, difference: Difference
) -> None:
    (refused,) = delivered(score_event("ada"))
    ledger.horizons = {None: NOW + minutes(1)}
    collides = msgspec.structs.replace(
        refused, register=msgspec.structs.replace(refused.register, check=refused.register.check + 1)
    )
    difference.take([collides, *delivered(score_event("ada", graded=NOW + minutes(1)))])
    found = difference.conclude(LATER)
    assert (found.erased, found.new, found.dead_letters) == (1, 1, {})


def test_a_student_is_found_under_an_earlier_key(ledger: MemoryLedger, difference: Difference) -> None:
    learn(ledger, score_event("ada", score=40))
    ledger.aliases[score_event("old").student_key] = score_event("ada").student_key
    difference.take(delivered(score_event("old", score=90, graded=NOW + minutes(1))))
    found = difference.conclude(LATER)
    assert (found.new, found.revised) == (0, 1)
    assert found.largest[0].student_key == score_event("ada").student_key


def test_what_live_traffic_wrote_meanwhile_is_no_difference(
    ledger: MemoryLedger, difference: Difference
) -> None:
    event = score_event("ada")
    difference.take(delivered(event))
    learn(ledger, event)
    found = difference.conclude(LATER)
    assert (found.changes, found.without_effect, found.largest) == (0, 1, [])


def test_after_an_outage_the_same_events_can_be_taken_again(
    ledger: MemoryLedger, difference: Difference
) -> None:
    ledger.away = True
    with pytest.raises(LedgerUnavailable):
        difference.take(delivered(score_event()))
    ledger.away = False
    difference.take(delivered(score_event()))
    assert difference.conclude(LATER).read == 1


def test_quantiles_of_changes() -> None:
    assert quantile([], 0.5) is None
    assert [quantile([1, 2, 3, 4], share) for share in (0.5, 0.99, 1.0)] == [3, 4, 4]


EVENTS = st.builds(
    score_event,
    student=st.sampled_from(["ada", "ben", "cy"]),
    course=st.sampled_from(["algebra", "logic"]),
    attempt=st.integers(1, 3),
    score=st.integers(0, 100),
    graded=st.integers(0, 4).map(lambda n: NOW + minutes(n)),
    void=st.booleans(),
)


TIMES = st.integers(0, 4).map(lambda n: NOW + minutes(n))
HORIZONS = st.dictionaries(st.sampled_from([None, "algebra", "logic"]), TIMES, max_size=2)
STUDENTS = st.sampled_from([score_event(student).student_key for student in ("ada", "ben", "cy")])


@settings(deadline=None)
@given(
    st.lists(EVENTS, max_size=20),
    st.lists(EVENTS, max_size=30),
    st.integers(1, 10),
    HORIZONS,
    st.dictionaries(STUDENTS, st.none() | TIMES, max_size=2),
)
def test_the_difference_is_what_a_real_merge_does(
    before: list[ScoreEvent],
    replayed: list[ScoreEvent],
    size: int,
    horizons: dict[str | None, datetime],
    tombstones: dict[UUID, datetime | None],
) -> None:
    """Of the tombstones those with a time are lifted: until then they refuse."""
    ledger = MemoryLedger()
    learn(ledger, *before)
    ledger.horizons = dict(horizons)
    ledger.tombstones = {student: set() for student, until in tombstones.items() if until is None}
    ledger.refused_until = {student: until for student, until in tombstones.items() if until is not None}
    ledger.lifted = {student: set() for student in ledger.refused_until}
    registers = MemoryRegisters(ledger)
    difference = Difference(registers)
    for start in range(0, len(replayed), size):
        difference.take(delivered(*replayed[start : start + size]))
    found = difference.conclude(LATER, largest=1_000)
    states = sorted({key_of(event) for event in [*before, *replayed]})
    earlier, means = registers.standing(states), mean_of(ledger, states)
    erased = learn(ledger, *replayed, sequence=2)[Outcome.ERASED]
    assert found.erased == erased
    later = registers.standing(states)
    changed = {
        (state, key): key in earlier.get(state, {})
        for state, held in later.items()
        for key, standing in held.items()
        if earlier.get(state, {}).get(key) != standing
    }
    assert (found.new, found.revised) == (
        sum(not known for known in changed.values()),
        sum(changed.values()),
    )
    assert found.states == len({state for state, _ in changed})
    after = mean_of(ledger, states)
    expected = {(*state, means[state], after[state]) for state in states if means[state] != after[state]}
    assert {tuple(change) for change in found.largest} == expected


def mean_of(ledger: MemoryLedger, states: list[StateKey]) -> dict[StateKey, float | None]:
    found = ledger.read(states)
    return {
        state: scores(window.unpack(window.rebuild(found[state].attempts)), LATER).mean_last_n
        if state in found
        else None
        for state in states
    }


def test_a_register_of_another_revision_of_the_decoder_wins(
    ledger: MemoryLedger, difference: Difference
) -> None:
    event = score_event(score=40)
    learn(ledger, event)
    (mended,) = delivered(score_event(score=60))
    raised = msgspec.structs.replace(register_of(mended.event), rev=2)
    difference.take([msgspec.structs.replace(mended, register=raised)])
    assert difference.conclude(LATER).revised == 1
