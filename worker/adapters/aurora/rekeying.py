"""The Rekeying port on PostgreSQL.

The references stay, so no attempt is touched: a student gets another canonical pseudonym and another sealed
id, and the former pseudonym goes on to name them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from worker.adapters.aurora.connection import Connection, Session
from worker.adapters.aurora.ledger import ERASE_LOCK
from worker.adapters.aurora.publications import packed, unpacked
from worker.adapters.aurora.statements import statements
from worker.upkeep import Filed, Rekeyed


class AuroraRekeying:
    """Rekeying on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("rekeying")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def count_students(self) -> int:
        return int(self._rows("count_students")[0][0])

    def students(self, after: UUID | None, page: int) -> Sequence[Filed]:
        rows = self._rows("students", after=after, page=page)
        return [Filed(key, sealed, frozenset(aliases)) for key, sealed, aliases in rows]

    def add_aliases(self, aliases: Mapping[UUID, UUID]) -> int:
        rows = self._rows("add_aliases", aliases=list(aliases), keys=list(aliases.values()))
        return int(rows[0][0])

    def rekey(self, changes: Sequence[Rekeyed]) -> int:
        names = {str(change.old): str(change.new) for change in changes}
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_merges"], {"lock": ERASE_LOCK})
            given = {
                "olds": [change.old for change in changes],
                "news": [change.new for change in changes],
                "sealed": [change.sealed_id for change in changes],
            }
            ((taken, moved, courses),) = connection.execute(self._sql["rekey"], given).fetchall()
            self._rename(connection, courses, {str(old): names[str(old)] for old in moved})
        return int(taken)

    def former(self, keys: Collection[UUID]) -> frozenset[UUID]:
        return frozenset(key for (key,) in self._rows("former", keys=list(keys)))

    def _rename(self, connection: Connection, courses: Sequence[str], names: Mapping[str, str]) -> None:
        """Otherwise every student would look changed, and figures would be published too soon."""
        rows = connection.execute(self._sql["publications"], {"courses": courses}).fetchall()
        for course, realm, body in rows:
            publication = unpacked(body)
            versions = {names.get(key, key): version for key, version in publication.versions.items()}
            renamed = packed(msgspec.structs.replace(publication, versions=versions))
            put = {"course": course, "realm": realm, "body": renamed}
            connection.execute(self._sql["put_publication"], put)

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).fetchall()
