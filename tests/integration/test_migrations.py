"""Migrations: once each, whoever comes first, and never another text under an applied name."""

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from worker.adapters.aurora import migrations
from worker.adapters.aurora.migrations import LOCK, Migration, migrate, pending
from worker.domain.errors import Fatal, LedgerUnavailable
from worker.local.stack import Stack

ALL = [migration.name for migration in migrations.migrations()]


@pytest.fixture
def empty(stack: Stack) -> Iterator[str]:
    """A database without any schema; its connection string."""
    admin, name = stack.endpoints.database_url, f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(admin, dbname=name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def one(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return None if row is None else row[0]


def test_they_are_numbered_and_in_order() -> None:
    assert sorted(ALL) == ALL
    assert ALL[0] == "0001_ledger.sql"
    assert len({name[:4] for name in ALL}) == len(ALL)


def test_an_empty_database_is_brought_up_to_date_once(empty: str) -> None:
    assert pending(lambda: empty) == ALL
    assert migrate(lambda: empty) == ALL
    assert pending(lambda: empty) == []
    assert migrate(lambda: empty) == []
    assert one(empty, "SELECT count(*) FROM schema_migrations") == len(ALL)
    assert one(empty, "SELECT epoch FROM ledger") == 1


def test_only_what_is_missing_is_applied(empty: str) -> None:
    migrate(lambda: empty)
    later = Migration("9999_later.sql", "CREATE TABLE later (x integer)")
    assert migrate(lambda: empty, [*migrations.migrations(), later]) == ["9999_later.sql"]
    assert pending(lambda: empty) == [], "an older release does not mind what a newer one applied"


def test_an_edited_migration_is_refused(empty: str) -> None:
    first = Migration("0001_a.sql", "CREATE TABLE a (x integer)")
    assert migrate(lambda: empty, [first]) == ["0001_a.sql"]
    edited = first._replace(sql="CREATE TABLE a (x bigint)")
    with pytest.raises(Fatal, match=r"0001_a\.sql was edited"):
        migrate(lambda: empty, [edited, Migration("0002_b.sql", "CREATE TABLE b ()")])
    assert one(empty, "SELECT to_regclass('b')") is None


def test_a_migration_that_fails_leaves_nothing_behind_and_can_be_mended(empty: str) -> None:
    broken = Migration("0001_a.sql", "CREATE TABLE a (); CREATE TABLE a ();")
    with pytest.raises(Fatal, match="42P07"):
        migrate(lambda: empty, [broken])
    assert one(empty, "SELECT to_regclass('a')") is None
    assert migrate(lambda: empty, [broken._replace(sql="CREATE TABLE a ()")]) == ["0001_a.sql"]


def test_a_statement_that_refuses_a_transaction_runs_outside_of_one(empty: str) -> None:
    index = "CREATE INDEX CONCURRENTLY a_x ON a (x)"
    files = [Migration("0001_a.sql", "CREATE TABLE a (x integer)")]
    with pytest.raises(Fatal, match="25001"):
        migrate(lambda: empty, [*files, Migration("0002_index.sql", index)])
    marked = Migration("0002_index.sql", f"-- no-transaction\n-- Beside live traffic.\n{index}")
    assert migrate(lambda: empty, [*files, marked]) == ["0002_index.sql"]
    assert one(empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_x'::regclass") is True


def test_a_long_migration_is_not_cut_off(empty: str) -> None:
    """An index on a grown table takes longer than any statement of the worker may."""
    note = "CREATE TABLE told AS SELECT current_setting('statement_timeout') AS patience"
    migrate(lambda: empty, [Migration("0001_note.sql", note)])
    assert one(empty, "SELECT patience FROM told") == "0"
    lock = "CREATE TABLE locks AS SELECT current_setting('lock_timeout') AS patience"
    migrate(lambda: empty, [Migration("0002_note.sql", lock)])
    assert one(empty, "SELECT patience FROM locks") == "5s", "but it never queues all traffic behind it"


def test_many_threads_at_once_apply_each_once(empty: str) -> None:
    slow = [
        Migration(f"000{n}_t.sql", f"CREATE TABLE t{n} AS SELECT pg_backend_pid() FROM pg_sleep(0.02)")
        for n in range(1, 5)
    ]
    applied: list[list[str]] = []
    together = threading.Barrier(6)

    def run() -> None:
        together.wait()
        applied.append(migrate(lambda: empty, slow))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 0, 4]


def test_two_processes_at_once_apply_each_once(empty: str) -> None:
    code = (
        "import sys; from worker.adapters.aurora.migrations import migrate\n"
        "print(*migrate(lambda: sys.argv[1]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(said) == [[], ALL]


def test_whoever_holds_the_lock_is_waited_for(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that died in the middle frees it with its session."""
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        polls: list[float] = []

        def sleep(seconds: float) -> None:
            polls.append(seconds)
            if len(polls) == 3:
                other.execute("SELECT pg_advisory_unlock_all()")

        monkeypatch.setattr("worker.adapters.aurora.migrations.time.sleep", sleep)
        assert migrate(lambda: empty) == ALL
    assert len(polls) == 3


def test_a_database_that_is_away_is_an_outage() -> None:
    nowhere = "host=/nonexistent port=1 dbname=x connect_timeout=1"
    with pytest.raises(LedgerUnavailable):
        migrate(lambda: nowhere)
    with pytest.raises(LedgerUnavailable):
        pending(lambda: nowhere)
