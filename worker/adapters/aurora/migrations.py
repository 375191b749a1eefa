"""Forward-only migrations: numbered .sql files, applied once, safe to run from two tasks at once.

A few lines of our own: the libraries at hand leave a lock row behind when they die, or have no lock.
"""

import hashlib
import time
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

from worker.adapters.aurora.connection import Connection, Session
from worker.adapters.aurora.rights import Login, give
from worker.domain.errors import Fatal

LOCK = 0x65647500
_POLL_SECONDS = 0.2

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class Migration(NamedTuple):
    """One file: its name, its text, and the fingerprint that must not change once applied."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """A first line `-- no-transaction` is for statements that refuse one."""
        return not self.sql.startswith("-- no-transaction")


def migrations() -> list[Migration]:
    """All migrations in order."""
    folder = resources.files("worker").joinpath("sql/migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text()) for f in files]


def migrate(
    conninfo: Callable[[], str], known: list[Migration] | None = None, login: Login | None = None
) -> list[str]:
    """Apply what is missing; returns the names applied, in order.

    With a `login` its user gets the rights of worker and API; `conninfo` is the owner's then.

    Raises:
        LedgerUnavailable: PostgreSQL is away.
        Fatal: an applied migration was edited since.
    """
    session = Session(conninfo, prepare=None)
    try:
        with session.connection() as connection:
            _lock(connection)
            connection.execute("SET statement_timeout = 0")  # an index on a grown table takes its time
            connection.execute(_TABLE)
            applied = [m.name for m in known or migrations() if _apply(connection, m)]
            if login is not None:
                give(connection, login)
            return applied
    finally:
        session.close()


def pending(conninfo: Callable[[], str]) -> list[str]:
    """The names of migrations not yet applied."""
    session = Session(conninfo, prepare=None)
    try:
        with session.connection() as connection:
            exists = connection.execute("SELECT to_regclass('schema_migrations')").fetchone()
            if exists is None or exists[0] is None:
                return [m.name for m in migrations()]
            rows = connection.execute("SELECT name FROM schema_migrations").fetchall()
            applied = {row[0] for row in rows}
            return [m.name for m in migrations() if m.name not in applied]
    finally:
        session.close()


def _lock(connection: Connection) -> None:
    """Held until the session ends. Polled: a blocking wait deadlocks with CREATE INDEX CONCURRENTLY."""
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(_POLL_SECONDS)


def _apply(connection: Connection, migration: Migration) -> bool:
    found = connection.execute(
        "SELECT sha256 FROM schema_migrations WHERE name = %s", (migration.name,)
    ).fetchone()
    if found is not None:
        if found[0] != migration.sha256:
            msg = f"{migration.name} was edited after it was applied; add a new migration instead"
            raise Fatal(msg)
        return False
    record = "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)"
    if migration.in_transaction:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(record, (migration.name, migration.sha256))
    else:
        connection.execute(migration.sql.encode())
        connection.execute(record, (migration.name, migration.sha256))
    return True
