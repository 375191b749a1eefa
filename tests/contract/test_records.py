"""The Records port's contract, on the twin and on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from tests.conftest import IDENTITY, NOW, batch, minutes, score_event
from tests.doubles import key_of
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.records import AuroraRecords
from worker.adapters.memory import MemoryLedger, MemoryRecords
from worker.batch import DeadLetter, StateKey
from worker.domain.accounting import Outcome
from worker.domain.classroom import Publication, Tenth
from worker.domain.errors import LedgerUnavailable, Reason
from worker.domain.event import ScoreEvent, micros, register_of
from worker.domain.position import Position
from worker.domain.window import Attempt
from worker.ports import Ledger
from worker.reads import Days, Item, Records

ADA, BEN = score_event("ada"), score_event("ben")
EVER = Days()


class World:
    """A ledger, the records over it, and what only an administrator does."""

    def __init__(
        self, ledger: Ledger, records: Records, execute: Callable[[str, dict[str, object]], None] | None
    ) -> None:
        self.ledger = ledger
        self.records = records
        self._execute = execute
        self._sequence = 0
        ledger.open_source("test")

    def learn(self, *events: ScoreEvent, dead: tuple[DeadLetter, ...] = ()) -> None:
        self._sequence += 1
        self.ledger.commit(self.ledger.intern(batch(*events, sequence=self._sequence, dead=dead)))

    def bury(self, event: ScoreEvent) -> None:
        """The tombstone of an erased student."""
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.tombstones[event.student_key] = {event.course_id}
        elif self._execute is not None:
            self._execute(
                "INSERT INTO erasures (student_ref, courses)"
                " SELECT student_ref, ARRAY[%(course)s] FROM students WHERE student_key = %(key)s",
                {"course": event.course_id, "key": event.student_key},
            )

    def enrol(self, subject: str, *courses: str) -> None:
        if isinstance(self.records, MemoryRecords):
            self.records.enrolments[subject] = list(courses)
        elif self._execute is not None:
            for course in courses:
                self._execute(
                    "INSERT INTO enrolments VALUES (%(subject)s, %(course)s)",
                    {"subject": subject, "course": course},
                )


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        ledger = MemoryLedger()
        yield World(ledger, MemoryRecords(ledger), None)
        return
    database: str = request.getfixturevalue("database")
    application: str = request.getfixturevalue("application")
    aurora: AuroraLedger = request.getfixturevalue("aurora")
    records = AuroraRecords(lambda: application)

    def execute(statement: str, values: dict[str, object]) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    yield World(aurora, records, execute)
    records.close()


def test_an_empty_ledger_knows_nobody(world: World) -> None:
    records = world.records
    assert records.courses_of(ADA.student_key) == {}
    assert records.versions_of([]) == {}
    assert records.versions_of([key_of(ADA)]) == {}
    assert list(records.held("algebra")) == []
    assert records.sealed_ids([ADA.student_key]) == {}
    assert list(records.standing(key_of(ADA), None, 10)) == []
    assert records.attempts_of("algebra", None, EVER, None) == {}
    assert list(records.items("algebra", EVER, None, 0.5)) == []
    assert records.course_stamps(["algebra"]) == {}
    assert records.course_stamps([]) == {}
    assert records.publication("algebra", "") is None
    assert list(records.enrolled("ms-frizzle")) == []
    assert records.dead_letters() == {}


def test_courses_versions_and_learners_are_told(world: World) -> None:
    world.learn(ADA, BEN, score_event("ada", "art"))
    world.learn(score_event("ada", attempt=2))
    records = world.records
    courses = records.courses_of(ADA.student_key)
    assert list(courses) == ["algebra", "art"]
    assert (courses["algebra"].number, courses["art"].number) == (2, 1)
    keys = [key_of(BEN), StateKey(ADA.student_key, "no"), key_of(ADA)]
    versions = records.versions_of(keys)
    assert versions[key_of(ADA)] == courses["algebra"]
    assert set(versions) == {key_of(ADA), key_of(BEN)}
    held = {one.student_key: one for one in records.held("algebra")}
    assert held.keys() == {ADA.student_key, BEN.student_key}
    assert held[ADA.student_key].version == courses["algebra"]
    assert held[ADA.student_key].sealed_id == ADA.sealed_id
    assert records.sealed_ids([BEN.student_key]) == {BEN.student_key: BEN.sealed_id}


def test_attempts_stand_newest_first_in_pages(world: World) -> None:
    made = [score_event(item=f"q{n}", score=n, at=NOW - minutes(n // 2)) for n in range(7)]
    world.learn(*made, score_event("ben"))
    found = list(world.records.standing(key_of(ADA), None, 100))
    assert [line.item_id for line in found[:2]] in (["q0", "q1"], ["q1", "q0"])
    order = [(line.occurred_at, line.key) for line in found]
    assert order == sorted(order, reverse=True)
    assert len(order) == 7
    paged, before = [], None
    while page := world.records.standing(key_of(ADA), before, 3):
        paged += list(page)
        before = page[-1].occurred_at, page[-1].key
    assert paged == found


def test_a_line_tells_score_revision_and_source(world: World) -> None:
    world.learn(score_event(score=None, source="lms"), score_event(item="q2", score=5, max_score=10))
    world.learn(score_event(item="q2", score=9, max_score=10, graded=NOW + minutes(1)))
    by_item = {line.item_id: line for line in world.records.standing(key_of(ADA), None, 9)}
    assert (by_item["quiz-1"].score, by_item["quiz-1"].source, by_item["quiz-1"].revision) == (None, "lms", 0)
    regraded = by_item["q2"]
    assert (regraded.score, regraded.max_score, regraded.revision) == (9, 10, 1)
    assert (regraded.occurred_at, regraded.graded_at) == (NOW, NOW + minutes(1))
    assert regraded.occurred_at.utcoffset() == timedelta()
    assert regraded.key == register_of(score_event(item="q2")).key


def test_a_voided_attempt_stands_no_longer(world: World) -> None:
    world.learn(ADA, score_event(item="q2"))
    world.learn(score_event(void=True, graded=NOW + minutes(1)))
    records = world.records
    assert [line.item_id for line in records.standing(key_of(ADA), None, 9)] == ["q2"]
    assert [item.item_id for item in records.items("algebra", EVER, None, 0.5)] == ["q2"]
    assert len(records.attempts_of("algebra", ADA.student_key, EVER, None)[ADA.student_key]) == 1


def test_attempts_by_student_of_days_and_before_a_moment(world: World) -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    moments = [midnight - tick, midnight, midnight + timedelta(days=1) - tick, midnight + timedelta(days=1)]
    events = [score_event(item=f"q{n}", score=n, at=at) for n, at in enumerate(moments)]
    world.learn(*events, score_event("ben", at=midnight))
    records = world.records

    def found(days: Days, as_of: datetime | None = None) -> list[int]:
        attempts = records.attempts_of("algebra", ADA.student_key, days, as_of).get(ADA.student_key, [])
        return sorted(attempt.ratio or 0 for attempt in attempts)

    day = date(2026, 3, 1)
    assert found(EVER) == [0, 10_000, 20_000, 30_000]
    assert found(Days(day, day)) == [10_000, 20_000]
    assert found(Days(None, day)) == [0, 10_000, 20_000]
    assert found(Days(day, None)) == [10_000, 20_000, 30_000]
    assert found(Days(day, None), midnight) == [10_000]
    assert found(Days(date.min, date.max)) == found(EVER)
    assert found(Days(date.max, None)) == found(Days(None, date.min)) == []
    assert found(EVER, datetime.min.replace(tzinfo=UTC)) == []
    assert found(EVER, datetime.max.replace(tzinfo=UTC)) == found(EVER)
    everybody = records.attempts_of("algebra", None, Days(day, day), None)
    assert everybody.keys() == {ADA.student_key, BEN.student_key}
    expected = Attempt(micros(midnight), register_of(events[1]).key, 10_000)
    assert expected in everybody[ADA.student_key]
    items = records.items("algebra", Days(day, day), None, 0.5)
    assert sum(item.attempts for item in items) == 3


def test_items_count_attempts_learners_and_correct_ones(world: World) -> None:
    world.learn(
        score_event("ada", item="b", score=50, attempt=1),
        score_event("ada", item="b", score=49.9, attempt=2),
        score_event("ben", item="b", score=100),
        score_event("ben", item="a", score=None),
        score_event("ben", item="a", score=1, max_score=0, attempt=2),
    )
    first, second = world.records.items("algebra", EVER, None, 0.5)
    assert first == Item("a", 2, 1, None, None)
    assert (second.item_id, second.attempts, second.learners) == ("b", 3, 2)
    assert second.correct_rate == pytest.approx(2 / 3)
    assert second.mean == pytest.approx((0.5 + 0.499 + 1) / 3)
    only = world.records.items("algebra", EVER, None, 0.5, [ADA.student_key])
    assert [(item.item_id, item.attempts, item.learners) for item in only] == [("b", 2, 1)]
    assert list(world.records.items("algebra", EVER, None, 0.5, [])) == []


def test_an_erased_student_is_in_no_answer(world: World) -> None:
    world.learn(ADA, BEN)
    world.bury(ADA)
    records = world.records
    assert records.courses_of(ADA.student_key) == {}
    assert [one.student_key for one in records.held("algebra")] == [BEN.student_key]
    assert list(records.standing(key_of(ADA), None, 9)) == []
    assert records.attempts_of("algebra", None, EVER, None).keys() == {BEN.student_key}
    assert records.attempts_of("algebra", ADA.student_key, EVER, None) == {}
    assert [item.learners for item in records.items("algebra", EVER, None, 0.5)] == [1]


def test_a_stamp_differs_once_a_state_has_changed(world: World) -> None:
    stamps = []
    world.learn(score_event("ada", "art"))
    for event in (ADA, BEN, score_event("ada", attempt=2), score_event("ben", graded=NOW + minutes(1))):
        world.learn(event)
        stamps.append(world.records.course_stamps(["algebra", "no"]))
    assert [list(stamp) for stamp in stamps] == [["algebra"]] * 4
    assert len({stamp["algebra"] for stamp in stamps}) == 4
    world.learn(score_event("ben", "art"))
    assert world.records.course_stamps(["algebra"]) == stamps[-1]


def publication(minute: int, learners: int = 10, realm: str = "") -> Publication:
    return Publication(
        course_id="algebra",
        definition="v1",
        as_of=NOW + minutes(minute),
        learners=learners,
        learners_counted=None,
        mean=0.5,
        at_risk=None,
        distribution=[Tenth(0.0, 1.0, learners)],
        versions={"a": "1.1"},
        realm=realm,
    )


def test_a_publication_replaces_the_one_it_was_made_from(world: World) -> None:
    records = world.records
    assert records.publish(publication(0), None)
    assert records.publication("algebra", "") == publication(0)
    assert records.publish(publication(1), publication(0))
    assert records.publication("algebra", "") == publication(1)


def test_each_realm_has_publications_of_its_own(world: World) -> None:
    records = world.records
    for minute, realm in enumerate(("", "north", "south")):
        assert records.publish(publication(minute, realm=realm), None)
    assert records.publish(publication(3, realm="north"), publication(1, realm="north"))
    found = [records.publication("algebra", realm) for realm in ("", "north", "south")]
    assert found == [publication(0), publication(3, realm="north"), publication(2, realm="south")]
    assert records.publication("algebra", "east") is None


def test_of_two_made_from_one_publication_the_first_stands(world: World) -> None:
    records = world.records
    assert records.publish(publication(0), None)
    assert not records.publish(publication(1), None)
    assert records.publish(publication(1), publication(0))
    assert not records.publish(publication(2), publication(0))
    assert not records.publish(publication(0, 99), publication(1))
    assert records.publication("algebra", "") == publication(1)


def test_a_teachers_courses_stand_in_the_table(world: World) -> None:
    world.enrol("ms-frizzle", "b", "a")
    assert list(world.records.enrolled("ms-frizzle")) == ["a", "b"]
    assert list(world.records.enrolled("mr-ratburn")) == []


def test_counters_and_dead_letters_add_up(world: World) -> None:
    dead = tuple(DeadLetter(Position(9), n, Reason.NOT_JSON, None, b"x") for n in range(2))
    world.learn(ADA, ADA, dead=(*dead, DeadLetter(Position(9), 3, Reason.EMPTY_RECORD, None, b"y")))
    (figures,) = world.records.figures()
    assert (figures.source, figures.closed) == ("test", False)
    assert figures.accounting.closes
    assert figures.accounting[Outcome.DEAD_LETTERED] == 3
    assert figures.accounting[Outcome.APPLIED] == 1
    assert world.records.dead_letters() == {"not_json": 2, "empty_record": 1}


def test_the_turn_is_had_by_one(world: World, request: pytest.FixtureRequest) -> None:
    if isinstance(world.records, AuroraRecords):
        application: str = request.getfixturevalue("application")
        other: Records = AuroraRecords(lambda: application)
    else:
        other = world.records
    try:
        with world.records.class_turn() as mine, other.class_turn() as theirs:
            assert (mine, theirs) == (True, False)
        with other.class_turn() as theirs:
            assert theirs
    finally:
        other.close()


def test_a_student_of_two_realms_is_two(world: World) -> None:
    north = IDENTITY.identify("ada", "north")
    assert north.student_key != ADA.student_key
    world.learn(ADA)
    assert world.records.courses_of(north.student_key) == {}


def test_away_is_told_as_such() -> None:
    ledger = MemoryLedger()
    ledger.away = True
    for records in (MemoryRecords(ledger), AuroraRecords(lambda: "host=/nowhere dbname=x")):
        with pytest.raises(LedgerUnavailable):
            records.courses_of(ADA.student_key)
        with pytest.raises(LedgerUnavailable):
            records.publication("algebra", "")
        with pytest.raises(LedgerUnavailable), records.class_turn():
            pass
