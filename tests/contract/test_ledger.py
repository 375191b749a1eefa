"""The Ledger port's contract, on the twin and on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import NOW, batch, minutes, score_event
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.memory import MemoryLedger, MemoryVault
from worker.batch import Batch, DeadLetter, StateKey
from worker.domain.accounting import Outcome
from worker.domain.errors import Reason
from worker.domain.event import micros, ratio_micros, register_of
from worker.domain.position import ORIGIN, Position
from worker.domain.window import Attempt
from worker.ports import Committed, Idle, Ledger, Touched

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = MemoryLedger() if request.param == "memory" else request.getfixturevalue("aurora")
    found.open_source("test")
    return found


def commit(ledger: Ledger, given: Batch) -> Committed:
    committed = ledger.commit(ledger.intern(given))
    assert committed.accounting.closes
    return committed


def outcomes(committed: Committed) -> dict[str, int]:
    return {outcome: n for outcome, n in committed.accounting.outcomes.items() if n}


def test_an_empty_ledger_knows_nothing(ledger: Ledger) -> None:
    assert ledger.epoch() == 1
    assert ledger.read([StateKey(score_event().student_key, "algebra")]) == {}
    assert list(ledger.versions(10)) == []
    assert list(ledger.erased()) == []
    assert ledger.floors() == {"test": ORIGIN}


def test_opening_a_source_twice_keeps_its_progress(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=7))
    progress = ledger.open_source("test")
    assert progress.committed == Position(7)
    assert progress.projected == ORIGIN
    assert progress.accounting[Outcome.APPLIED] == 1


def test_a_new_attempt_is_applied_and_its_state_is_born(ledger: Ledger) -> None:
    event = score_event(score=80)
    (touched,) = commit(ledger, batch(event)).touched
    assert touched.version is not None
    assert touched.version.number == 1
    assert touched.bumped
    assert touched.inserts == [Attempt(micros(NOW), register_of(event).key, 800_000)]


def test_one_version_per_state_and_transaction(ledger: Ledger) -> None:
    first = commit(ledger, batch(score_event(attempt=1), score_event(attempt=2)))
    second = commit(ledger, batch(score_event(attempt=3), score_event(attempt=4), sequence=2))
    a, b = first.touched[0].version, second.touched[0].version
    assert a is not None
    assert b is not None
    assert (b.birth, b.number) == (a.birth, a.number + 1)


def test_states_are_counted_and_found_by_student(ledger: Ledger) -> None:
    ada, ben = score_event("ada", "algebra"), score_event("ben", "algebra")
    commit(ledger, batch(ada, score_event("ada", "biology"), ben))
    assert ledger.count_states() == 3
    found = ledger.states_of([ada.student_key, score_event("nobody").student_key])
    assert sorted(found) == [StateKey(ada.student_key, "algebra"), StateKey(ada.student_key, "biology")]
    assert list(ledger.states_of([])) == []


def test_survivors_have_the_ratio_of_the_domain_to_the_last_millionth(ledger: Ledger) -> None:
    scores: list[tuple[float | None, float]] = [
        *((0.1 * n - 7, 0.3 * n + 0.7) for n in range(500)),
        *((n + 0.5, 1_000_000) for n in range(20)),  # halves, rounded to even
        *((None, 10), (5, 0), (None, 0), (-3, 10), (1_000, 1)),
    ]
    events = [
        score_event(item=f"quiz-{n}", score=score, max_score=most) for n, (score, most) in enumerate(scores)
    ]
    commit(ledger, batch(*events))
    key = StateKey(events[0].student_key, "algebra")
    found = {attempt[1]: attempt for attempt in ledger.read([key])[key].attempts}
    for event in events:
        register = register_of(event).key
        ratio = ratio_micros(event.score, event.max_score)
        assert found[register] == Attempt(micros(event.occurred_at), register, ratio)
    assert len(found) == len(events)


@pytest.mark.parametrize("same_batch", [True, False])
def test_the_last_grading_wins_in_any_order(ledger: Ledger, *, same_batch: bool) -> None:
    old = score_event(score=40)
    new = score_event(score=90, graded=NOW + minutes(3))
    if same_batch:
        assert outcomes(commit(ledger, batch(new, old))) == {"applied": 1, "superseded": 1}
    else:
        assert outcomes(commit(ledger, batch(new))) == {"applied": 1}
        assert outcomes(commit(ledger, batch(old, sequence=2))) == {"superseded": 1}
    assert ratios(ledger) == [900_000]


def test_a_regrade_revises_and_demands_a_rebuild(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(score=40)))
    committed = commit(ledger, batch(score_event(score=90, graded=NOW + minutes(3)), sequence=2))
    assert outcomes(committed) == {"revised": 1}
    assert committed.touched[0].inserts is None
    assert ratios(ledger) == [900_000]


def test_the_same_event_again_is_a_duplicate_or_a_redelivery(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=5))
    again = commit(ledger, batch(score_event(), sequence=5))
    assert outcomes(again) == {"redelivered": 1}
    assert not again.touched[0].bumped
    assert again.touched[0].version is not None
    assert outcomes(commit(ledger, batch(score_event(), sequence=6))) == {"duplicate": 1}
    assert outcomes(commit(ledger, batch(score_event(), score_event(), sequence=7))) == {"duplicate": 2}


def test_nothing_is_skipped_by_position(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=9))
    again = commit(ledger, batch(score_event(), score_event(attempt=2), sequence=1))
    assert outcomes(again) == {"applied": 1, "redelivered": 1}
    assert ledger.progress()["test"].committed == Position(9)


def test_duplicates_inside_one_batch_count_once(ledger: Ledger) -> None:
    event = score_event()
    assert outcomes(commit(ledger, batch(event, event, event))) == {"applied": 1, "duplicate": 2}


def test_a_void_removes_its_attempt(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(attempt=1), score_event(attempt=2, score=50)))
    void = score_event(attempt=1, void=True, graded=NOW + minutes(1))
    committed = commit(ledger, batch(void, sequence=2))
    assert outcomes(committed) == {"revised": 1}
    assert ratios(ledger) == [500_000]


def test_a_void_before_its_target_waits_for_it(ledger: Ledger) -> None:
    void = score_event(void=True, graded=NOW + minutes(1))
    committed = commit(ledger, batch(void))
    assert outcomes(committed) == {"applied": 1}
    assert committed.touched[0].inserts is None
    assert outcomes(commit(ledger, batch(score_event(), sequence=2))) == {"superseded": 1}
    assert ratios(ledger) == []


def test_at_equal_times_a_void_wins(ledger: Ledger) -> None:
    commit(ledger, batch(score_event()))
    assert outcomes(commit(ledger, batch(score_event(void=True), sequence=2))) == {"revised": 1}
    assert outcomes(commit(ledger, batch(score_event(score=99), sequence=3))) == {"superseded": 1}


def test_activity_without_a_score_survives_without_a_ratio(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(score=None), score_event(attempt=2, max_score=0)))
    assert ratios(ledger) == [None, None]


def test_dead_letters_are_stored_and_counted(ledger: Ledger) -> None:
    letter = DeadLetter(Position(1), 3, Reason.INVALID_FIELD, "score", b"{}")
    committed = commit(ledger, batch(score_event(), dead=(letter,)))
    assert committed.accounting.read == 2
    assert outcomes(committed) == {"applied": 1, "dead_lettered": 1}
    assert stored_letters(ledger) == [("invalid_field", 3)]
    commit(ledger, batch(dead=(letter,)))
    assert stored_letters(ledger) == [("invalid_field", 3)]


def test_equal_key_with_another_check_is_a_collision(ledger: Ledger) -> None:
    commit(ledger, batch(score_event()))
    given = batch(score_event(score=1, graded=NOW + minutes(1)), sequence=2)
    (delivered,) = given.events
    collider = msgspec.structs.replace(
        delivered, register=msgspec.structs.replace(delivered.register, check=17)
    )
    committed = commit(ledger, given.of([collider]))
    assert outcomes(committed) == {"dead_lettered": 1}
    assert stored_letters(ledger) == [("key_collision", 0)]
    assert ratios(ledger) == [800_000]


def test_the_events_of_an_erased_student_are_dead_letters(ledger: Ledger) -> None:
    commit(ledger, batch(score_event("ben")))
    erase(ledger, "ada", "algebra", "biology")
    committed = commit(ledger, batch(score_event("ada"), score_event("ben", attempt=2), sequence=2))
    assert outcomes(committed) == {"applied": 1, "erased": 1}
    assert stored_letters(ledger) == [("erased", 0)]
    ada = StateKey(score_event("ada").student_key, "algebra")
    (touched,) = [touched for touched in committed.touched if touched.key == ada]
    assert touched == Touched(ada, None, bumped=False, inserts=None), "its state is to be deleted"
    assert ledger.read([ada]) == {}
    assert sorted(ledger.erased()) == [ada, ada._replace(course_id="biology")]
    again = commit(ledger, batch(score_event("ada"), score_event("ada", void=True), sequence=2))
    assert outcomes(again) == {"erased": 2}


def test_a_student_under_an_earlier_key_is_the_same_student(ledger: Ledger) -> None:
    commit(ledger, batch(score_event("ada")))
    rekey(ledger, old="formerly ada", now="ada")
    interned = ledger.intern(batch(score_event("formerly ada", attempt=2), score_event("ben"), sequence=2))
    keys = {score_event(student).student_key for student in ("ada", "ben")}
    assert {delivered.event.student_key for delivered in interned.events} == keys
    assert outcomes(ledger.commit(interned)) == {"applied": 2}
    assert len(ratios(ledger)) == 2


def test_floors_only_rise(ledger: Ledger) -> None:
    ledger.advance_floor("test", Position(9, 2))
    ledger.advance_floor("test", Position(9, 1))
    assert ledger.floors() == {"test": Position(9, 2)}


def test_a_source_of_a_job_is_idle_once_nobody_has_written_for_so_long(ledger: Ledger) -> None:
    ledger.open_source("kinesis:a stream")
    commit(ledger, batch(score_event(), sequence=7))
    ledger.advance_floor("test", Position(6))
    assert ledger.idle(HOUR) == {}
    assert ledger.idle(timedelta(0)) == {"test": Idle(Position(7), Position(6))}, "a stream's never is"
    let_pass(ledger, HOUR)
    assert [*ledger.idle(HOUR)] == ["test"]
    ledger.advance_floor("test", Position(7))
    assert ledger.idle(HOUR) == {}, "what Redis has held for a moment a replica may lack"
    let_pass(ledger, HOUR)
    commit(ledger, batch(score_event(attempt=2), sequence=8))
    assert ledger.idle(HOUR) == {}


def test_a_closed_source_has_no_floor_and_keeps_its_progress(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=7))
    ledger.advance_floor("test", Position(7))
    assert not ledger.close_source("test", HOUR), "somebody has just written"
    assert ledger.close_source("test", timedelta(0))
    assert not ledger.close_source("test", timedelta(0)), "it is closed already"
    assert ledger.floors() == {}
    assert ledger.idle(timedelta(0)) == {}
    progress = ledger.progress()["test"]
    assert progress.closed
    assert progress.committed == Position(7)


def test_a_source_whose_floor_is_not_its_end_is_not_closed(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=7))
    ledger.advance_floor("test", Position(6))
    assert not ledger.close_source("test", timedelta(0))
    assert ledger.floors() == {"test": Position(6)}


def test_a_closed_source_is_opened_again_without_a_floor(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=7))
    ledger.advance_floor("test", Position(7))
    ledger.close_source("test", timedelta(0))
    again = ledger.open_source("test")
    assert (again.committed, again.projected, again.closed) == (Position(7), ORIGIN, False)
    assert ledger.floors() == {"test": ORIGIN}
    assert ledger.idle(HOUR) == {}
    ledger.advance_floor("test", Position(7))
    assert ledger.open_source("test").projected == Position(7), "it was open"


def test_a_commit_to_a_closed_source_opens_it(ledger: Ledger) -> None:
    commit(ledger, batch(score_event(), sequence=7))
    ledger.advance_floor("test", Position(7))
    ledger.close_source("test", timedelta(0))
    commit(ledger, batch(score_event(attempt=2), sequence=8))
    assert ledger.floors() == {"test": Position(7)}
    assert not ledger.progress()["test"].closed


def test_positions_have_56_digits(ledger: Ledger) -> None:
    high = 10**55 + 1
    commit(ledger, batch(score_event(), sequence=high))
    commit(ledger, batch(score_event(attempt=2), sequence=high - 1))
    assert ledger.progress()["test"].committed == Position(high)


def test_versions_come_in_pages_and_whole(ledger: Ledger) -> None:
    events = [score_event(student, course) for student in "abc" for course in ("x", "y")]
    committed = commit(ledger, batch(*events))
    pages = list(ledger.versions(4))
    assert [len(page) for page in pages] == [4, 2]
    assert {row for page in pages for row in page} == {(t.key, t.version) for t in committed.touched}


def test_only_one_sweeps_at_a_time(ledger: Ledger, make_other: Callable[[], Ledger]) -> None:
    with ledger.sweep_turn() as mine:
        assert mine
        with make_other().sweep_turn() as theirs:
            assert not theirs
    with make_other().sweep_turn() as theirs:
        assert theirs


@pytest.fixture
def make_other(ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[Callable[[], Ledger]]:
    """The same ledger as another process sees it."""
    if isinstance(ledger, MemoryLedger):
        yield lambda: ledger
        return
    dsn = request.getfixturevalue("database")
    other = AuroraLedger(lambda: dsn, MemoryVault())
    yield lambda: other
    other.close()


def as_owner(ledger: AuroraLedger) -> psycopg.Connection[Any]:
    """The ledger's database, entered by who may do what worker and API may not."""
    return psycopg.connect(make_conninfo(ledger._session._conninfo(), user="postgres"))


def erase(ledger: Ledger, student: str, *courses: str) -> None:
    """Lay a tombstone as an erasure does."""
    ledger.intern(batch(score_event(student)))
    key = score_event(student).student_key
    if isinstance(ledger, MemoryLedger):
        ledger.tombstones[key] = set(courses)
        return
    assert isinstance(ledger, AuroraLedger)
    with as_owner(ledger) as connection:
        connection.execute(
            "INSERT INTO erasures SELECT student_ref, %s FROM students WHERE student_key = %s",
            ([*courses], key),
        )


def rekey(ledger: Ledger, *, old: str, now: str) -> None:
    """Let an earlier pseudonym stand for a student, as a re-keying does."""
    alias, canonical = score_event(old).student_key, score_event(now).student_key
    if isinstance(ledger, MemoryLedger):
        ledger.aliases[alias] = canonical
        return
    assert isinstance(ledger, AuroraLedger)
    with as_owner(ledger) as connection:
        connection.execute(
            "INSERT INTO student_keys SELECT %s, student_ref FROM students WHERE student_key = %s",
            (alias, canonical),
        )


def let_pass(ledger: Ledger, span: timedelta) -> None:
    """As if everything had been written so much earlier."""
    if isinstance(ledger, MemoryLedger):
        before = ledger.now
        ledger.now = lambda: before() + span
        return
    assert isinstance(ledger, AuroraLedger)
    with ledger._session.connection() as connection:
        connection.execute("UPDATE source_progress SET updated_at = updated_at - %s", [span])


def ratios(ledger: Ledger) -> list[int | None]:
    key = StateKey(score_event().student_key, "algebra")
    return [ratio for _, _, ratio in sorted(ledger.read([key])[key].attempts)]


def stored_letters(ledger: Ledger) -> list[tuple[str, int]]:
    if isinstance(ledger, MemoryLedger):
        return [(letter.reason, letter.number) for letter in ledger.dead_letters.values()]
    assert isinstance(ledger, AuroraLedger)
    with ledger._session.connection() as connection:
        return list(connection.execute("SELECT reason, number FROM dead_letters").fetchall())
