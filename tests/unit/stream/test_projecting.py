"""What the final script is given: one decision a state, and the same bytes whichever it is."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import NOW, batch, score_event
from tests.doubles import Scene, key_of
from worker.batch import StateKey
from worker.domain import window
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.domain.window import EMPTY, Attempt, Version, header
from worker.ports import LedgerState, Loaded, Touched, Write
from worker.stream.projecting import fold, plan, rebuilt, state_value

KEY = key_of(score_event())
OTHER = StateKey(KEY.student_key, "biology")
CLAIM = b"T" + bytes(16)
FIRST, SECOND, THIRD = (Attempt(n * 1_000_000, n << 40, n * 1000) for n in (1, 2, 3))


def state(number: int, *attempts: Attempt, birth: int = 1) -> bytes:
    return header(Version(birth, number)) + window.rebuild(attempts)


def touched(
    number: int, *inserts: Attempt, birth: int = 1, bumped: bool = True, rebuild: bool = False
) -> Touched:
    return Touched(KEY, Version(birth, number), bumped, None if rebuild or not bumped else inserts)


def test_a_row_that_does_not_exist_is_deleted() -> None:
    gone = Touched(KEY, None, bumped=False, inserts=None)
    assert fold(gone, None, CLAIM) == Write(KEY, CLAIM, b"")
    assert fold(gone, state(3, FIRST), CLAIM) == Write(KEY, header(Version(1, 3)), b"")


def test_what_is_the_ledgers_version_already_is_asserted() -> None:
    for found in (touched(3, bumped=False), touched(3, SECOND)):
        assert fold(found, state(3, FIRST), CLAIM) == Write(KEY, header(Version(1, 3)), None)


def test_an_insert_is_folded_onto_the_version_before() -> None:
    assert fold(touched(4, SECOND, THIRD), state(3, FIRST), CLAIM) == Write(
        KEY, header(Version(1, 3)), state(4, FIRST, SECOND, THIRD)
    )


def test_inserts_are_folded_in_the_order_of_the_definition() -> None:
    assert fold(touched(4, THIRD, SECOND), state(3, FIRST), CLAIM) == fold(
        touched(4, SECOND, THIRD), state(3, FIRST), CLAIM
    )


def test_a_row_born_here_is_folded_from_nothing_onto_my_claim() -> None:
    assert fold(touched(1, FIRST), None, CLAIM) == Write(KEY, CLAIM, state(1, FIRST))


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (touched(5, SECOND), state(3, FIRST)),
        (touched(3, SECOND), state(4, FIRST)),
        (touched(4, SECOND, birth=2), state(3, FIRST, birth=1)),
        (touched(1, SECOND, birth=2), state(1, FIRST, birth=1)),
        (touched(2, SECOND), None),
        (touched(4, bumped=False), state(3, FIRST)),
        (touched(1, bumped=False), None),
        (touched(4, rebuild=True), state(3, FIRST)),
        (touched(1, rebuild=True), None),
        (touched(4, SECOND), header(Version(1, 3)) + b"\xff" + EMPTY[1:]),
        (touched(4, FIRST), state(3, FIRST)),
    ],
    ids=[
        *("another commit between", "state ahead", "another birth", "born again", "claimed, not born here"),
        *("another writer's version", "another writer's birth", "regraded or voided", "void before target"),
        *("another format", "ambiguous place"),
    ],
)
def test_anything_else_is_rebuilt(found: Touched, value: bytes | None) -> None:
    assert fold(found, value, CLAIM) is None


def test_a_rebuild_expects_what_was_loaded_and_writes_the_ledgers_words() -> None:
    found = LedgerState(Version(2, 7), [THIRD, FIRST, SECOND])
    value = state(7, FIRST, SECOND, THIRD, birth=2)
    assert rebuilt(KEY, None, CLAIM, {KEY: found}) == Write(KEY, CLAIM, value)
    assert rebuilt(KEY, state(3), CLAIM, {KEY: found}) == Write(KEY, header(Version(1, 3)), value)
    assert rebuilt(KEY, value, CLAIM, {KEY: found}) == Write(KEY, header(Version(2, 7)), None)
    assert rebuilt(KEY, value, CLAIM, {}) == Write(KEY, header(Version(2, 7)), b"")
    assert rebuilt(KEY, None, CLAIM, {}) == Write(KEY, CLAIM, b"")


def test_a_plan_keeps_states_and_loads_together() -> None:
    found = [touched(1, FIRST), Touched(OTHER, Version(5, 9), bumped=True, inserts=None)]
    loaded = Loaded([None, state(8, birth=5)], CLAIM, Position(1))
    writes, rest = plan(found, loaded)
    assert writes == [Write(KEY, CLAIM, state(1, FIRST))]
    assert rest == [(OTHER, state(8, birth=5))]
    with pytest.raises(ValueError, match="shorter"):
        plan(found, Loaded([None], CLAIM, None))


moments = st.integers(-40 * 24 * 60, 0).map(lambda n: NOW + timedelta(minutes=n)) | st.just(NOW)
histories = st.lists(
    st.lists(
        st.builds(
            score_event,
            student=st.sampled_from(["ada", "ben"]),
            attempt=st.integers(1, 40),
            score=st.none() | st.integers(0, 100),
            at=moments,
            void=st.sampled_from([False, False, False, True]),
        ),
        max_size=8,
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(histories)
def test_fold_and_rebuild_agree_byte_for_byte(history: Sequence[Sequence[ScoreEvent]]) -> None:
    scene = Scene()
    scene.ledger.open_source("test")
    for sequence, events in enumerate(history):
        given_batch = batch(*events, sequence=sequence)
        loaded = scene.projection.load_or_claim("test", given_batch.keys)
        writes, rest = plan(scene.ledger.commit(given_batch).touched, loaded)
        states = scene.ledger.read([key for key, _ in rest])
        writes += [rebuilt(key, value, loaded.claim, states) for key, value in rest]
        assert scene.projection.write("test", loaded.marker, given_batch.high, writes)
        current = scene.ledger.read(given_batch.keys)
        assert {k: scene.projection.values[k] for k in current} == {
            key: state_value(found) for key, found in current.items()
        }
