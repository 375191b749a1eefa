"""The Rekeying port's contract, and a ledger that knows a student by two keys; on twins and PostgreSQL."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

import msgspec
import pytest

from tests.conftest import NOW, batch, minutes, score_event
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.records import AuroraRecords
from worker.adapters.aurora.rekeying import AuroraRekeying
from worker.adapters.memory import MemoryLedger, MemoryRecords, MemoryRekeying, MemoryVault
from worker.batch import StateKey
from worker.domain.errors import LedgerUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.identity import Identity, Key, Keyring
from worker.ports import Ledger
from worker.reads import Records
from worker.upkeep import Rekeyed, Rekeying

RING = {kid: Key(bytes([n]) * 32, bytes(range(n, n + 64))) for n, kid in enumerate(("k1", "k2"))}
OLD, NEW = Identity(Keyring("k1", RING)), Identity(Keyring("k2", RING))


def event(identity: Identity, student: str = "ada", **more: object) -> ScoreEvent:
    """An event of that student as an edge with this ring sends it."""
    key, sealed = identity.identify(student, "default")
    return msgspec.structs.replace(score_event(student, **more), student_key=key, sealed_id=sealed)  # type: ignore[arg-type]


def key(identity: Identity, student: str = "ada") -> UUID:
    return identity.identify(student, "default").student_key


class World(NamedTuple):
    ledger: Ledger
    rekeying: Rekeying
    records: Records

    def deliver(self, *events: ScoreEvent, sequence: int) -> dict[str, int]:
        committed = self.ledger.commit(self.ledger.intern(batch(*events, sequence=sequence)))
        return {outcome: n for outcome, n in committed.accounting.outcomes.items() if n}

    def move(self, student: str = "ada") -> int:
        identified = NEW.identify(student, "default")
        return self.rekeying.rekey([Rekeyed(key(OLD, student), *identified)])


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        twin = MemoryLedger(OLD.kin)
        found = World(twin, MemoryRekeying(twin), MemoryRecords(twin))
    else:
        dsn: str = request.getfixturevalue("database")
        aurora = AuroraLedger(lambda: dsn, MemoryVault(), kin=OLD.kin)
        found = World(aurora, AuroraRekeying(lambda: dsn), AuroraRecords(lambda: dsn))
    found.ledger.open_source("test")
    yield found
    for port in found:
        port.close()


def test_a_student_met_under_another_key_is_the_same_student(world: World) -> None:
    assert world.deliver(event(OLD, attempt=1), sequence=1) == {"applied": 1}
    assert world.deliver(event(NEW, attempt=1), event(NEW, attempt=2), sequence=2) == {
        "applied": 1,
        "duplicate": 1,
    }
    (filed,) = world.rekeying.students(None, 9)
    assert filed.key == key(OLD)
    assert filed.aliases == {key(NEW)}
    assert world.records.canonical(OLD.pseudonyms("ada", "default")) == key(OLD)
    assert world.records.canonical([UUID(int=5)]) is None


def test_a_new_student_met_under_both_keys_at_once_is_one_student(world: World) -> None:
    world.deliver(event(OLD, attempt=1), event(NEW, attempt=2), event(NEW, "ben"), sequence=1)
    assert world.rekeying.count_students() == 2
    assert sum(len(state.attempts) for state in world.ledger.read(_states(world)).values()) == 3


def test_moving_a_student_keeps_attempts_versions_and_the_former_name(world: World) -> None:
    world.deliver(event(OLD, attempt=1), event(OLD, "ben"), sequence=1)
    before = world.ledger.read([StateKey(key(OLD), "algebra")])
    assert world.rekeying.add_aliases({key(NEW): key(OLD)}) == 0
    assert world.rekeying.add_aliases({key(NEW): key(OLD)}) == 0
    assert world.move() == 0
    after = world.ledger.read([StateKey(key(NEW), "algebra")])
    assert list(after.values()) == list(before.values())
    assert world.ledger.read([StateKey(key(OLD), "algebra")]) == {}
    assert world.rekeying.former([key(OLD), key(NEW)]) == {key(OLD)}
    filed = {one.key: one for one in world.rekeying.students(None, 9)}
    assert filed[key(NEW)].sealed_id == NEW.identify("ada", "default").sealed_id
    assert filed[key(NEW)].aliases == {key(OLD)}
    assert world.deliver(event(OLD, attempt=1), event(OLD, attempt=2), sequence=2) == {
        "applied": 1,
        "duplicate": 1,
    }
    assert world.records.canonical([key(OLD)]) == key(NEW)


def test_a_pseudonym_of_somebody_else_is_not_taken(world: World) -> None:
    world.deliver(event(OLD), event(OLD, "ben"), sequence=1)
    assert world.rekeying.add_aliases({key(OLD, "ben"): key(OLD)}) == 1
    assert world.rekeying.rekey([Rekeyed(key(OLD), key(OLD, "ben"), b"")]) == 1
    assert {one.key for one in world.rekeying.students(None, 9)} == {key(OLD), key(OLD, "ben")}
    both = [Rekeyed(key(OLD, student), key(NEW), b"") for student in ("ada", "ben")]
    assert world.rekeying.rekey(both) == 1, "nor by two at once"
    assert key(NEW) in {one.key for one in world.rekeying.students(None, 9)}


def test_students_come_in_pages_each_once(world: World) -> None:
    world.deliver(*(event(OLD, f"s-{n}") for n in range(5)), sequence=1)
    seen: list[UUID] = []
    while page := world.rekeying.students(seen[-1] if seen else None, 2):
        seen += [filed.key for filed in page]
        world.rekeying.rekey([Rekeyed(filed.key, UUID(int=filed.key.int ^ 1), b"") for filed in page])
    assert sorted(seen) == sorted(key(OLD, f"s-{n}") for n in range(5)), "each once, though they are moved"


def test_a_batch_that_was_interned_before_a_move_begins_again(database: str) -> None:
    ledger = AuroraLedger(lambda: database, MemoryVault(), kin=OLD.kin)
    world = World(ledger, AuroraRekeying(lambda: database), AuroraRecords(lambda: database))
    ledger.open_source("test")
    world.deliver(event(OLD), sequence=1)
    given = batch(event(OLD, attempt=2, graded=NOW + minutes(1)), sequence=2)
    interned = ledger.intern(given)
    world.move()
    with pytest.raises(LedgerUnavailable, match="re-keyed"):
        ledger.commit(interned)
    (touched,) = ledger.commit(ledger.intern(given)).touched
    assert touched.key == StateKey(key(NEW), "algebra")
    for port in world:
        port.close()


def test_an_outage_is_told_as_such() -> None:
    twin = MemoryLedger()
    twin.away = True
    away: list[Callable[[], object]] = [
        MemoryRekeying(twin).count_students,
        AuroraRekeying(lambda: "host=/nowhere dbname=x").count_students,
    ]
    for call in away:
        with pytest.raises(LedgerUnavailable):
            call()


def _states(world: World) -> list[StateKey]:
    return [state for page in world.ledger.versions(100) for state, _ in page]
