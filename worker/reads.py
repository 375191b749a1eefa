"""What the API needs of the world beyond the pipeline's ports: the people's side of the ledger.

The same rules as in `worker.ports`: errors are those of `worker.domain.errors`, and every adapter passes the
same contract tests as its in-memory twin. All of them are synchronous and belong to one thread at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from worker.batch import Source, StateKey
from worker.domain.accounting import Accounting
from worker.domain.classroom import Publication
from worker.domain.window import Attempt, Version


class Days(NamedTuple):
    """A range of UTC calendar days, both ends included; None leaves an end open."""

    first: date | None = None
    last: date | None = None


class Held(NamedTuple):
    """One learner of a course: pseudonym, sealed id (None once erased) and the version of the state."""

    student_key: UUID
    sealed_id: bytes | None
    version: Version


class Standing(NamedTuple):
    """An attempt that stands in the ledger, as people read it."""

    item_id: str
    occurred_at: datetime
    graded_at: datetime
    score: float | None
    max_score: float
    revision: int
    source: str
    key: int


class Item(msgspec.Struct, frozen=True):
    """How a course did at one task; `correct_rate` and `mean` are over its scored attempts."""

    item_id: str
    attempts: int
    learners: int
    correct_rate: float | None
    mean: float | None


class SourceFigures(NamedTuple):
    """One source's counters and when it last committed."""

    source: Source
    accounting: Accounting
    committed_at: datetime
    closed: bool


class Records(Protocol):
    """The education records, read for people, on the writer; any method may raise LedgerUnavailable."""

    def courses_of(self, student_key: UUID) -> Mapping[str, Version]:
        """The courses in which the student has a state, under the canonical or an earlier key."""

    def canonical(self, student_keys: Collection[UUID]) -> UUID | None:
        """The key under which the student's states stand, by any of their pseudonyms."""

    def versions_of(self, keys: Sequence[StateKey]) -> Mapping[StateKey, Version]:
        """The versions of these states; those that exist."""

    def held(self, course_id: str) -> Sequence[Held]:
        """The learners of a course, erased students left out."""

    def sealed_ids(self, student_keys: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """The sealed ids of these students; those that exist."""

    def standing(self, key: StateKey, before: tuple[datetime, int] | None, limit: int) -> Sequence[Standing]:
        """The attempts of one student in one course, newest first, after the place `before`."""

    def attempts_of(
        self, course_id: str, student_key: UUID | None, days: Days, as_of: datetime | None
    ) -> Mapping[UUID, Sequence[Attempt]]:
        """The attempts that stand, by student: made within these days, and not after `as_of`."""

    def items(
        self,
        course_id: str,
        days: Days,
        as_of: datetime | None,
        correct_from: float,
        learners: Collection[UUID] | None = None,
    ) -> Sequence[Item]:
        """Every task of a course, by its id; over these learners, or all."""

    def course_stamps(self, courses: Sequence[str]) -> Mapping[str, str]:
        """A text for each course that differs once any of its states has changed."""

    def publication(self, course_id: str, realm: str) -> Publication | None:
        """What was last published of a course, of the learners of one realm."""

    def publish(self, publication: Publication, instead_of: Publication | None) -> bool:
        """Replace what was published of its course and realm; False if that is not `instead_of` any more."""

    def enrolled(self, subject: str) -> Sequence[str]:
        """The courses of a teacher in the enrolment table."""

    def figures(self) -> Sequence[SourceFigures]:
        """Every source with its counters."""

    def dead_letters(self) -> Mapping[str, int]:
        """Stored dead letters by reason."""

    def class_turn(self) -> AbstractContextManager[bool]:
        """Hold the fleet-wide turn to recompute classes; False where another process has it."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class ClassStore(Protocol):
    """Class figures that every API process may serve, and which of them somebody wants.

    Any method may raise ProjectionUnavailable; what is lost here is computed again.
    """

    def get(self, kind: str, course_id: str) -> bytes | None:
        """What was last put there."""

    def put(self, kind: str, course_id: str, body: bytes) -> None:
        """Keep it for an hour."""

    def drop(self, kind: str, courses: Sequence[str]) -> None:
        """Forget what was put of these courses: somebody in it was erased."""

    def want(self, course_id: str) -> None:
        """Somebody looks at this course now."""

    def wanted(self, within_seconds: int) -> Sequence[str]:
        """The courses somebody looked at within that time."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Disclosure(NamedTuple):
    """Somebody is about to see the records of these students (pseudonyms)."""

    at: datetime
    who: str
    role: str
    what: str
    course_id: str | None
    purpose: str | None
    students: Sequence[UUID]


class Disclosed(NamedTuple):
    """A disclosure as a student reads it; `place` continues a listing after it."""

    at: datetime
    who: str
    role: str
    what: str
    course_id: str | None
    purpose: str | None
    place: tuple[UUID, int]


class DisclosureLog(Protocol):
    """The record of who saw what. Any method may raise LedgerUnavailable; nothing is half done then."""

    def record(self, disclosures: Sequence[Disclosure]) -> None:
        """Add rows to this writer's chain, all in one commit; repeating a failed call is safe."""

    def look(self, keys: Sequence[StateKey], disclosures: Sequence[Disclosure]) -> Mapping[StateKey, Version]:
        """The versions of these states, of which none is named twice; those that exist.

        Where all of them do, the disclosures are recorded, in the same step; else none is.
        """

    def anchor(self) -> None:
        """Tie the head of this writer's chain to all others', if it has grown since."""

    def of_student(
        self, student_key: UUID, before: tuple[datetime, UUID, int] | None, limit: int
    ) -> Sequence[Disclosed]:
        """Who has seen this student's record, newest first, after the place `before`."""

    def broken(self) -> Sequence[str]:
        """Check every chain and every anchor; a sentence for each row that was changed or taken out."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
