"""The Registers port's contract, on the twin and on PostgreSQL."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import NOW, batch, minutes, score_event
from tests.doubles import key_of
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.registers import AuroraRegisters
from worker.adapters.memory import MemoryLedger, MemoryRegisters
from worker.domain.errors import LedgerUnavailable
from worker.domain.event import ScoreEvent, micros, order_of, register_of
from worker.domain.window import Attempt
from worker.ports import Ledger
from worker.registers import AttemptId, Known, Registers

ADA, BEN = score_event("ada"), score_event("ben")


class World:
    def __init__(self, ledger: Ledger, registers: Registers, database: str | None) -> None:
        self.ledger = ledger
        self.registers = registers
        self.database = database
        self._sequence = 0
        ledger.open_source("test")

    def learn(self, *events: ScoreEvent) -> None:
        self._sequence += 1
        self.ledger.commit(self.ledger.intern(batch(*events, sequence=self._sequence)))

    def erase(self, event: ScoreEvent) -> None:
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.tombstones[event.student_key] = {event.course_id}
            return
        self._execute(
            "INSERT INTO erasures (student_ref, courses)"
            " SELECT student_ref, ARRAY[%(course)s] FROM students WHERE student_key = %(key)s",
            {"course": event.course_id, "key": event.student_key},
        )

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
        lambda: MemoryRegisters(ledger).standing([key_of(ADA)]),
        lambda: MemoryRegisters(ledger).writers({id_of(ADA)}),
    ):
        with pytest.raises(LedgerUnavailable):
            ask()
    nowhere = AuroraRegisters(lambda: "host=127.0.0.1 port=1 connect_timeout=1")
    with pytest.raises(LedgerUnavailable):
        nowhere.known({ADA.student_key})
