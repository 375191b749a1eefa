"""The Dossiers port on PostgreSQL: one statement, therefore one snapshot of the writer."""

from collections.abc import Callable, Sequence
from uuid import UUID

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.statements import statements
from worker.domain.window import Version
from worker.upkeep import Entry


class AuroraDossiers:
    """Dossiers on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("dossiers")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def dossier(self, key: UUID) -> Sequence[Entry]:
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["dossier"], {"key": key}, binary=True).fetchall()
        return [Entry(course, Version(birth, number), *rest) for course, birth, number, *rest in rows]
