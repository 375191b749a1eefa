"""One PostgreSQL session that is opened when needed, and dropped at the first sign of trouble.

Credentials are read at each connect, so a rotated password is picked up by the next connection. Errors leave
in the words of the domain, named by what happens next.
"""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from worker.domain.errors import Fatal, LedgerUnavailable, PoisonBatch

Connection = psycopg.Connection[tuple[Any, ...]]

# A paused owner inside a transaction must not block the next one for ever, nor a dead network this one.
_OPTIONS = (
    "-c lock_timeout=5s -c statement_timeout=20s -c idle_in_transaction_session_timeout=15s -c timezone=UTC"
)
_KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# An outage, a conflict or a lack of room passes; what the data itself causes never does. Of class 25: a
# reader that refuses writes, and a transaction that the server ended because its owner was paused.
_PASSES = ("08", "25006", "25P02", "25P03", "28", "40", "53", "55", "57", "58", "XX")
_POISON = "22"
_REFUSED = "failed: FATAL:"


def disposition(error: psycopg.Error) -> type[Exception]:
    """What an error asks for: waiting, a dead letter, or the end of the process."""
    if error.sqlstate is None:
        return _of_the_client(error)
    if error.sqlstate.startswith(_PASSES):
        return LedgerUnavailable
    if error.sqlstate.startswith(_POISON):
        return PoisonBatch
    return Fatal


def _of_the_client(error: psycopg.Error) -> type[Exception]:
    """The server had no word in it: a value that cannot be sent, a wrong call, or the connection is gone."""
    if isinstance(error, psycopg.DataError):
        return PoisonBatch
    if isinstance(error, psycopg.ProgrammingError | psycopg.NotSupportedError | psycopg.InterfaceError):
        return Fatal
    return LedgerUnavailable


def _summary(error: psycopg.Error) -> str:
    """The error without its text, which may quote data.

    A refused connect has no SQLSTATE here. Its text is the server's, who has seen no data yet, and an
    operator needs it: a wrong password and a server that starts up look the same otherwise.
    """
    told = f"SQLSTATE {error.sqlstate}"
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        _, refused, reason = str(error).partition(_REFUSED)
        told = reason.strip().partition("\n")[0] if refused else "no SQLSTATE"
    return f"{type(error).__name__} ({told})"


def _hung_up(connection: Connection) -> bool:
    """Whether the server has ended an idle connection: only then it speaks unasked.

    After a failover every thread holds such connections; asking costs microseconds, and finding out by a
    failed statement costs somebody an answer.
    """
    if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class Session:
    """A lazily opened connection in autocommit mode.

    Args:
        conninfo: gives the connection string, asked anew at every connect.
        prepare: a statement run once on every new connection.
        replace_ended: open another connection at once where the server has ended an idle one; not for who
            holds a lock of the session, and must learn that it is gone.
    """

    def __init__(
        self, conninfo: Callable[[], str], prepare: bytes | None, *, replace_ended: bool = False
    ) -> None:
        self._conninfo = conninfo
        self._prepare = prepare
        self._replace_ended = replace_ended
        self._connection: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The open connection.

        Raises:
            LedgerUnavailable: wait and try again.
            PoisonBatch: the data was refused.
            Fatal: the statement or the schema is wrong; run `python -m worker migrate`.
        """
        try:
            if self._replace_ended and self._connection is not None and _hung_up(self._connection):
                self.close()
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            yield self._connection
        except psycopg.Error as error:
            kind = disposition(error)
            if kind is not PoisonBatch:
                self.close()
            raise kind(_summary(error)) from None

    def close(self) -> None:
        """Drop the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> Connection:
        connection: Connection = psycopg.connect(
            self._conninfo(), autocommit=True, options=_OPTIONS, application_name="edu-worker", **_KEEPALIVE
        )
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: Connection) -> None:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        if row is None or row[0]:
            msg = "connected to a reader; the ledger is written on the writer"
            raise LedgerUnavailable(msg)
        if self._prepare is not None:
            connection.execute(self._prepare)
