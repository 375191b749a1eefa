"""The Epochs port on PostgreSQL."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.statements import statements
from worker.batch import Source
from worker.domain.errors import Fatal
from worker.domain.position import Position


class AuroraEpochs:
    """Epochs on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("epochs")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def others(self) -> int:
        return int(self._rows("others")[0][0])

    def present(self) -> int:
        return int(self._rows("present")[0][0])

    def raised_for(self, restored_to: datetime) -> int | None:
        rows = self._rows("raised_for", restored_to=restored_to)
        return int(rows[0][0]) if rows else None

    def begin(self, epoch: int, restored_to: datetime, by: str) -> None:
        with self._session.connection() as connection, connection.transaction():
            given = {"epoch": epoch, "restored_to": restored_to, "by": by}
            if connection.execute(self._sql["raise"], given).fetchone() is None:
                msg = f"epoch {epoch} is not new, or one was begun for this restore already"
                raise Fatal(msg)

    def behind(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        found: dict[Source, Position] = {}
        for source, position in sorted(checkpoints.items()):
            given = {"source": source, "seq": position.sequence, "sub": position.sub_sequence}
            for row in self._rows("behind", **given):
                found[source] = Position(int(row[0]), row[1])
        return found

    def accept(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        moved: dict[Source, Position] = {}
        with self._session.connection() as connection, connection.transaction():
            for source, position in sorted(checkpoints.items()):
                given = {"source": source, "seq": position.sequence, "sub": position.sub_sequence}
                row = connection.execute(self._sql["accept"], given).fetchone()
                if row is not None:
                    moved[source] = Position(int(row[0]), row[1])
        return moved

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).fetchall()
