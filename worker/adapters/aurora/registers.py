"""The Registers port on PostgreSQL: plain reads that lock nothing, so live traffic does not feel them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.statements import statements
from worker.batch import StateKey
from worker.domain.event import Kind, ratio_micros
from worker.domain.window import Attempt
from worker.registers import AttemptId, Known, Standing


class AuroraRegisters:
    """Registers on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("registers")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def known(self, students: Collection[UUID]) -> Mapping[UUID, Known]:
        rows = self._rows("known", students=list(students))
        return {asked: Known(*student) for asked, *student in rows}

    def horizons(self, courses: Collection[str]) -> Mapping[str, datetime]:
        return dict(self._rows("horizons", courses=list(courses)))

    def writers(self, attempts: Collection[AttemptId]) -> Mapping[AttemptId, Standing]:
        asked = list(attempts)
        rows = self._rows(
            "writers", **_lists([one.state for one in asked]), keys=[attempt.key for attempt in asked]
        )
        return {asked[row[0] - 1]: _standing(row) for row in rows}

    def standing(self, states: Sequence[StateKey]) -> Mapping[StateKey, Mapping[int, Standing]]:
        found: dict[StateKey, dict[int, Standing]] = {}
        for row in self._rows("standing", **_lists(states)):
            found.setdefault(states[row[0] - 1], {})[row[7]] = _standing(row)
        return found

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters, binary=True).fetchall()


def _lists(states: Sequence[StateKey]) -> dict[str, list[Any]]:
    return {"students": [one.student_key for one in states], "courses": [one.course_id for one in states]}


def _standing(row: Sequence[Any]) -> Standing:
    _, check, graded_at, kind, event_key, rev, digest, key, score, max_score, occurred = row
    attempt = Attempt(occurred, key, ratio_micros(score, max_score)) if kind == Kind.SCORED else None
    return Standing(check, (graded_at, kind, event_key, rev, digest), attempt)
