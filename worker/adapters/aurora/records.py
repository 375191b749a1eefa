"""The Records port on PostgreSQL: what people read, always from the writer.

A reader endpoint may lag, and somebody who was just regraded must not be shown the old grade as the truth.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.publications import packed, unpacked
from worker.adapters.aurora.statements import statements
from worker.batch import StateKey
from worker.domain.accounting import Accounting, Outcome
from worker.domain.classroom import Publication
from worker.domain.event import ratio_micros
from worker.domain.window import Attempt, Version
from worker.reads import Days, Held, Item, SourceFigures, Standing

CLASSES_LOCK = 0x65647503


class AuroraRecords:
    """Records on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("records")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def courses_of(self, student_key: UUID) -> Mapping[str, Version]:
        rows = self._rows("courses_of", student=student_key)
        return {course: Version(birth, number) for course, birth, number in rows}

    def canonical(self, student_keys: Collection[UUID]) -> UUID | None:
        rows = self._rows("canonical", students=list(student_keys))
        return rows[0][0] if rows else None

    def versions_of(self, keys: Sequence[StateKey]) -> Mapping[StateKey, Version]:
        students, courses = [key.student_key for key in keys], [key.course_id for key in keys]
        rows = self._rows("versions_of", students=students, courses=courses)
        return {keys[order - 1]: Version(birth, number) for order, birth, number in rows}

    def held(self, course_id: str) -> Sequence[Held]:
        rows = self._rows("held", course=course_id)
        return [Held(key, sealed, Version(birth, number)) for key, sealed, birth, number in rows]

    def sealed_ids(self, student_keys: Sequence[UUID]) -> Mapping[UUID, bytes]:
        return dict(self._rows("sealed_ids", students=list(student_keys)))

    def standing(self, key: StateKey, before: tuple[datetime, int] | None, limit: int) -> Sequence[Standing]:
        at, attempt = before or (None, None)
        rows = self._rows(
            "standing", student=key.student_key, course=key.course_id, at=at, key=attempt, limit=limit
        )
        return [Standing(*row) for row in rows]

    def attempts_of(
        self, course_id: str, student_key: UUID | None, days: Days, as_of: datetime | None
    ) -> Mapping[UUID, Sequence[Attempt]]:
        found: dict[UUID, list[Attempt]] = {}
        rows = self._rows("attempts_of", course=course_id, student=student_key, as_of=as_of, **_moments(days))
        for student, key, score, max_score, occurred in rows:
            attempt = Attempt(occurred, key, ratio_micros(score, max_score))
            found.setdefault(student, []).append(attempt)
        return found

    def items(
        self,
        course_id: str,
        days: Days,
        as_of: datetime | None,
        correct_from: float,
        learners: Collection[UUID] | None = None,
    ) -> Sequence[Item]:
        within = {"as_of": as_of, "learners": None if learners is None else list(learners), **_moments(days)}
        rows = self._rows("items", course=course_id, correct_from=correct_from, **within)
        return [Item(*row) for row in rows]

    def course_stamps(self, courses: Sequence[str]) -> Mapping[str, str]:
        return dict(self._rows("course_stamps", courses=list(courses)))

    def publication(self, course_id: str, realm: str) -> Publication | None:
        rows = self._rows("publication", course=course_id, realm=realm)
        return unpacked(rows[0][0]) if rows else None

    def publish(self, publication: Publication, instead_of: Publication | None) -> bool:
        rows = self._rows(
            "publish",
            course=publication.course_id,
            realm=publication.realm,
            at=publication.as_of,
            body=packed(publication),
            before=None if instead_of is None else instead_of.as_of,
        )
        return bool(rows)

    def enrolled(self, subject: str) -> Sequence[str]:
        return [course for (course,) in self._rows("enrolled", subject=subject)]

    def figures(self) -> Sequence[SourceFigures]:
        found = []
        for source, read, *counts, committed_at, closed in self._rows("figures"):
            outcomes = dict(zip(Outcome, counts, strict=True))
            found.append(SourceFigures(source, Accounting(read, outcomes), committed_at, closed))
        return found

    def dead_letters(self) -> Mapping[str, int]:
        return dict(self._rows("dead_letters"))

    @contextmanager
    def class_turn(self) -> Iterator[bool]:
        mine = bool(self._rows("try_classes", lock=CLASSES_LOCK)[0][0])
        try:
            yield mine
        finally:
            if mine:
                self._rows("end_classes", lock=CLASSES_LOCK)

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters, binary=True).fetchall()


def _moments(days: Days) -> dict[str, datetime | None]:
    """The range of moments of a range of days; the last one is included, because no moment follows 9999."""
    first = None if days.first is None else datetime.combine(days.first, time.min, UTC)
    last = None if days.last is None else datetime.combine(days.last, time.max, UTC)
    return {"first": first, "last": last}
