"""PostgreSQL and Valkey with ledgers of several sizes side by side, so that every round measures all of them.

Sizes measured one after the other would be compared over minutes, in which the machine changes. The small
ledgers are made anew for every setting: what is measured is added to them, and they would not stay small.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from benchmarks.growing.ballast import COURSES, fill, project
from benchmarks.growing.partitions import partition
from worker.adapters.redis import RedisProjection
from worker.local.postgres import Postgres
from worker.local.process import StackError, reserved_port
from worker.local.valkey import Valkey

_DAY = 86_400
LARGE = 1_000_000
"""So many rows or more are made once."""


class Ledger(NamedTuple):
    """One of the ledgers: about how many rows, where, and what tells its states in Redis from the others'."""

    rows: int
    url: str
    epoch: int


class Yard:
    """The servers, and the ledgers in them; a ledger that is large stays for the next time."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with reserved_port() as port:
            self.valkey = Valkey(folder / "valkey", folder / "valkey.log", port=port)
        self.postgres = Postgres(folder / "postgres", folder / "postgres.log")
        self._say = say

    def ledgers(self, rows: int, copies: int = 1) -> Sequence[Ledger]:
        """So many ledgers of about so many rows, with all their states in Redis."""
        return [self._ledger(rows, f"growth_{rows}_{copy}") for copy in range(copies)]

    def partitioned(self, rows: int) -> Ledger:
        """Another, whose attempts are in partitions."""
        return self._ledger(rows, f"growth_{rows}_parted", lambda url: partition(url, COURSES))

    def _ledger(self, rows: int, name: str, change: Callable[[str], None] = lambda _url: None) -> Ledger:
        url = make_conninfo(self.postgres.url, dbname=name)
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]
            ).fetchone()
            if row is not None and row[0] and rows >= LARGE:
                return Ledger(rows, url, int(row[0]))
            connection.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        self._say(f"{rows:>11,} rows are made")
        found = Ledger(rows, url, time.time_ns() // 1_000_000 % 1_000_000_000)
        fill(url, rows)
        change(url)
        projection = RedisProjection(lambda: self.valkey.url, found.epoch, _DAY)
        try:
            project(url, projection, self._say)
        finally:
            projection.close()
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            # written last: what has no epoch yet was not finished
            epoch = Literal(str(found.epoch))
            connection.execute(SQL("COMMENT ON DATABASE {} IS {}").format(Identifier(name), epoch))
        return found

    def settle(self, settings: Mapping[str, str]) -> None:
        """Start PostgreSQL anew with these settings and no others."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            for name, value in settings.items():
                connection.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(name), Literal(value)))
        self.postgres.stop()
        self.postgres.start()

    @property
    def postmaster(self) -> int:
        return _running(self.postgres.pid)

    @property
    def valkey_pid(self) -> int:
        return _running(self.valkey.pid)


@contextmanager
def yard(folder: Path, say: Callable[[str], None]) -> Iterator[Yard]:
    """The servers, running, until the end."""
    found = Yard(folder, say)
    try:
        found.valkey.start()
        found.postgres.start()
        yield found
    finally:
        found.postgres.stop()
        found.valkey.stop()


def _running(pid: int | None) -> int:
    if pid is None:
        raise StackError("a server has ended")
    return pid
