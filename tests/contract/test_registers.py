"""The Registers port's contract, on the twin and on PostgreSQL."""

import uuid
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest

from tests.conftest import NOW, batch, minutes, score_event
from tests.doubles import key_of
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.registers import AuroraRegisters
from worker.adapters.aurora.retaining import AuroraRetaining
from worker.adapters.memory import (
    MemoryErasing,
    MemoryLedger,
    MemoryRegisters,
    MemoryRetaining,
    MemoryVault,
)
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import LedgerUnavailable
from worker.domain.event import ScoreEvent, micros, order_of, register_of
from worker.domain.window import Attempt
from worker.ports import Ledger
from worker.registers import AttemptId, Known, Registers
from worker.stream.difference import Difference
from worker.upkeep import Retaining

ADA, BEN = score_event("ada"), score_event("ben")


class World:
    def __init__(self, ledger: Ledger, registers: Registers, database: str | None) -> None:
        self.ledger = ledger
        self.registers = registers
        self.database = database
        self._sequence = 0
        ledger.open_source("test")

    def learn(self, *events: ScoreEvent) -> Accounting:
        self._sequence += 1
        return self.ledger.commit(self.ledger.intern(batch(*events, sequence=self._sequence))).accounting

    def erase(self, event: ScoreEvent) -> None:
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.tombstones[event.student_key] = {event.course_id}
            return
        self._execute(
            "INSERT INTO erasures (student_ref, courses)"
            " SELECT student_ref, ARRAY[%(course)s] FROM students WHERE student_key = %(key)s",
            {"course": event.course_id, "key": event.student_key},
        )

    def lift(self, event: ScoreEvent, refused_until: datetime | None) -> None:
        """Lift the tombstone of the event's student."""
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.lifted[event.student_key] = self.ledger.tombstones.pop(event.student_key)
            if refused_until is not None:
                self.ledger.refused_until[event.student_key] = refused_until
            return
        self._execute(
            "UPDATE erasures SET lifted_at = now(),"
            " refused_until = coalesce(%(until)s::timestamptz, '-infinity')"
            " WHERE student_ref = (SELECT student_ref FROM students WHERE student_key = %(key)s)",
            {"until": refused_until, "key": event.student_key},
        )

    def raise_horizon(self, before: datetime, *courses: str) -> None:
        retaining: Retaining
        if isinstance(self.ledger, MemoryLedger):
            retaining = MemoryRetaining(MemoryErasing(self.ledger, MemoryVault()))
        else:
            database = self.database
            assert database is not None
            retaining = AuroraRetaining(lambda: database)
        retaining.raise_horizon(before, courses)
        retaining.close()

    def rekey(self, old: uuid.UUID, present: uuid.UUID) -> None:
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.aliases[old] = present
            return
        self._execute(
            "INSERT INTO student_keys (student_key, student_ref)"
            " SELECT %(old)s, student_ref FROM students WHERE student_key = %(present)s",
            {"old": old, "present": present},
        )

    def _execute(self, statement: str, values: dict[str, object]) -> None:
        assert self.database is not None
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(statement.encode(), values)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        ledger = MemoryLedger()
        yield World(ledger, MemoryRegisters(ledger), None)
        return
    database: str = request.getfixturevalue("database")
    aurora: AuroraLedger = request.getfixturevalue("aurora")
    registers = AuroraRegisters(lambda: database)
    yield World(aurora, registers, database)
    registers.close()


def id_of(event: ScoreEvent) -> AttemptId:
    return AttemptId(key_of(event), register_of(event).key)


def test_a_student_is_known_by_every_key_and_as_erased(world: World) -> None:
    world.learn(ADA, BEN)
    world.erase(BEN)
    old, nobody = uuid.uuid4(), uuid.uuid4()
    world.rekey(old, ADA.student_key)
    assert world.registers.known({ADA.student_key, BEN.student_key, old, nobody}) == {
        ADA.student_key: Known(ADA.student_key, erased=False),
        old: Known(ADA.student_key, erased=False),
        BEN.student_key: Known(BEN.student_key, erased=True),
    }
    assert world.registers.known(set()) == {}


def test_a_lifted_tombstone_tells_until_when_it_refuses(world: World) -> None:
    eve = score_event("eve")
    world.learn(ADA, BEN, eve)
    for event in (ADA, BEN, eve):
        world.erase(event)
    world.lift(ADA, NOW + minutes(3))
    world.lift(BEN, None)
    assert world.registers.known({event.student_key for event in (ADA, BEN, eve)}) == {
        ADA.student_key: Known(ADA.student_key, erased=False, refused_until=NOW + minutes(3)),
        BEN.student_key: Known(BEN.student_key, erased=False),
        eve.student_key: Known(eve.student_key, erased=True),
    }


def test_a_course_has_the_later_horizon_of_its_own_and_of_all(world: World) -> None:
    world.learn(ADA, score_event("ada", course="logic"), score_event("ada", course="art"))
    assert world.registers.horizons(["algebra", "chemistry"]) == {}
    world.raise_horizon(NOW, "algebra")
    assert world.registers.horizons(["algebra", "logic", "chemistry"]) == {"algebra": NOW}
    world.raise_horizon(NOW - minutes(1))
    world.raise_horizon(NOW - minutes(9), "art")
    before = dict.fromkeys(["logic", "art", "chemistry"], NOW - minutes(1))
    assert world.registers.horizons(["algebra", "logic", "art", "chemistry"]) == {"algebra": NOW, **before}
    assert world.registers.horizons([]) == {}


def test_what_a_merge_will_refuse_is_known_before(world: World) -> None:
    """Both sides of every border: that of all courses, that of one, of a tombstone and of a lifted one."""
    times = [NOW + minutes(n) for n in range(6)]
    students, courses = ("ada", "ben", "eve", "new"), ("algebra", "logic", "unknown")
    world.learn(ADA, BEN, score_event("eve"), score_event("eve", course="logic"))
    world.erase(ADA)
    world.lift(ADA, times[4])
    world.erase(BEN)
    world.raise_horizon(times[1])
    world.raise_horizon(times[3], "logic")
    events = [
        score_event(student, course, graded=at, attempt=2)
        for student in students
        for course in courses
        for at in times
    ]
    difference = Difference(world.registers)
    difference.take(list(batch(*events).events))
    found, done = difference.conclude(NOW), world.learn(*events)
    assert found.erased == done[Outcome.ERASED] == 3 * 5 + 3 * 6 + 2 * (1 + 3 + 1)
    assert (found.new, found.revised) == (done[Outcome.APPLIED], done[Outcome.REVISED]) == (9, 0)


def test_a_register_tells_its_last_writer_and_its_attempt(world: World) -> None:
    regraded = score_event("ada", score=90, graded=NOW + minutes(2), event_id="e-1")
    world.learn(ADA, BEN)
    world.learn(regraded)
    found = world.registers.writers({id_of(ADA), id_of(BEN), id_of(score_event("eve"))})
    assert found.keys() == {id_of(ADA), id_of(BEN)}
    standing, register = found[id_of(ADA)], register_of(regraded)
    assert standing.check == register.check
    assert standing.order == order_of(regraded, register)
    assert standing.attempt == Attempt(micros(NOW), register.key, 900_000)
    assert world.registers.writers(set()) == {}


def test_a_voided_register_stands_without_an_attempt(world: World) -> None:
    void = score_event("ada", void=True, graded=NOW + minutes(1))
    world.learn(ADA, void, score_event("ada", attempt=2, score=None))
    (standing,) = world.registers.standing([key_of(ADA)]).values()
    assert standing[id_of(ADA).key].attempt is None
    assert standing[id_of(ADA).key].order == order_of(void, register_of(void))
    second = id_of(score_event("ada", attempt=2)).key
    assert standing[second].attempt == Attempt(micros(NOW), second, None)


def test_states_are_told_with_all_their_registers(world: World) -> None:
    world.learn(ADA, score_event("ada", attempt=2), BEN, score_event("ada", course="logic"))
    found = world.registers.standing([key_of(ADA), key_of(BEN), key_of(score_event("eve"))])
    assert {key: len(held) for key, held in found.items()} == {key_of(ADA): 2, key_of(BEN): 1}


def test_registers_are_away_with_their_ledger() -> None:
    ledger = MemoryLedger()
    ledger.away = True
    for ask in (
        lambda: MemoryRegisters(ledger).known({ADA.student_key}),
        lambda: MemoryRegisters(ledger).horizons(["algebra"]),
        lambda: MemoryRegisters(ledger).standing([key_of(ADA)]),
        lambda: MemoryRegisters(ledger).writers({id_of(ADA)}),
    ):
        with pytest.raises(LedgerUnavailable):
            ask()
    nowhere = AuroraRegisters(lambda: "host=127.0.0.1 port=1 connect_timeout=1")
    with pytest.raises(LedgerUnavailable):
        nowhere.known({ADA.student_key})
    with pytest.raises(LedgerUnavailable):
        nowhere.horizons(["algebra"])
