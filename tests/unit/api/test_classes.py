"""Class figures between processes: computed once, shared, renewed when changed, and never guessed at."""

from uuid import UUID

import pytest

from tests.api_doubles import House
from tests.conftest import NOW, minutes, score_event
from worker.adapters.memory import MemoryRecords
from worker.api.classes import Classes, Rules
from worker.api.rooms import Room
from worker.domain.classroom import Publication
from worker.domain.errors import LedgerUnavailable
from worker.reads import Days


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fill(house: House, count: int, *, score: float = 80, attempt: int = 1) -> None:
    house.learn(
        *[
            score_event(f"s-{n}", item=f"q{k}", score=score, attempt=attempt, at=NOW - minutes(k + 1))
            for n in range(count)
            for k in range(3)
        ]
    )
    house.projection.values.clear()


@pytest.fixture
def house() -> House:
    house = House()
    fill(house, 12)
    return house


def classes(house: House, clock: Clock | None = None) -> Classes:
    return Classes(Rules(), house.now, clock or Clock())


def room(found: Room | None) -> Room:
    assert found is not None
    return found


def test_a_class_is_computed_once_and_shared(house: House) -> None:
    first = room(classes(house).room(house.hire(), "algebra"))
    assert (first.classroom.counted, len(first.items), len(first.sealed)) == (12, 3, 12)
    house.lose(ledger=True)
    other = classes(house)
    assert other.room(house.hire(), "algebra") == first
    assert other.rankings(house.hire(), "algebra") == first.rankings


def test_an_unknown_course_leaves_nothing_behind(house: House) -> None:
    found = classes(house)
    for n in range(3_000):
        assert found.room(house.hire(), f"no-{n}") is None
    assert house.classes.wanted(600) == []
    assert house.classes.bodies == {}
    assert len(found._making) <= 1_001


def test_what_was_decoded_is_served_for_a_second(house: House) -> None:
    clock = Clock()
    found = classes(house, clock)
    first = found.room(house.hire(), "algebra")
    assert found.held("room", "algebra") is first
    clock.now += 1.1
    assert found.held("room", "algebra") is None
    assert found.outdated("room", "algebra") is first
    clock.now += 5
    assert found.outdated("room", "algebra") is None
    assert found.room(house.hire(), "algebra") == first


def test_that_a_class_is_wanted_is_noted_once_a_minute(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(house.classes, "want", noted.append)
    clock = Clock()
    found = classes(house, clock)
    for later in (0, 2, 50, 10):
        clock.now += later
        found.room(house.hire(), "algebra")
    assert noted == ["algebra", "algebra"]


def test_without_redis_the_ledger_answers_and_says_so(house: House) -> None:
    house.lose(redis=True)
    found = room(classes(house).room(house.hire(), "algebra"))
    assert (found.classroom.degraded, found.classroom.counted) == (True, 12)


def test_without_both_it_is_refused(house: House) -> None:
    house.lose(ledger=True, redis=True)
    with pytest.raises(LedgerUnavailable):
        classes(house).room(house.hire(), "algebra")


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x28\xb5\x2f\xfd\x00"])
def test_what_another_version_wrote_is_computed_again(house: House, body: bytes) -> None:
    house.classes.put("room", "algebra", body)
    assert room(classes(house).room(house.hire(), "algebra")).classroom.counted == 12


def test_a_refresh_makes_what_is_wanted_and_has_changed(house: House) -> None:
    clock = Clock()
    found, clerk = classes(house, clock), house.hire()
    assert found.refresh(clerk) == 0
    found.room(clerk, "algebra")
    assert found.refresh(clerk) == 0
    fill(house, 13, attempt=2)
    assert found.refresh(clerk) == 1
    clock.now += 2
    assert room(found.room(clerk, "algebra")).classroom.counted == 13


def test_a_refresh_mends_a_degraded_class_and_an_old_one(house: House) -> None:
    found, clerk = classes(house), house.hire()
    house.projection.away = True
    found.room(clerk, "algebra")
    house.projection.away = False
    assert found.refresh(clerk) == 1
    assert found.refresh(clerk) == 0
    house.present += minutes(2)
    assert found.refresh(clerk) == 1


def test_one_process_has_the_turn(house: House) -> None:
    found, clerk = classes(house), house.hire()
    found.room(clerk, "algebra")
    fill(house, 13, attempt=2)
    with clerk.records.class_turn() as mine:
        assert mine
        assert found.refresh(clerk) == 0
    assert found.refresh(clerk) == 1


def test_the_past_is_the_ledgers(house: House) -> None:
    fill(house, 12, score=20, attempt=2)
    clerk = house.hire()
    found = classes(house)
    then = room(found.past(clerk.records, "algebra", Days(), NOW - minutes(2)))
    assert {one.scores.attempts_total for one in then.classroom.learners} == {4}
    assert found.past(clerk.records, "algebra", Days(), NOW - minutes(4)) is None


def published(house: House, found: Classes) -> Publication:
    shown = found.published(house.hire(), "algebra", "default")
    assert shown is not None
    return shown


def test_nine_who_changed_are_not_shown(house: House) -> None:
    first = published(house, classes(house))
    for count in (4, 9):
        fill(house, count, score=10, attempt=count)
        house.present += minutes(1)
        house.classes.bodies.clear()
        assert published(house, classes(house)) == first
    fill(house, 10, score=10, attempt=10)
    house.present += minutes(1)
    house.classes.bodies.clear()
    assert published(house, classes(house)) != first


def test_of_two_processes_that_publish_at_once_one_is_shown(house: House) -> None:
    """Each would differ from the last by ten, and the two from each other by one learner."""
    first = published(house, classes(house))
    fill(house, 10, score=10, attempt=2)
    house.present += minutes(1)
    house.classes.bodies.clear()
    slow = classes(house)
    clerk = house.hire()
    slow.room(clerk, "algebra")

    fill(house, 11, score=10, attempt=3)
    house.present += minutes(1)
    house.classes.bodies.clear()
    quick = published(house, classes(house))
    assert quick != first

    class Late(MemoryRecords):
        """Looks just before the other process publishes."""

        looks = 0

        def publication(self, course_id: str, realm: str) -> Publication | None:
            self.looks += 1
            return first if self.looks == 1 else super().publication(course_id, realm)

    late = Late(house.ledger, house.now)
    late.publications = house.records.publications
    assert slow.published(clerk._replace(records=late), "algebra", "default") == quick


def test_versions_are_never_shown_under_a_name(house: House) -> None:
    shown = published(house, classes(house))
    assert {UUID(key) for key in shown.versions} == {key.student_key for key in house.ledger.current()}
