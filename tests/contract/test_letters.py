"""The DeadLetters port's contract, on the twin and on PostgreSQL."""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import batch
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.letters import AuroraLetters
from worker.adapters.memory import MemoryLedger, MemoryLetters, MemoryVault
from worker.batch import DeadLetter
from worker.domain.errors import LedgerUnavailable, Reason
from worker.domain.position import Position
from worker.letters import DeadLetters, Failure, Letter, Selection, Settled
from worker.ports import Ledger

ANY = Selection()
SHARD = "kinesis:arn:aws:kinesis:us-east-1:1:stream/s@2026-01-01T00:00:00Z:shardId-000000000000"
OTHER = SHARD[:-1] + "1"
HUGE = 49_546_986_683_135_544_286_507_457_936_321_625_675_700_192_471_156_785_154
"""A sequence number of Kinesis; none of a job's positions is as large."""
MINUTE = 60.0


class World:
    """A ledger that buries, and the letters in it."""

    def __init__(self, ledger: Ledger, letters: DeadLetters, pass_by: Callable[[timedelta], None]) -> None:
        self.ledger = ledger
        self.letters = letters
        self.pass_by = pass_by
        self._sequence = itertools.count(HUGE)

    def bury(
        self, *reasons: Reason, source: str = SHARD, at: Position | None = None, field: str | None = None
    ) -> list[int]:
        """A letter for each reason; their numbers."""
        before = self.letters.newest()
        self.ledger.open_source(source)
        for reason in reasons:
            position = at or Position(next(self._sequence))
            letter = DeadLetter(position, 0, reason, field, reason.value.encode())
            self.ledger.commit(batch(source=source, sequence=position.sequence, dead=(letter,)))
        found = self.letters.page(ANY, before, 100)
        return [letter.number for letter in found] if at is None else []

    def left(self, selection: Selection = ANY) -> list[int]:
        return [letter.number for letter in self.letters.page(selection, 0, 1_000)]

    def claim(self, operator: str = "a", selection: Selection = ANY, count: int = 10) -> list[int]:
        return [one.number for one in self.letters.claim(selection, operator, 0, count, MINUTE)]


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield in_memory()
        return
    database: str = request.getfixturevalue("database")
    aurora: AuroraLedger = request.getfixturevalue("aurora")
    letters = AuroraLetters(lambda: database)

    def pass_by(span: timedelta) -> None:
        moments = ("stored_at", "expires_at", "claimed_until")
        with psycopg.connect(database, autocommit=True) as connection:
            for moment in moments:
                connection.execute(f"UPDATE dead_letters SET {moment} = {moment} - %s".encode(), [span])

    yield World(aurora, letters, pass_by)
    letters.close()


def in_memory() -> World:
    ledger = MemoryLedger()
    present = [datetime.now(UTC)]

    def pass_by(span: timedelta) -> None:
        letters.newest()  # what was buried was stored by now
        present[0] += span

    letters = MemoryLetters(ledger, MemoryVault(), lambda: present[0])
    return World(ledger, letters, pass_by)


def test_letters_are_told_in_the_order_of_their_age(world: World) -> None:
    assert (world.letters.newest(), world.left()) == (0, [])
    numbers = world.bury(Reason.NOT_JSON, Reason.MISSING_FIELD, field="course_id")
    assert numbers == sorted(numbers)
    assert world.letters.newest() == numbers[-1]
    first, second = world.letters.page(ANY, 0, 10)
    assert first == Letter(
        numbers[0], SHARD, Reason.NOT_JSON, "course_id", MemoryVault().seal(b"not_json"), first.stored_at, 0
    )
    assert datetime.now(UTC) - first.stored_at < timedelta(minutes=1)
    assert world.letters.page(ANY, first.number, 10) == [second]
    assert world.letters.page(ANY, 0, 1) == [first]


def test_letters_are_chosen_by_reason_shard_age_and_number(world: World) -> None:
    (old,) = world.bury(Reason.NOT_JSON)
    world.pass_by(timedelta(hours=1))
    young, other = world.bury(Reason.NOT_JSON, Reason.INVALID_FIELD)
    (elsewhere,) = world.bury(Reason.NOT_JSON, source=OTHER)
    born = {letter.number: letter.stored_at for letter in world.letters.page(ANY, 0, 10)}
    middle = born[old] + timedelta(minutes=30)
    assert world.left(Selection(frozenset({Reason.INVALID_FIELD}))) == [other]
    assert world.left(Selection(shard="shardId-000000000001")) == [elsewhere]
    assert world.left(Selection(shard="000000000001")) == [], "no part of a shard's name"
    assert world.left(Selection(first=middle)) == [young, other, elsewhere]
    assert world.left(Selection(last=middle)) == [old]
    assert world.left(Selection(first=born[old], last=born[old])) == []
    assert world.left(Selection(newest=young)) == [old, young]
    assert world.letters.counts(ANY) == {Reason.INVALID_FIELD: 1, Reason.NOT_JSON: 3}
    assert world.letters.counts(Selection(frozenset({Reason.NOT_JSON}), newest=young)) == {Reason.NOT_JSON: 2}


def test_a_letter_that_has_expired_is_never_chosen(world: World) -> None:
    world.bury(Reason.NOT_JSON)
    world.pass_by(timedelta(days=30))
    assert (world.left(), world.claim(), world.letters.counts(ANY)) == ([], [], {})


def test_no_two_operators_hold_one_letter(world: World) -> None:
    numbers = world.bury(*[Reason.NOT_JSON] * 5)
    assert world.claim("a", count=2) == numbers[:2]
    assert world.claim("b", count=2) == numbers[2:4]
    assert world.claim("a", count=2) == numbers[:2], "its own again, should it not have heard the answer"
    assert world.claim("a") == [*numbers[:2], numbers[4]]
    assert world.claim("c") == []
    assert world.left() == numbers, "who only looks sees them all"


def test_a_claim_that_ran_out_is_free_again_and_settles_nothing(world: World) -> None:
    (number,) = world.bury(Reason.NOT_JSON)
    assert world.claim("a") == [number]
    world.pass_by(timedelta(minutes=1))
    world.letters.renew("a", MINUTE)
    assert world.letters.settle("a", "redrive:a", [number], {}) == Settled(0, 0)
    assert world.claim("b") == [number], "it was not renewed"
    world.letters.settle("a", "redrive:a", [], {number: Failure(Reason.ERASED)})
    assert [one.tries for one in world.letters.page(ANY, 0, 1)] == [0]
    assert world.letters.settle("b", "redrive:b", [number], {}) == Settled(1, 0)
    assert world.left() == []


def test_an_operator_that_works_keeps_its_claims(world: World) -> None:
    (number,) = world.bury(Reason.NOT_JSON)
    world.claim("a")
    world.pass_by(timedelta(seconds=50))
    world.letters.renew("a", MINUTE)
    world.letters.renew("b", MINUTE)
    world.pass_by(timedelta(seconds=50))
    assert world.claim("b") == []
    assert world.letters.settle("a", "redrive:a", [number], {}) == Settled(1, 0)


def test_what_is_given_back_is_free_at_once(world: World) -> None:
    numbers = world.bury(Reason.NOT_JSON, Reason.NOT_JSON)
    world.claim("a", count=1)
    world.claim("b")
    world.letters.release("a")
    assert world.claim("c") == numbers[:1]
    (letter, _) = world.letters.page(ANY, 0, 2)
    assert letter.tries == 0


def test_what_failed_again_is_one_try_older_under_todays_reason(world: World) -> None:
    first, second, third = world.bury(Reason.NOT_JSON, Reason.NOT_JSON, Reason.NOT_JSON)
    before = world.letters.page(ANY, 0, 10)
    world.claim("a")
    failed = {second: Failure(Reason.MISSING_FIELD, "score"), third: Failure(Reason.ERASED)}
    for _ in range(2):  # the answer may be lost
        assert world.letters.settle("a", "redrive:a", [first], failed) == Settled(1, 2)
    assert world.letters.page(ANY, 0, 10) == [
        before[1]._replace(reason=Reason.MISSING_FIELD, field="score", tries=1),
        before[2]._replace(reason=Reason.ERASED, field=None, tries=1),
    ]
    assert world.claim("b") == [second, third], "it is free for the next fix"


def test_a_copy_tells_why_the_ledger_refused_and_goes_with_the_settling(world: World) -> None:
    first, second = world.bury(Reason.NOT_JSON, Reason.NOT_JSON)
    world.claim("a")
    world.bury(Reason.KEY_COLLISION, source="redrive:a", at=Position(first))
    world.bury(Reason.ERASED, source="redrive:elsewhere", at=Position(second))
    assert world.letters.refused("redrive:a", [first, second]) == {first: Failure(Reason.KEY_COLLISION)}
    assert world.left() == [first, second], "a copy is nobody's to choose"
    assert world.letters.counts(ANY) == {Reason.NOT_JSON: 2}
    world.letters.settle("a", "redrive:a", [second], {first: Failure(Reason.KEY_COLLISION)})
    assert world.letters.refused("redrive:a", [first, second]) == {}
    assert world.letters.counts(Selection(frozenset({Reason.KEY_COLLISION}))) == {Reason.KEY_COLLISION: 1}


def test_copies_of_a_run_that_was_killed_are_removed_once_nobody_tries_their_letters(world: World) -> None:
    first, second = world.bury(Reason.NOT_JSON, Reason.NOT_JSON)
    world.claim("a", count=1)
    world.bury(Reason.ERASED, source="redrive:a", at=Position(first))
    world.bury(Reason.ERASED, source="redrive:a", at=Position(second))
    assert world.letters.tidy() == 1, "the first is still tried"
    assert world.letters.refused("redrive:a", [first, second]) == {first: Failure(Reason.ERASED)}
    world.pass_by(timedelta(minutes=1))
    assert world.letters.tidy() == 1
    assert world.left() == [first, second]


def test_a_copy_whose_letter_is_gone_is_a_letter(world: World) -> None:
    world.bury(Reason.ERASED, source="redrive:a", at=Position(10**9))
    (letter,) = world.letters.page(ANY, 0, 10)
    assert letter.source == "redrive:a"
    assert world.claim("b") == [letter.number]
    assert world.letters.tidy() == 0


def test_operators_who_claim_at_the_same_moment_share_the_letters(
    database: str, aurora: AuroraLedger
) -> None:
    opened = [AuroraLetters(lambda: database) for _ in range(4)]
    numbers = World(aurora, opened[0], lambda _: None).bury(*[Reason.NOT_JSON] * 40)
    gate, claimed = threading.Barrier(len(opened)), list[list[int]]()

    def work(letters: AuroraLetters, name: str) -> None:
        gate.wait()
        after = 0
        while found := letters.claim(ANY, name, after, 3, MINUTE):
            claimed.append([one.number for one in found])
            after = found[-1].number

    threads = [threading.Thread(target=work, args=(one, f"o{n}")) for n, one in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*claimed)) == numbers
    for letters in opened:
        letters.close()


def test_letters_are_away_with_their_ledger() -> None:
    world: Any = in_memory()
    world.ledger.away = True
    with pytest.raises(LedgerUnavailable):
        world.letters.claim(ANY, "a", 0, 1, MINUTE)
    with pytest.raises(LedgerUnavailable):
        AuroraLetters(lambda: "host=127.0.0.1 port=1 connect_timeout=1").newest()
