"""One student's scores: whom a ranking that is out of date holds up."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tests.api_doubles import House
from tests.conftest import IDENTITY, NOW, minutes, score_event
from worker.api.access import Caller, Grant, Role
from worker.api.answers import StudentInCourse
from worker.api.classes import Classes, Rules
from worker.api.desk import Clerk
from worker.api.rooms import Rankings
from worker.api.scores import Asked, Scores
from worker.domain.risk import Thresholds

Read = Callable[[str], Awaitable[float | None]]


class Slow(Classes):
    """Its rankings are there only once the gate is open."""

    def __init__(self, house: House) -> None:
        self.present = 100.0
        self.gate = threading.Event()
        self.gate.set()
        self.looks = 0
        super().__init__(Rules(), house.now, lambda: self.present)

    def rankings(self, clerk: Clerk, course_id: str) -> Rankings | None:
        self.looks += 1
        assert self.gate.wait(10)
        return super().rankings(clerk, course_id)


def house_of(learners: int) -> House:
    house = House()
    house.learn(
        *[
            score_event(f"s-{n}", item=f"q{k}", score=5 * n, at=NOW - minutes(k + 1))
            for n in range(learners)
            for k in range(3)
        ]
    )
    return house


def play(house: House, classes: Slow, scene: Callable[[Read], Awaitable[None]]) -> None:
    async def run() -> None:
        service = house.service()
        scores = Scores(service.desk, classes, service.freshness, Thresholds(), house.now)
        caller = Caller("teacher", frozenset({Role.TEACHER}), "default", courses=frozenset({"algebra"}))

        async def read(student_id: str) -> float | None:
            key = IDENTITY.pseudonym(student_id, "default")
            asked = Asked(caller, Grant(Role.TEACHER), None, student_id, key)
            owed = await scores.in_course(asked, "algebra", None, known=False)
            assert isinstance(owed.answer, StudentInCourse)
            return owed.answer.percentile_in_course

        async with service.running():
            await scene(read)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_nobody_waits_while_a_ranking_is_renewed() -> None:
    house = house_of(10)
    classes = Slow(house)

    async def scene(read: Read) -> None:
        assert await read("s-0") == 5.0
        classes.present += 2
        classes.gate.clear()
        assert await asyncio.gather(*(read(f"s-{n}") for n in range(3))) == [5.0, 15.0, 25.0]
        classes.gate.set()

    play(house, classes, scene)
    assert classes.looks == 2


def test_all_who_need_a_ranking_wait_for_one_look() -> None:
    house = house_of(10)
    classes = Slow(house)

    async def scene(read: Read) -> None:
        assert await asyncio.gather(*(read(f"s-{n}") for n in range(3))) == [5.0, 15.0, 25.0]
        assert classes.looks == 1

    play(house, classes, scene)


def test_a_ranking_that_cannot_be_made_costs_no_reader_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    house = house_of(10)

    class Broken(Slow):
        def rankings(self, clerk: Clerk, course_id: str) -> Rankings | None:
            raise ZeroDivisionError

    async def scene(read: Read) -> None:
        assert await read("s-0") is None

    play(house, Broken(house), scene)
    assert "a ranking not renewed" in caplog.text
