"""Two owners, two sources, a database that goes away: what the ledger promises when it is not alone.

Real connections and threads; whoever must wait waits for a condition, never for a time.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
import psycopg
import pytest

from tests.conftest import NOW, batch, minutes, score_event
from worker.adapters.aurora import connection
from worker.adapters.aurora.connection import Session, disposition
from worker.adapters.aurora.ledger import ERASE_LOCK, AuroraLedger
from worker.adapters.aurora.rekeying import AuroraRekeying
from worker.adapters.memory import MemoryVault
from worker.batch import Batch, StateKey
from worker.domain.accounting import Outcome
from worker.domain.errors import Fatal, LedgerUnavailable, PoisonBatch, Reason
from worker.domain.event import ScoreEvent
from worker.domain.position import ORIGIN, Position
from worker.domain.window import Version
from worker.ports import Committed
from worker.stream.failures import without_poison
from worker.upkeep import Rekeyed

ROUNDS = 25
SOURCES = ("a", "b")


@pytest.fixture
def make_ledger(database: str) -> Iterator[Callable[[], AuroraLedger]]:
    """The same ledger as further processes see it."""
    opened: list[AuroraLedger] = []

    def make() -> AuroraLedger:
        opened.append(AuroraLedger(lambda: database, MemoryVault()))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def writers(make_ledger: Callable[[], AuroraLedger]) -> list[AuroraLedger]:
    """Two writers of two sources."""
    found = []
    for source in SOURCES:
        found.append(make_ledger())
        found[-1].open_source(source)
    return found


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    """The database as an operator sees it."""
    with psycopg.connect(database, autocommit=True) as operator:
        yield operator


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's timeouts, each a fraction of itself."""
    short = "-c lock_timeout=150ms -c statement_timeout=5s -c idle_in_transaction_session_timeout=300ms"
    monkeypatch.setattr(connection, "_OPTIONS", f"{short} -c timezone=UTC")


def together(*steps: Callable[[], object]) -> None:
    """Run the steps in threads that start at the same moment; their errors are ours."""
    gate, errors = threading.Barrier(len(steps)), list[BaseException]()

    def run(step: Callable[[], object]) -> None:
        gate.wait()
        try:
            step()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def commit(ledger: AuroraLedger, given: Batch) -> Committed:
    committed = ledger.commit(ledger.intern(given))
    assert committed.accounting.closes
    return committed


def keys_of(events: Sequence[ScoreEvent]) -> list[StateKey]:
    return sorted({StateKey(event.student_key, event.course_id) for event in events})


def total(ledger: AuroraLedger, outcome: Outcome) -> int:
    return sum(progress.accounting[outcome] for progress in ledger.progress().values())


def test_two_writers_that_meet_the_same_new_students_and_courses_lose_nothing(
    writers: list[AuroraLedger],
) -> None:
    meeting = threading.Barrier(2)
    everything: list[ScoreEvent] = []
    found: dict[str, list[Committed]] = {source: [] for source in SOURCES}

    def events(source: str, round_: int) -> list[ScoreEvent]:
        return [
            score_event(f"student-{round_}-{n}", f"course-{round_}-{n % 2}", source, graded=NOW)
            for n in range(4)
        ]

    def write(source: str, ledger: AuroraLedger) -> None:
        for round_ in range(ROUNDS):
            given = batch(*events(source, round_), source=source, sequence=round_ + 1)
            meeting.wait()
            interned = ledger.intern(given)
            meeting.wait()
            found[source].append(ledger.commit(interned))

    for source, round_ in itertools.product(SOURCES, range(ROUNDS)):
        everything += events(source, round_)
    together(*(lambda s=s, w=w: write(s, w) for s, w in zip(SOURCES, writers, strict=True)))

    for committed in itertools.chain(*found.values()):
        assert committed.accounting[Outcome.APPLIED] == 4
        assert all(touched.bumped and touched.inserts for touched in committed.touched)
    states = writers[0].read(keys_of(everything))
    assert len(states) == 4 * ROUNDS
    for key, state in states.items():
        assert len(state.attempts) == 2, key
        assert state.version.number == 2, "each writer's transaction is one version"
    assert total(writers[0], Outcome.APPLIED) == len(everything)


def test_a_student_who_is_rekeyed_between_look_up_and_commit_is_met_under_the_new_key(
    writers: list[AuroraLedger], database: str
) -> None:
    """References are looked up once, before the transaction; the ledger tells it when they do not hold."""
    first, _ = writers
    commit(first, batch(score_event("ada"), source="a"))
    given = batch(score_event("ada", attempt=2), score_event("ben"), source="a", sequence=2)
    interned = first.intern(given)
    old, present = score_event("ada"), score_event("ada, anew")
    with closing(AuroraRekeying(lambda: database)) as rekeying:
        assert rekeying.rekey([Rekeyed(old.student_key, present.student_key, present.sealed_id)]) == 0
    with pytest.raises(LedgerUnavailable):
        first.commit(interned)
    committed = commit(first, given)
    assert committed.accounting[Outcome.APPLIED] == 2
    keys = {touched.key.student_key for touched in committed.touched}
    assert keys == {present.student_key, score_event("ben").student_key}


def test_a_rekeying_of_others_costs_a_look_and_nothing_else(
    writers: list[AuroraLedger], database: str
) -> None:
    first, _ = writers
    commit(first, batch(score_event("cleo"), source="a"))
    interned = first.intern(batch(score_event("ada"), source="a", sequence=2))
    old, present = score_event("cleo"), score_event("cleo, anew")
    with closing(AuroraRekeying(lambda: database)) as rekeying:
        rekeying.rekey([Rekeyed(old.student_key, present.student_key, present.sealed_id)])
    assert first.commit(interned).accounting[Outcome.APPLIED] == 1


def test_a_row_is_staged_as_it_was_sent(writers: list[AuroraLedger], admin: psycopg.Connection[Any]) -> None:
    events = [
        score_event("ada", item="Prüfung \U0001f600 \n\t\\ 'x'", score=None, max_score=0.1, source="ünï"),
        score_event("ben", score=-1e-300, max_score=1e6, attempt=2**63 - 1),
        score_event("cleo", score=2 / 3, max_score=3, attempt=None, event_id="é" * 128),
        score_event("dora", void=True),
    ]
    given = batch(*events, source="a")
    commit(writers[0], given)
    rows = admin.execute(
        "SELECT attempt_key, attempt_check, score, max_score, occurred_at, graded_at, kind, rev, digest, "
        "event_key, item, source FROM attempts"
    ).fetchall()
    expected = {
        (
            *(r.key, r.check, e.score, e.max_score, e.occurred_at, e.graded_at),
            *(e.kind, r.rev, r.digest, r.event_key, e.item_id, e.source),
        )
        for e, r in ((one.event, one.register) for one in given.events)
    }
    assert set(rows) == expected


def test_versions_are_gapless_in_the_order_of_commits(writers: list[AuroraLedger]) -> None:
    """Each version is told to exactly one writer: what makes a fold of the version before it safe."""
    told: list[Version] = []

    def write(source: str, ledger: AuroraLedger) -> None:
        for n in range(ROUNDS):
            given = batch(score_event(attempt=n, source=source), source=source, sequence=n + 1)
            (touched,) = commit(ledger, given).touched
            assert touched.version is not None
            told.append(touched.version)

    together(*(lambda s=s, w=w: write(s, w) for s, w in zip(SOURCES, writers, strict=True)))
    assert {version.birth for version in told} == {told[0].birth}
    assert sorted(version.number for version in told) == list(range(1, 2 * ROUNDS + 1))


def test_opposite_orders_do_not_deadlock_and_the_last_grading_wins(
    writers: list[AuroraLedger], admin: psycopg.Connection[Any]
) -> None:
    students = [f"student-{n}" for n in range(40)]

    def write(source: str, ledger: AuroraLedger, order: Sequence[str]) -> None:
        for n in range(ROUNDS):
            given = [
                score_event(student, f"c{n % 3}", score=n, event_id=source, graded=NOW + minutes(n / 60))
                for student in order
            ]
            commit(ledger, batch(*given, source=source, sequence=n + 1))

    together(
        lambda: write("a", writers[0], students),
        lambda: write("b", writers[1], students[::-1]),
    )
    (deadlocks,) = admin.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone() or (None,)
    assert deadlocks == 0
    rows = admin.execute("SELECT score, event_key, course_id FROM attempts JOIN courses USING (course_ref)")
    last = {f"c{n % 3}": float(n) for n in range(ROUNDS)}
    found = rows.fetchall()
    assert len(found) == 3 * len(students)
    assert all(score == last[course] and event_key == "b" for score, event_key, course in found)


def test_two_owners_of_one_source_count_every_event_they_read(
    make_ledger: Callable[[], AuroraLedger],
) -> None:
    """A former owner that does not know it yet writes the same records beside the new one."""
    owners = [make_ledger(), make_ledger()]
    owners[0].open_source("shard")

    def write(ledger: AuroraLedger) -> None:
        for n in range(ROUNDS):
            commit(
                ledger, batch(score_event("ada", attempt=n), score_event("ben"), source="shard", sequence=n)
            )

    together(*(lambda o=o: write(o) for o in owners))
    progress = owners[0].progress()["shard"]
    assert progress.accounting.closes
    assert progress.accounting.read == 4 * ROUNDS
    assert progress.accounting[Outcome.APPLIED] == ROUNDS + 1
    assert progress.committed == Position(ROUNDS - 1)


def test_opening_a_source_at_once_makes_one_row(make_ledger: Callable[[], AuroraLedger]) -> None:
    owners = [make_ledger() for _ in range(4)]
    for n in range(ROUNDS):
        together(*(lambda o=o, n=n: o.open_source(f"source-{n}") for o in owners))
    assert len(owners[0].floors()) == ROUNDS


# A database that is slow, gone, or another than it was.


def test_the_timeouts_of_a_session(make_ledger: Callable[[], AuroraLedger]) -> None:
    ledger = make_ledger()
    with ledger._session.connection() as session:
        told = {
            name: session.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }
        isolation = session.execute("SHOW transaction_isolation").fetchone()
    assert all(value and value[0] not in ("0", 0) for value in told.values()), told
    assert isolation == ("read committed",)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("held", ["progress", "erase"])
def test_a_lock_that_another_holds_is_waited_for_outside_the_transaction(
    make_ledger: Callable[[], AuroraLedger], database: str, held: str
) -> None:
    ledger = make_ledger()
    ledger.open_source("a")
    given = ledger.intern(batch(score_event(), source="a"))
    with psycopg.connect(database) as other:
        if held == "progress":
            other.execute("SELECT FROM source_progress FOR UPDATE")
        else:
            other.execute("SELECT pg_advisory_xact_lock(%s)", (ERASE_LOCK,))
        with pytest.raises(LedgerUnavailable, match="55P03"):
            ledger.commit(given)
        other.rollback()
    assert ledger.commit(given).accounting[Outcome.APPLIED] == 1


class PausingVault(MemoryVault):
    """Pauses its owner in the middle of a transaction."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def seal(self, plain: bytes) -> bytes:
        self.reached.set()
        assert self.go.wait(30)
        return super().seal(plain)


@pytest.mark.usefixtures("impatient")
def test_an_owner_paused_inside_its_transaction_is_ended_and_tries_again(
    make_ledger: Callable[[], AuroraLedger], database: str
) -> None:
    first, vault = make_ledger(), PausingVault()
    first.open_source("a")
    commit(first, batch(score_event(), source="a"))
    given = batch(score_event(score=1, graded=NOW + minutes(1)), source="a", sequence=2)
    (delivered,) = given.events
    colliding = msgspec.structs.replace(
        delivered, register=msgspec.structs.replace(delivered.register, check=17)
    )
    given = Batch(given.source, given.high, [colliding])

    with closing(AuroraLedger(lambda: database, vault)) as paused:
        errors: list[LedgerUnavailable] = []

        def pause() -> None:
            try:
                paused.commit(given)
            except LedgerUnavailable as error:
                errors.append(error)

        owner = threading.Thread(target=pause)
        owner.start()
        assert vault.reached.wait(30)
        accounting = None
        while accounting is None:  # the next owner waits, until the server has ended the paused one
            try:
                accounting = commit(first, batch(score_event("ben"), source="a", sequence=3)).accounting
            except LedgerUnavailable:
                assert owner.is_alive()
        vault.go.set()
        owner.join()
        assert len(errors) == 1
        again = paused.commit(given)
    assert again.accounting[Outcome.DEAD_LETTERED] == 1
    progress = first.progress()["a"]
    assert progress.accounting.closes
    assert progress.accounting.read == 3, "the transaction that was ended counted nothing"
    assert progress.committed == Position(3)


def kill(admin: psycopg.Connection[Any]) -> None:
    """End every other session of the database and wait until it has ended."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    admin.execute(f"SELECT pg_terminate_backend(pid, 10000) {others}".encode())
    assert admin.execute(f"SELECT count(*) {others}".encode()).fetchone() == (0,)


CALLS: dict[str, Callable[[AuroraLedger, Batch], object]] = {
    "epoch": lambda ledger, _: ledger.epoch(),
    "open_source": lambda ledger, _: ledger.open_source("a"),
    "intern": lambda ledger, given: ledger.intern(given),
    "commit": lambda ledger, given: ledger.commit(given),
    "probe": lambda ledger, given: ledger.probe(given),
    "read": lambda ledger, given: ledger.read(given.keys),
    "versions": lambda ledger, _: list(ledger.versions(1)),
    "erased": lambda ledger, _: list(ledger.erased()),
    "advance_floor": lambda ledger, _: ledger.advance_floor("a", Position(1)),
    "floors": lambda ledger, _: ledger.floors(),
    "progress": lambda ledger, _: ledger.progress(),
    "sweep_turn": lambda ledger, _: ledger.sweep_turn().__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_killed_session_is_unavailable_and_the_next_call_opens_another(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any], call: str
) -> None:
    ledger = make_ledger()
    ledger.open_source("a")
    given = ledger.intern(batch(score_event(), source="a"))
    ledger.commit(given)
    kill(admin)
    with pytest.raises(LedgerUnavailable):
        CALLS[call](ledger, given)
    CALLS[call](ledger, given)
    assert ledger.progress()["a"].accounting.closes


@pytest.mark.parametrize(
    "statement", ["hold_erasures", "lock_progress", "merge", "unchanged_versions", "advance"]
)
def test_a_session_killed_inside_the_transaction_leaves_nothing_of_it(
    make_ledger: Callable[[], AuroraLedger],
    admin: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    ledger = make_ledger()
    ledger.open_source("a")
    commit(ledger, batch(score_event(), source="a"))
    given = ledger.intern(batch(score_event(), score_event("ben"), source="a", sequence=2))
    sql = ledger._sql
    killed = itertools.count()

    class Killing(dict[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            if name == statement and next(killed) == 0:
                kill(admin)
            return super().__getitem__(name)

    monkeypatch.setattr(ledger, "_sql", Killing(sql))
    with pytest.raises(LedgerUnavailable):
        ledger.commit(given)
    assert len(list(ledger.versions(10))) == 1
    assert ledger.progress()["a"].committed == Position(1)
    committed = ledger.commit(given)
    assert committed.accounting[Outcome.APPLIED] == 1
    assert ledger.progress()["a"].accounting.closes


def test_a_turn_to_sweep_ends_with_its_session(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any]
) -> None:
    first, second = make_ledger(), make_ledger()
    second.epoch()
    with first.sweep_turn() as mine:
        assert mine
        kill(admin)
        with pytest.raises(LedgerUnavailable):
            second.epoch()
        with second.sweep_turn() as theirs:
            assert theirs
        with pytest.raises(LedgerUnavailable):
            first.epoch()
    with second.sweep_turn() as theirs:
        assert theirs


def test_credentials_are_asked_for_at_each_connect(database: str, admin: psycopg.Connection[Any]) -> None:
    asked = itertools.count()

    def conninfo() -> str:
        if next(asked) == 1:
            msg = "no secret now"
            raise LedgerUnavailable(msg)
        return database

    with closing(AuroraLedger(conninfo, MemoryVault())) as ledger:
        ledger.epoch()
        ledger.epoch()
        kill(admin)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable):
                ledger.epoch()
        assert ledger.epoch() == 1
    assert next(asked) == 3


def test_a_connection_that_cannot_be_prepared_is_closed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[psycopg.Connection[Any]] = []
    connect = psycopg.connect

    def remember(*arguments: Any, **named: Any) -> psycopg.Connection[Any]:
        opened.append(connect(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(psycopg, "connect", remember)
    session = Session(lambda: database, prepare=b"SELECT 1 / 0")
    with pytest.raises(PoisonBatch), session.connection():
        pass
    assert [made.closed for made in opened] == [True]


def test_a_writer_that_became_a_reader_is_left(
    make_ledger: Callable[[], AuroraLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover the endpoint leads to the new writer: only a new connection finds it."""
    ledger = make_ledger()
    ledger.open_source("a")
    given = ledger.intern(batch(score_event(), source="a"))
    ledger.commit(given)
    old, sql = ledger._session._connection, ledger._sql
    lagging = {**sql, "read": sql["read"].replace(b"pg_is_in_recovery()", b"true")}
    assert lagging != sql
    monkeypatch.setattr(ledger, "_sql", lagging)
    with pytest.raises(LedgerUnavailable, match="reader"):
        ledger.read(given.keys)
    monkeypatch.undo()
    assert len(ledger.read(given.keys)) == 1
    assert ledger._session._connection is not old
    with ledger._session.connection() as session:
        session.execute("SET default_transaction_read_only = on")
    with pytest.raises(LedgerUnavailable, match="25006"):
        ledger.commit(given)
    assert ledger.commit(given).accounting[Outcome.REDELIVERED] == 1


# Data that the database refuses.


def refuse(admin: psycopg.Connection[Any], item: str, sqlstate: str) -> None:
    """Let the database refuse the attempts of an item."""
    admin.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}';
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON attempts FOR EACH ROW
        WHEN (NEW.item = '{item}') EXECUTE FUNCTION refuse();
    """.encode()
    )


@pytest.mark.parametrize("sqlstate", ["22000", "22003", "22P02", "22021"])
def test_refused_data_is_found_by_halving_and_the_rest_goes_through(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any], sqlstate: str
) -> None:
    refuse(admin, "evil", sqlstate)
    ledger = make_ledger()
    ledger.open_source("a")
    events = [score_event(f"s{n}", attempt=n) for n in range(17)]
    events[11] = score_event("s11", item="evil")
    given = ledger.intern(batch(*events, source="a"))
    with pytest.raises(PoisonBatch, match=sqlstate):
        ledger.commit(given)
    assert list(ledger.versions(99)) == []
    assert ledger.progress()["a"].committed == ORIGIN
    cleaned = without_poison(given, ledger)
    assert list(ledger.versions(99)) == [], "probing wrote nothing"
    accounting = ledger.commit(cleaned).accounting
    assert accounting[Outcome.APPLIED] == 16
    assert accounting[Outcome.DEAD_LETTERED] == 1
    assert accounting.read == 17
    letters = admin.execute("SELECT seq, sub, number, reason FROM dead_letters").fetchall()
    assert letters == [(1, 0, 11, Reason.REFUSED_BY_DATABASE)]


def test_refused_data_does_not_cost_the_connection(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any]
) -> None:
    refuse(admin, "evil", "22000")
    ledger = make_ledger()
    ledger.open_source("a")
    given = ledger.intern(batch(score_event(item="evil"), source="a"))
    before = ledger._session._connection
    with pytest.raises(PoisonBatch):
        ledger.commit(given)
    assert ledger._session._connection is before
    assert ledger.epoch() == 1


@pytest.mark.parametrize("sqlstate", ["23514", "42883", "54000", "P0001", "0A000"])
def test_what_neither_waiting_nor_a_dead_letter_mends_ends_the_process(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any], sqlstate: str
) -> None:
    refuse(admin, "evil", sqlstate)
    ledger = make_ledger()
    ledger.open_source("a")
    given = ledger.intern(batch(score_event(item="evil"), source="a"))
    with pytest.raises(Fatal, match=sqlstate):
        ledger.commit(given)


def test_a_ledger_without_schema_is_fatal_and_says_what_to_do(
    make_ledger: Callable[[], AuroraLedger], admin: psycopg.Connection[Any]
) -> None:
    admin.execute("DELETE FROM ledger")
    with pytest.raises(Fatal, match="migrate"):
        make_ledger().epoch()
    with pytest.raises(Fatal, match="migrate"):
        make_ledger().commit(batch(source="never opened"))


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        *(
            (code, LedgerUnavailable)
            for code in (
                *("08000", "08003", "08006", "08P01", "28000", "28P01", "40001", "40P01", "53000", "53100"),
                *("53200", "53300", "55000", "55006", "55P03", "57000", "57014", "57P01", "57P02", "57P03"),
                *("57P05", "58000", "58030", "XX000", "XX001", "25006", "25P02", "25P03"),
            )
        ),
        *((code, PoisonBatch) for code in ("22000", "22001", "22003", "22008", "22012", "22021", "22P02")),
        *(
            (code, Fatal)
            for code in (
                *("0A000", "21000", "23502", "23505", "23514", "25001", "26000", "2BP01", "3D000", "42501"),
                *("42601", "42703", "42P01", "54000", "P0001", "P0002", "F0000", "HV000"),
            )
        ),
    ],
)
def test_what_an_sqlstate_asks_for(sqlstate: str, kind: type[Exception]) -> None:
    assert disposition(psycopg.errors.lookup(sqlstate)("text")) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("the connection is closed"), LedgerUnavailable),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), LedgerUnavailable),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), PoisonBatch),
        (psycopg.ProgrammingError("the query has 3 placeholders but 2 parameters were passed"), Fatal),
        (psycopg.NotSupportedError("cannot insert multiple commands"), Fatal),
        (psycopg.InterfaceError("the cursor is closed"), Fatal),
    ],
)
def test_what_an_error_of_the_client_asks_for(error: psycopg.Error, kind: type[Exception]) -> None:
    """The server had no word in these: only a lost connection may be waited for."""
    assert error.sqlstate is None
    assert disposition(error) is kind


def test_a_text_that_postgresql_cannot_hold_is_not_waited_for(
    make_ledger: Callable[[], AuroraLedger],
) -> None:
    ledger = make_ledger()
    ledger.open_source("a")
    ledger.intern(batch(score_event(), source="a"))
    with pytest.raises(PoisonBatch):
        ledger.commit(batch(score_event(item="nul\0"), source="a"))
    with pytest.raises(PoisonBatch):
        ledger.intern(batch(score_event(course="nul\0"), source="a"))
