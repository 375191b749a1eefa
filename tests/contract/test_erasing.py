"""The Erasing and Retaining ports' contracts, on the twins and on PostgreSQL."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest

from tests.conftest import IDENTITY, NOW, batch, minutes, score_event
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.adapters.aurora.dossiers import AuroraDossiers
from worker.adapters.aurora.erasing import AuroraErasing
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.records import AuroraRecords
from worker.adapters.aurora.retaining import AuroraRetaining
from worker.adapters.memory import (
    MemoryDisclosures,
    MemoryDossiers,
    MemoryErasing,
    MemoryLedger,
    MemoryRecords,
    MemoryRetaining,
    MemoryVault,
)
from worker.adapters.memory.disclosures import Book
from worker.batch import DELETIONS, DeadLetter, StateKey
from worker.domain.classroom import Publication
from worker.domain.errors import LedgerUnavailable, Reason
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.ports import Ledger
from worker.reads import Disclosure, DisclosureLog, Records
from worker.upkeep import Dossiers, Erasing, OnHold, Retaining

ADA, BEN = (IDENTITY.identify(student, "default") for student in ("ada", "ben"))
DAY = timedelta(days=1)


class World(NamedTuple):
    ledger: Ledger
    erasing: Erasing
    retaining: Retaining
    log: DisclosureLog
    records: Records

    def deliver(
        self, *events: ScoreEvent, sequence: int, dead: tuple[DeadLetter, ...] = ()
    ) -> dict[str, int]:
        committed = self.ledger.commit(self.ledger.intern(batch(*events, sequence=sequence, dead=dead)))
        assert committed.accounting.closes
        return {outcome: n for outcome, n in committed.accounting.outcomes.items() if n}

    def attempts(self, student: UUID, course: str = "algebra") -> int:
        key = StateKey(student, course)
        return len(self.ledger.read([key])[key].attempts) if key in self.ledger.read([key]) else 0


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        ledger, book = MemoryLedger(), Book()
        records = MemoryRecords(ledger)
        erasing = MemoryErasing(ledger, MemoryVault(), book, records.publications)
        found = World(ledger, erasing, MemoryRetaining(erasing), MemoryDisclosures(book), records)
    else:
        dsn: str = request.getfixturevalue("database")
        aurora: AuroraLedger = request.getfixturevalue("aurora")
        found = World(
            aurora,
            AuroraErasing(lambda: dsn),
            AuroraRetaining(lambda: dsn),
            AuroraDisclosures(lambda: dsn),
            AuroraRecords(lambda: dsn),
        )
    found.ledger.open_source("test")
    yield found
    for port in found:
        port.close()


def seen(*students: UUID, course: str | None = "algebra", minute: float = 0) -> Disclosure:
    return Disclosure(NOW + minutes(minute), "ms-frizzle", "teacher", "scores", course, None, students)


def publication(course: str, *students: UUID) -> Publication:
    versions = {str(student): "1.1" for student in students}
    return Publication(course, "v1", NOW, None, None, None, None, [], versions)


def test_a_student_is_known_by_any_of_their_pseudonyms(world: World) -> None:
    assert world.erasing.subject({ADA.student_key}) is None
    world.deliver(score_event("ada"), score_event("ada", "biology"), score_event("ben"), sequence=1)
    world.log.record([seen(ADA.student_key, BEN.student_key), seen(ADA.student_key)])
    found = world.erasing.subject({ADA.student_key, UUID(int=7)})
    assert found is not None
    assert (found.key, found.sealed_id) == ADA
    assert found.keys == {ADA.student_key}
    assert (list(found.courses), found.attempts, found.disclosures) == (["algebra", "biology"], 2, 2)
    assert (found.erased, found.hold) == (False, None)


def test_an_erased_student_is_gone_and_a_replay_brings_nobody_back(world: World) -> None:
    events = [score_event("ada"), score_event("ada", "biology"), score_event("ben")]
    world.deliver(*events, sequence=1)
    deletion = world.erasing.erase(ADA.student_key, "registrar", "request 1")
    assert deletion.number == 1
    assert list(deletion.states) == [StateKey(ADA.student_key, course) for course in ("algebra", "biology")]
    assert world.ledger.floors()[DELETIONS] == Position(1)
    assert world.deliver(*events, sequence=1) == {"redelivered": 1, "erased": 2}
    assert world.attempts(ADA.student_key) == 0
    assert world.attempts(BEN.student_key) == 1
    found = world.erasing.subject({ADA.student_key})
    assert found is not None
    assert found.erased
    assert sorted(world.ledger.erased()) == sorted(deletion.states)


def test_erasing_again_names_every_course_again(world: World) -> None:
    world.deliver(score_event("ada"), sequence=1)
    first = world.erasing.erase(ADA.student_key, "registrar", "request 1")
    again = world.erasing.erase(ADA.student_key, "somebody", "else")
    assert list(again.states) == list(first.states), "a run that died before Redis heard of it is made good"
    assert again.number == 2


def test_a_held_record_is_not_erased(world: World) -> None:
    world.deliver(score_event("ada"), sequence=1)
    assert world.erasing.hold(ADA.student_key, "registrar", "asked to inspect")
    assert not world.erasing.hold(ADA.student_key, "another", "again"), "it is held already"
    with pytest.raises(OnHold):
        world.erasing.erase(ADA.student_key, "registrar", "request 1")
    assert world.attempts(ADA.student_key) == 1
    assert DELETIONS not in world.ledger.floors()
    found = world.erasing.subject({ADA.student_key})
    assert found is not None
    assert found.hold is not None
    assert found.hold[:2] == ("asked to inspect", "registrar")
    assert world.erasing.release(ADA.student_key)
    assert not world.erasing.release(ADA.student_key)
    world.erasing.erase(ADA.student_key, "registrar", "request 1")
    assert not world.erasing.hold(ADA.student_key, "registrar", "too late")


def test_after_a_lift_new_events_count_and_old_deliveries_stay_refused(world: World) -> None:
    old, late = score_event("ada"), score_event("ada", "biology", graded=NOW + minutes(3))
    world.deliver(old, sequence=1)
    world.erasing.erase(ADA.student_key, "registrar", "request 1")
    assert world.deliver(late, sequence=2) == {"erased": 1}
    assert not world.erasing.lift(BEN.student_key, "registrar", None), "no tombstone stands"
    assert world.erasing.lift(ADA.student_key, "registrar", ADA.sealed_id)
    assert not world.erasing.lift(ADA.student_key, "registrar", None)
    assert world.deliver(old, late, sequence=2) == {"erased": 2}
    assert world.attempts(ADA.student_key) == 0
    new = score_event("ada", attempt=2, graded=NOW + minutes(4))
    assert world.deliver(new, sequence=3) == {"applied": 1}
    found = world.erasing.subject({ADA.student_key})
    assert found is not None
    assert not found.erased
    assert StateKey(ADA.student_key, "algebra") in set(world.ledger.erased()), "it is still swept (C25)"
    deletion = world.erasing.erase(ADA.student_key, "registrar", "request 2")
    assert [state.course_id for state in deletion.states] == ["algebra"]
    assert world.deliver(new, sequence=3) == {"erased": 1}


def test_the_rest_of_a_student_goes_in_small_steps_and_the_chains_hold(world: World) -> None:
    world.deliver(score_event("ada"), score_event("ben"), sequence=1)
    world.records.publish(publication("algebra", ADA.student_key, BEN.student_key), None)
    world.log.record([seen(ADA.student_key, BEN.student_key), seen(ADA.student_key), seen(BEN.student_key)])
    world.log.record([seen(ADA.student_key, minute=n) for n in range(3)])
    world.log.anchor()
    world.erasing.erase(ADA.student_key, "registrar", "request 1")
    steps = []
    while done := world.erasing.unlink_disclosures(ADA.student_key, 2):
        steps.append(done)
        assert list(world.log.broken()) == []
    assert sum(steps) == 5
    assert max(steps) == 2
    assert list(world.log.of_student(ADA.student_key, None, 10)) == []
    assert len(world.log.of_student(BEN.student_key, None, 10)) == 2
    assert world.erasing.forget_publications(ADA.student_key) == 1
    assert world.erasing.forget_publications(ADA.student_key) == 0
    kept = world.records.publication("algebra", "")
    assert kept is not None
    assert list(kept.versions) == [str(BEN.student_key)]
    world.erasing.purged(ADA.student_key)
    world.erasing.unname(ADA.student_key)
    assert dict(world.erasing.remains(ADA.student_key)) == {
        "attempts": 0,
        "states": 0,
        "disclosures": 0,
        "sealed ids": 0,
        "tombstones": 1,
    }


def test_dead_letters_come_in_pages_and_go_by_their_places(world: World) -> None:
    dead = tuple(DeadLetter(Position(1), n, Reason.INVALID_FIELD, "score", b"%d" % n) for n in range(5))
    world.deliver(dead=dead, sequence=1)
    assert world.erasing.count_letters() == 5
    first = world.erasing.letters(None, 3)
    rest = world.erasing.letters(first[-1].place, 3)
    assert [letter.place.number for letter in (*first, *rest)] == [0, 1, 2, 3, 4]
    assert world.erasing.letters(rest[-1].place, 3) == []
    assert [MemoryVault().open(letter.payload) for letter in rest] == [b"3", b"4"]
    world.erasing.remove_letters([letter.place for letter in first])
    world.erasing.remove_letters([letter.place for letter in first])
    assert [letter.place for letter in world.erasing.letters(None, 9)] == [letter.place for letter in rest]


def test_an_unknown_student_gets_a_tombstone_too(world: World) -> None:
    world.erasing.entomb(ADA.student_key)
    world.erasing.entomb(ADA.student_key)
    assert list(world.erasing.erase(ADA.student_key, "registrar", "request 1").states) == []
    assert world.deliver(score_event("ada"), sequence=1) == {"erased": 1}


def expire(world: World, page: int, courses: frozenset[str] = frozenset()) -> tuple[int, int, list[StateKey]]:
    """A whole run: attempts, held ones, and the states that Redis must forget."""
    attempts, held, states, after = 0, 0, list[StateKey](), None
    while (found := world.retaining.expire(after, page, courses)) is not None:
        after = found.last
        attempts, held = attempts + found.attempts, held + found.held_attempts
        states += found.deletion.states if found.deletion else []
    return attempts, held, states


def test_what_was_graded_before_the_horizon_goes_and_is_refused(world: World) -> None:
    old = [score_event(student, graded=NOW - DAY, at=NOW - DAY) for student in ("ada", "ben", "eve")]
    new = [score_event(student, attempt=2) for student in ("ada", "ben")]
    world.deliver(*old, *new, sequence=1)
    before = dict(row for page in world.ledger.versions(9) for row in page)
    dry = world.retaining.expiring(None, 9, frozenset(), NOW)
    assert dry is not None
    assert (dry.states, dry.attempts, dry.deletion) == (3, 3, None)
    assert world.attempts(ADA.student_key) == 2, "a dry run changes nothing"

    world.retaining.raise_horizon(NOW, frozenset())
    attempts, held, states = expire(world, 2)
    assert (attempts, held) == (3, 0)
    assert sorted(states) == sorted(before)
    after = dict(row for page in world.ledger.versions(9) for row in page)
    assert after == {key: version._replace(number=version.number + 1) for key, version in before.items()}
    assert world.ledger.floors()[DELETIONS] == Position(2)
    assert expire(world, 2) == (0, 0, []), "a second run finds nothing"
    assert world.deliver(*old, *new, sequence=1) == {"erased": 3, "redelivered": 2}
    assert world.erasing.count_letters() == 0, "what was dropped on purpose leaves no letter"
    world.retaining.raise_horizon(NOW - DAY, frozenset())
    assert world.deliver(old[0], sequence=2) == {"erased": 1}, "a horizon is never lowered"


def test_a_regrade_after_the_horizon_keeps_an_attempt_that_was_made_before(world: World) -> None:
    made = NOW - DAY
    world.deliver(score_event("ada", at=made, graded=made, score=10), sequence=1)
    world.deliver(score_event("ada", at=made, graded=NOW, score=90), sequence=2)
    world.retaining.raise_horizon(NOW, frozenset())
    assert expire(world, 9)[0] == 0
    assert world.deliver(score_event("ada", at=made, graded=made, score=10), sequence=3) == {"erased": 1}
    assert world.attempts(ADA.student_key) == 1


def test_a_horizon_of_some_courses_is_theirs_alone(world: World) -> None:
    made = NOW - DAY
    events = [score_event("ada", course, at=made) for course in ("algebra", "biology")]
    world.deliver(*events, sequence=1)
    assert world.retaining.known_courses(["algebra", "alchemy"]) == {"algebra"}
    assert world.retaining.count_states(["algebra"]) == 1
    world.retaining.raise_horizon(NOW, ["algebra"])
    assert expire(world, 9, frozenset({"algebra"}))[2] == [StateKey(ADA.student_key, "algebra")]
    assert world.attempts(ADA.student_key, "biology") == 1
    assert world.deliver(*events, sequence=1) == {"erased": 1, "redelivered": 1}


def test_held_students_are_kept_and_counted(world: World) -> None:
    world.deliver(*(score_event(student, at=NOW - DAY) for student in ("ada", "ben")), sequence=1)
    world.erasing.hold(ADA.student_key, "registrar", "asked to inspect")
    world.retaining.raise_horizon(NOW, frozenset())
    assert expire(world, 9) == (1, 1, [StateKey(BEN.student_key, "algebra")])
    assert world.attempts(ADA.student_key) == 1
    world.erasing.release(ADA.student_key)
    assert expire(world, 9) == (1, 0, [StateKey(ADA.student_key, "algebra")])


def unlink(world: World) -> int:
    gone, after = 0, None
    while (page := world.retaining.unlink_disclosures(after, 2)) is not None:
        gone, after = gone + page.students, page.last
    return gone


def outlived(world: World, courses: frozenset[str] = frozenset()) -> int:
    """What `unlink` is going to say once the horizon is NOW."""
    gone, after = 0, None
    while (page := world.retaining.outlived(after, 2, courses, NOW)) is not None:
        gone, after = gone + page.students, page.last
    return gone


def emptied(world: World, courses: frozenset[str] = frozenset()) -> int:
    """What `drop_publications` is going to say then."""
    kept, after = set[str](), None
    while (page := world.retaining.expiring(after, 2, courses, NOW)) is not None:
        kept, after = kept | page.kept, page.last
    return world.retaining.emptied_publications(kept, courses)


def test_disclosures_go_with_the_record_they_are_of(world: World) -> None:
    world.deliver(score_event("ada", at=NOW - DAY), score_event("ada", "biology"), sequence=1)
    world.deliver(score_event("ben", at=NOW - DAY), sequence=2)
    both = (ADA.student_key, BEN.student_key)
    world.log.record([seen(*both, minute=-60), seen(*both, minute=60), seen(*both, course=None, minute=-50)])
    world.log.record([seen(*both, course="biology", minute=-40)])
    world.log.anchor()
    assert outlived(world) == 4
    assert len(world.log.of_student(BEN.student_key, None, 9)) == 4, "a look changes nothing"
    world.retaining.raise_horizon(NOW, frozenset())
    expire(world, 9)
    assert unlink(world) == 4
    assert outlived(world) == 0
    ada = [one.course_id for one in world.log.of_student(ADA.student_key, None, 9)]
    assert ada == ["algebra", "biology", None], "newer than the horizon, or of a course that goes on"
    assert [one.at for one in world.log.of_student(BEN.student_key, None, 9)] == [NOW + minutes(60)]
    assert list(world.log.broken()) == []


def test_disclosures_of_held_students_and_of_other_courses_stay(world: World) -> None:
    old = [score_event(student, "algebra", at=NOW - DAY) for student in ("ada", "ben")]
    world.deliver(*old, score_event("ben", "biology", at=NOW - DAY), sequence=1)
    world.erasing.hold(ADA.student_key, "registrar", "asked to inspect")
    both = (ADA.student_key, BEN.student_key)
    world.log.record([seen(*both, course=course, minute=-60) for course in ("algebra", "biology", None)])
    algebra = frozenset({"algebra"})
    assert outlived(world, algebra) == 1, "ben's in algebra; not the ones of biology or of no course"
    assert outlived(world) == 3
    world.retaining.raise_horizon(NOW, algebra)
    expire(world, 9, algebra)
    assert unlink(world) == 1
    assert outlived(world) == 2
    world.retaining.raise_horizon(NOW, frozenset())
    assert outlived(world, frozenset({"chemistry"})) == 0, "refused already, and not dropped by this run"
    expire(world, 9)
    assert unlink(world) == 2


def test_figures_of_courses_without_an_attempt_are_dropped(world: World) -> None:
    world.deliver(score_event("ada", at=NOW - DAY), score_event("ada", "biology"), sequence=1)
    for course in ("algebra", "biology", "chemistry"):
        world.records.publish(publication(course), None)
    assert emptied(world) == 2
    assert emptied(world, frozenset({"biology"})) == 1, "chemistry has none already, algebra is not meant"
    world.retaining.raise_horizon(NOW, frozenset())
    expire(world, 9)
    assert world.retaining.drop_publications() == 2
    assert (emptied(world), world.retaining.drop_publications()) == (0, 0)
    assert world.records.publication("algebra", "") is None
    assert world.records.publication("biology", "") is not None


def test_figures_of_a_course_stay_with_a_held_student_or_a_void(world: World) -> None:
    world.deliver(
        *(score_event("ada", course, at=NOW - DAY) for course in ("algebra", "biology")), sequence=1
    )
    world.deliver(score_event("ada", "biology", at=NOW - DAY, graded=NOW, void=True), sequence=2)
    world.deliver(*(score_event("ben", course, at=NOW - DAY) for course in ("biology", "logic")), sequence=3)
    world.erasing.hold(BEN.student_key, "registrar", "asked to inspect")
    for course in ("algebra", "biology", "logic"):
        world.records.publish(publication(course), None)
    assert emptied(world) == 1
    world.erasing.release(BEN.student_key)
    assert emptied(world) == 2, "a void graded later is a row that stays"
    world.retaining.raise_horizon(NOW, frozenset())
    expire(world, 9)
    assert world.retaining.drop_publications() == 2


def test_a_tombstone_forgets_its_courses_once_no_state_can_come_back(world: World) -> None:
    world.deliver(score_event("ada"), sequence=1)
    world.erasing.erase(ADA.student_key, "registrar", "request 1")
    world.erasing.purged(ADA.student_key)
    assert world.retaining.forgettable_courses(NOW - 1000 * DAY) == 0
    assert world.retaining.forget_courses(NOW - 1000 * DAY) == 0
    assert world.retaining.forgettable_courses(NOW + 100_000 * DAY) == 1
    assert world.retaining.forget_courses(NOW + 100_000 * DAY) == 1
    assert world.retaining.forgettable_courses(NOW + 100_000 * DAY) == 0
    assert list(world.ledger.erased()) == []
    assert world.deliver(score_event("ada"), sequence=1) == {"erased": 1}


def test_an_outage_is_told_as_such() -> None:
    twin = MemoryLedger()
    twin.away = True
    erasing = MemoryErasing(twin, MemoryVault())
    away: list[Callable[[], object]] = [
        lambda: erasing.subject({ADA.student_key}),
        lambda: AuroraErasing(lambda: "host=/nowhere dbname=x").subject({ADA.student_key}),
        lambda: MemoryRetaining(erasing).count_states([]),
        lambda: AuroraRetaining(lambda: "host=/nowhere dbname=x").count_states([]),
    ]
    for call in away:
        with pytest.raises(LedgerUnavailable):
            call()


def test_a_dossier_is_every_row_of_the_student(request: pytest.FixtureRequest, world: World) -> None:
    void = score_event("ada", attempt=2, void=True, graded=NOW + minutes(1))
    world.deliver(
        score_event("ada", "biology"), score_event("ada", attempt=2), score_event("ben"), sequence=1
    )
    world.deliver(void, score_event("ada"), sequence=2)
    if isinstance(world.ledger, MemoryLedger):
        dossiers: Dossiers = MemoryDossiers(world.ledger)
    else:
        dsn = request.getfixturevalue("database")
        dossiers = AuroraDossiers(lambda: dsn)
    found = dossiers.dossier(ADA.student_key)
    dossiers.close()
    assert [entry.course_id for entry in found] == ["algebra", "algebra", "biology"]
    assert sorted((entry.voided, entry.revision) for entry in found) == [(False, 0), (False, 0), (True, 1)]
    states = world.ledger.read([StateKey(ADA.student_key, course) for course in ("algebra", "biology")])
    assert {entry.version for entry in found} == {state.version for state in states.values()}
    assert dossiers.dossier(UUID(int=5)) == []
    dossiers.close()
