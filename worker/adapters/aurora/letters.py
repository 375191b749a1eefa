"""The DeadLetters port on PostgreSQL.

Whether a claim still stands is judged by the server's clock alone: two operators may sit at machines whose
clocks differ.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.statements import statements
from worker.batch import Source
from worker.domain.errors import Reason
from worker.letters import Failure, Letter, Selection, Settled


class AuroraLetters:
    """DeadLetters on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("letters")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def counts(self, selection: Selection) -> Mapping[Reason, int]:
        return {Reason(reason): count for reason, count in self._rows("counts", **_chosen(selection))}

    def newest(self) -> int:
        return int(self._rows("newest")[0][0])

    def page(self, selection: Selection, after: int, count: int) -> Sequence[Letter]:
        rows = self._rows("page", **_chosen(selection), after=after, count=count)
        return [_letter(row) for row in rows]

    def claim(
        self, selection: Selection, operator: str, after: int, count: int, seconds: float
    ) -> Sequence[Letter]:
        chosen = _chosen(selection)
        rows = self._rows(
            "claim", **chosen, operator=operator, after=after, count=count, seconds=float(seconds)
        )
        return sorted(map(_letter, rows))

    def renew(self, operator: str, seconds: float) -> None:
        self._do("renew", operator=operator, seconds=float(seconds))

    def refused(self, source: Source, numbers: Collection[int]) -> Mapping[int, Failure]:
        rows = self._rows("refused", source=source, numbers=list(numbers))
        return {number: Failure(Reason(reason), field) for number, reason, field in rows}

    def settle(
        self, operator: str, source: Source, recovered: Collection[int], failed: Mapping[int, Failure]
    ) -> Settled:
        asked = {"operator": operator, "numbers": [*recovered, *failed]}
        with self._session.connection() as connection, connection.transaction():
            held = [number for (number,) in connection.execute(self._sql["hold"], asked).fetchall()]
            kept = [number for number in held if number in failed]
            gone = [number for number in held if number not in failed]
            connection.execute(self._sql["drop_copies"], {"source": source, "numbers": held})
            connection.execute(self._sql["recover"], {"numbers": gone})
            connection.execute(
                self._sql["keep"],
                {
                    "numbers": kept,
                    "reasons": [failed[number].reason.value for number in kept],
                    "fields": [failed[number].field for number in kept],
                },
            )
            present = {number for (number,) in connection.execute(self._sql["present"], asked).fetchall()}
        return Settled(len({*recovered} - present), len(present & failed.keys()))

    def release(self, operator: str) -> None:
        self._do("release", operator=operator)

    def tidy(self) -> int:
        return self._do("tidy")

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters, binary=True).fetchall()

    def _do(self, name: str, **parameters: Any) -> int:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).rowcount


def _chosen(selection: Selection) -> dict[str, Any]:
    reasons = selection.reasons
    return {
        **selection._asdict(),
        "reasons": None if reasons is None else sorted(reason.value for reason in reasons),
    }


def _letter(row: Sequence[Any]) -> Letter:
    number, source, reason, field, sealed, stored_at, tries = row
    return Letter(number, source, Reason(reason), field, bytes(sealed), stored_at, tries)
