"""Schools that share a course: whose class it is, and among whom a percentile is one."""

from uuid import UUID

import msgspec
import pytest

from tests.api_doubles import House
from tests.conftest import IDENTITY, NOW, minutes, score_event
from worker.api.classes import Classes, Rules
from worker.api.rooms import Room, School, by_issuer
from worker.domain.event import ScoreEvent
from worker.reads import Days


def of_realm(realm: str, student: str, score: float) -> list[ScoreEvent]:
    key, seal = IDENTITY.identify(student, realm)
    return [
        msgspec.structs.replace(
            score_event(student, item=f"{realm}-{n}", score=score, at=NOW - minutes(n + 1)),
            student_key=key,
            sealed_id=seal,
        )
        for n in range(3)
    ]


@pytest.fixture
def house() -> House:
    house = House()
    house.learn(*[event for n in range(12) for event in of_realm("north", f"s-{n}", 10 + n)])
    house.learn(*[event for n in range(10) for event in of_realm("south", f"s-{n}", 80 + n)])
    return house


def room(house: House, *, past: bool = False) -> Room:
    classes = Classes(Rules(), house.now)
    clerk = house.hire()
    found = classes.past(clerk.records, "algebra", Days(), NOW) if past else classes.room(clerk, "algebra")
    assert found is not None
    return found


def school(found: School | None) -> School:
    assert found is not None
    return found


@pytest.mark.parametrize("past", [False, True])
def test_each_school_has_its_own_figures(house: House, past: bool) -> None:
    found = room(house, past=past)
    north, south = school(found.of("north")), school(found.of("south"))
    assert (len(north.classroom.learners), len(south.classroom.learners)) == (12, 10)
    assert len(found.classroom.learners) == 22
    assert {item.item_id for item in north.items} == {"north-0", "north-1", "north-2"}
    assert {item.learners for item in south.items} == {10}
    assert found.of("east") is None


def test_a_percentile_is_one_among_the_own_school(house: House) -> None:
    rankings = Classes(Rules(), house.now).rankings(house.hire(), "algebra")
    assert rankings is not None
    south, north = rankings.of("south"), rankings.of("north")
    assert south is not None
    assert north is not None
    assert (len(south.means), len(north.means), len(rankings.whole.means)) == (10, 12, 22)
    assert south.percentile(0.8) == 5.0
    assert rankings.whole.percentile(0.8) == pytest.approx(100 * 12.5 / 22)
    assert rankings.of("east") is None


def test_what_is_published_is_of_the_own_school(house: House) -> None:
    classes, clerk = Classes(Rules(), house.now), house.hire()
    for realm, learners, mean in (("north", 12, 0.155), ("south", 10, 0.845)):
        shown = classes.published(clerk, "algebra", realm)
        assert shown is not None
        assert (shown.realm, shown.learners, len(shown.versions)) == (realm, learners, learners)
        assert shown.mean == pytest.approx(mean, abs=0.006)
        assert clerk.records.publication("algebra", realm) == shown
    assert classes.published(clerk, "algebra", "east") is None
    assert clerk.records.publication("algebra", "") is None


def test_ten_who_changed_at_another_school_publish_nothing_here(house: House) -> None:
    clerk = house.hire()
    before = Classes(Rules(), house.now).published(clerk, "algebra", "north")
    house.learn(*[event for n in range(10, 20) for event in of_realm("south", f"s-{n}", 60)])
    house.present += minutes(1)
    house.classes.bodies.clear()
    house.projection.values.clear()
    classes = Classes(Rules(), house.now)
    assert classes.published(clerk, "algebra", "north") == before
    south = classes.published(clerk, "algebra", "south")
    assert south is not None
    assert south.learners == 20


def test_where_no_seal_tells_all_realms_are_shown_the_same() -> None:
    house = House()
    events = [event for n in range(10) for event in of_realm("north", f"s-{n}", 50)]
    house.learn(*[msgspec.structs.replace(event, sealed_id=None) for event in events])
    clerk, classes = house.hire(), Classes(Rules(), house.now)
    shown = classes.published(clerk, "algebra", "north")
    assert shown is not None
    assert shown == classes.published(clerk, "algebra", "south") == clerk.records.publication("algebra", "")


def test_what_is_shared_between_processes_keeps_the_schools_apart(house: House) -> None:
    first = room(house)
    house.lose(ledger=True)
    assert room(house) == first


def test_a_course_of_one_school_is_computed_once() -> None:
    house = House()
    house.learn(*of_realm("north", "ada", 50))
    found = room(house)
    assert (found.issuers, found.apart) == (["north"], {})
    assert school(found.of("north")).classroom == found.classroom
    assert found.of("default") is None


def test_whose_seal_does_not_tell_belongs_to_nobody() -> None:
    known, unsealed, broken = UUID(int=1), UUID(int=2), UUID(int=3)
    _, seal = IDENTITY.identify("ada", "north")
    assert by_issuer([known, unsealed, broken], {known: seal, broken: b"?"}) == {"north": [known]}
