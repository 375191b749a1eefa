"""The Retaining port on PostgreSQL: expired attempts, disclosures, figures and dead letters, in small steps.

Every step is one transaction of a page, so that merges wait for none of them long and a job that ends
anywhere has left nothing half done.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.ledger import CLEAR_LOCK, ERASE_LOCK
from worker.adapters.aurora.statements import statements
from worker.batch import StateKey
from worker.upkeep import Deletion, Expired, Unlinked


class AuroraRetaining:
    """Retaining on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("retaining")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def known_courses(self, courses: Collection[str]) -> frozenset[str]:
        return frozenset(course for (course,) in self._rows("known_courses", courses=list(courses)))

    def raise_horizon(self, before: datetime, courses: Collection[str]) -> None:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_merges"], {"lock": ERASE_LOCK})
            name = "raise_horizons" if courses else "raise_horizon"
            connection.execute(self._sql[name], {"before": before, "courses": list(courses)})

    def count_states(self, courses: Collection[str]) -> int:
        return int(self._rows("count_states", **_within(courses))[0][0])

    def expire(self, after: StateKey | None, page: int, courses: Collection[str]) -> Expired | None:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["beside_merges"], {"lock": ERASE_LOCK})
            given = {**_after(after), **_within(courses), "page": page}
            rows = connection.execute(self._sql["expire"], given).fetchall()
            states = [StateKey(student, course) for student, course, attempts, _ in rows if attempts]
            if not states:
                return _expired(rows, None)
            (number,) = connection.execute(self._sql["count_deletion"]).fetchall()[0]
        return _expired(rows, Deletion(number, states))

    def expiring(
        self, after: StateKey | None, page: int, courses: Collection[str], before: datetime
    ) -> Expired | None:
        rows = self._rows("expiring", **_after(after), **_within(courses), page=page, before=before)
        found = _expired(rows, None)
        return found and found._replace(kept=frozenset(row[1] for row in rows if row[4]))

    def unlink_disclosures(self, after: tuple[UUID, int] | None, page: int) -> Unlinked | None:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_clearing"], {"lock": CLEAR_LOCK})
            given = {**_following(after), "page": page}
            return _unlinked(connection.execute(self._sql["unlink_disclosures"], given).fetchall())

    def outlived(
        self, after: tuple[UUID, int] | None, page: int, courses: Collection[str], before: datetime
    ) -> Unlinked | None:
        return _unlinked(
            self._rows("outlived", **_following(after), page=page, before=before, **_within(courses))
        )

    def drop_publications(self) -> int:
        return int(self._rows("drop_publications")[0][0])

    def emptied_publications(self, kept: Collection[str], courses: Collection[str]) -> int:
        return int(self._rows("emptied_publications", kept=list(kept), **_within(courses))[0][0])

    def expired_letters(self) -> int:
        return int(self._rows("expired_letters")[0][0])

    def bury_expired_letters(self, most: int) -> int:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_clearing"], {"lock": CLEAR_LOCK})
            return connection.execute(self._sql["bury_expired_letters"], {"most": most}).rowcount

    def forget_courses(self, purged_before: datetime) -> int:
        return self._changed("forget_courses", before=purged_before)

    def forgettable_courses(self, purged_before: datetime) -> int:
        return int(self._rows("forgettable_courses", before=purged_before)[0][0])

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).fetchall()

    def _changed(self, name: str, **parameters: Any) -> int:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).rowcount


def _after(after: StateKey | None) -> dict[str, Any]:
    return {
        "course": None if after is None else after.course_id,
        "student": None if after is None else after.student_key,
    }


def _within(courses: Collection[str]) -> dict[str, Any]:
    return {"every": not courses, "courses": list(courses)}


def _expired(rows: Sequence[Any], deletion: Deletion | None) -> Expired | None:
    if not rows:
        return None
    last = StateKey(rows[-1][0], rows[-1][1])
    return Expired(last, len(rows), sum(row[2] for row in rows), sum(row[3] for row in rows), deletion)


def _following(after: tuple[UUID, int] | None) -> dict[str, Any]:
    chain, number = after or (UUID(int=0), -1)
    return {"chain": chain, "number": number}


def _unlinked(rows: Sequence[Any]) -> Unlinked | None:
    return Unlinked((rows[-1][0], rows[-1][1]), len(rows), rows[0][2]) if rows else None
