"""The clerks: recorded before read, one bad request alone, and nobody left waiting."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tests.api_doubles import House
from tests.conftest import NOW, score_event
from tests.doubles import key_of
from worker.adapters.memory import MemoryDisclosures
from worker.api.desk import Clerk, Desk
from worker.api.problems import Away
from worker.batch import StateKey
from worker.domain.errors import LedgerUnavailable, PoisonBatch
from worker.reads import Disclosure

EVENT = score_event()
KEY = key_of(EVENT)
BEN = key_of(score_event("ben"))


def seen(*keys: StateKey, who: str = "teacher-1") -> Disclosure:
    return Disclosure(NOW, who, "teacher", "scores", "algebra", None, [key.student_key for key in keys])


class Strict(MemoryDisclosures):
    """Refuses what PostgreSQL would: all rows of a commit that holds a bad one."""

    def record(self, disclosures: Sequence[Disclosure]) -> None:
        if any("\x00" in one.who for one in disclosures):
            raise PoisonBatch
        super().record(disclosures)


Scene = Callable[[Desk], Coroutine[Any, Any, None]]


def play(scene: Scene, hire: Callable[[], Clerk], **options: Any) -> None:
    async def run() -> None:
        desk = Desk(hire, **{"clerks": 1, **options})
        desk.start()
        try:
            await scene(desk)
        finally:
            await asyncio.to_thread(desk.close)

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.fixture
def house() -> House:
    house = House()
    house.learn(EVENT)
    return house


def test_a_read_is_recorded_before_it_is_answered(house: House) -> None:
    async def scene(desk: Desk) -> None:
        found = await desk.read([KEY], seen(KEY))
        assert list(found) == [KEY]
        assert [link.who for link in house.book.links] == ["teacher-1"]

    play(scene, house.hire)


def test_what_cannot_be_recorded_is_not_read_and_the_own_record_is(house: House) -> None:
    async def scene(desk: Desk) -> None:
        await desk.read([KEY], None)
        house.lose(ledger=True)
        with pytest.raises(Away, match="recorded"):
            await desk.read([KEY], seen(KEY))
        with pytest.raises(Away, match="recorded"):
            await desk.record(seen(KEY))
        assert list(await desk.read([KEY], None)) == [KEY]
        with pytest.raises(LedgerUnavailable):
            await desk.read([BEN], None)

    play(scene, house.hire)
    assert house.book.links == []


def test_what_is_nowhere_is_not_written_down(house: House) -> None:
    async def scene(desk: Desk) -> None:
        assert await desk.read([BEN], seen(BEN)) == {}
        assert house.book.links == []
        assert list(await desk.read([BEN, KEY], seen(BEN, KEY))) == [KEY]
        assert len(house.book.links) == 1

    play(scene, house.hire)


def test_a_recorded_read_is_never_stale(house: House) -> None:
    async def scene(desk: Desk) -> None:
        before = (await desk.read([KEY], None))[KEY]
        house.learn(score_event(attempt=2))
        assert (await desk.read([KEY], None))[KEY] == before
        assert (await desk.read([KEY], seen(KEY)))[KEY].window.total == 2

    play(scene, house.hire)


def test_one_bad_request_costs_no_other_its_answer(house: House) -> None:
    gate, at_work = threading.Event(), threading.Event()

    def hire() -> Clerk:
        at_work.set()
        assert gate.wait(10)
        return house.hire()._replace(disclosures=Strict(house.book, house.records.versions_of))

    async def scene(desk: Desk) -> None:
        first = asyncio.create_task(desk.read([KEY], None))
        assert await asyncio.to_thread(at_work.wait, 10)
        bad = [asyncio.create_task(desk.read([KEY], seen(KEY, who="a\x00"))) for _ in range(2)]
        good = [asyncio.create_task(desk.read([KEY], seen(KEY, who=f"t{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        gate.set()
        await first
        assert [list(found) for found in await asyncio.gather(*good)] == [[KEY]] * 3
        found = await asyncio.gather(*bad, return_exceptions=True)
        assert [type(error) for error in found] == [PoisonBatch] * 2

    play(scene, hire)
    assert sorted(link.who for link in house.book.links) == ["t0", "t1", "t2"]
    assert house.disclosures[0].broken() == []


def test_a_clerk_that_cannot_be_hired_is_hired_later(house: House) -> None:
    away = True

    def hire() -> Clerk:
        if away:
            raise LedgerUnavailable
        return house.hire()

    async def scene(desk: Desk) -> None:
        nonlocal away
        for _ in range(3):
            with pytest.raises(LedgerUnavailable):
                await desk.read([KEY], seen(KEY))
            with pytest.raises(LedgerUnavailable):
                await desk.work(lambda clerk: clerk.records.figures())
        away = False
        assert list(await desk.read([KEY], seen(KEY))) == [KEY]
        assert await desk.work(lambda clerk: clerk.records.courses_of(KEY.student_key))

    play(scene, hire)


def test_an_unexpected_error_is_the_requests_own_and_the_clerk_lives_on(house: House) -> None:
    failing = True

    class Odd(MemoryDisclosures):
        def anchor(self) -> None:
            raise KeyError

        def record(self, disclosures: Sequence[Disclosure]) -> None:
            if failing:
                raise ZeroDivisionError
            super().record(disclosures)

    async def scene(desk: Desk) -> None:
        nonlocal failing
        with pytest.raises(ZeroDivisionError):
            await desk.record(seen(KEY))
        failing = False
        await desk.record(seen(KEY))

    play(
        scene,
        lambda: house.hire()._replace(disclosures=Odd(house.book, house.records.versions_of)),
        anchor_seconds=0.0,
    )
    assert len(house.book.links) == 1


def test_chains_are_anchored_while_requests_keep_coming(house: House) -> None:
    async def scene(desk: Desk) -> None:
        while not house.book.anchors:
            await desk.record(seen(KEY))

    play(scene, house.hire, anchor_seconds=0.02)


def test_who_comes_right_after_others_waits_for_more_and_shares_their_commit(house: House) -> None:
    commits: list[int] = []

    class Counting(MemoryDisclosures):
        def record(self, disclosures: Sequence[Disclosure]) -> None:
            commits.append(len(disclosures))
            super().record(disclosures)

    def hire() -> Clerk:
        return house.hire()._replace(disclosures=Counting(house.book, house.records.versions_of))

    async def scene(desk: Desk) -> None:
        await desk.read([KEY], seen(KEY))
        for _ in range(5):
            await asyncio.gather(desk.read([KEY], seen(KEY)), desk.read([KEY], seen(KEY)))

    play(scene, hire, linger_seconds=0.05)
    assert commits == [1, 2, 2, 2, 2, 2]


def test_nobody_lingers_once_the_desk_closes(house: House) -> None:
    async def scene(desk: Desk) -> None:
        await desk.read([KEY], seen(KEY))
        last = asyncio.create_task(desk.read([KEY], seen(KEY)))
        await asyncio.sleep(0)
        await asyncio.to_thread(desk.close)
        assert list(await last) == [KEY]

    play(scene, house.hire, linger_seconds=600.0)


def test_a_close_anchors_what_was_recorded(house: House) -> None:
    async def scene(desk: Desk) -> None:
        await desk.record(seen(KEY))

    play(scene, house.hire)
    assert [anchor.number for anchor in house.book.anchors] == [1]
    assert house.disclosures[0].broken() == []


def test_more_than_may_wait_is_refused_at_once(house: House) -> None:
    gate = threading.Event()

    def wait(clerk: Clerk) -> None:
        assert gate.wait(10)

    async def scene(desk: Desk) -> None:
        busy = [asyncio.create_task(desk.work(wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Away, match="too many"):
            await desk.work(wait)
        gate.set()
        await asyncio.gather(*busy)
        await desk.work(wait)

    play(scene, house.hire, most_waiting=3, workers=1)


def test_a_client_that_goes_away_stops_nobody(house: House) -> None:
    async def scene(desk: Desk) -> None:
        tasks = [asyncio.create_task(desk.read([KEY], seen(KEY))) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert list(tasks[3].result()) == [KEY]

    play(scene, house.hire)


def test_every_clerk_is_given_back_at_the_end(house: House) -> None:
    open_clerks: list[int] = []

    def hire() -> Clerk:
        open_clerks.append(1)
        return house.hire()._replace(close=lambda: open_clerks.remove(1))

    async def scene(desk: Desk) -> None:
        await desk.read([KEY], None)
        await desk.work(lambda clerk: None)
        assert len(open_clerks) == 2

    play(scene, hire)
    assert open_clerks == []
