"""The documents that the API answers with; `docs/api.md` and the schema describe them to clients."""

from datetime import datetime
from uuid import UUID

import msgspec

from worker.api.ingest import Rejected
from worker.domain.classroom import Tenth
from worker.domain.risk import AtRisk
from worker.domain.score import CourseScores
from worker.reads import Item


class Accepted(msgspec.Struct, frozen=True):
    """What became of the events of one request."""

    accepted: int
    rejected: list[Rejected]
    request_id: str


class InCourse(CourseScores, frozen=True, kw_only=True):
    """One course of a student: the outputs of the definition (docs/scores.md), and what the course adds."""

    percentile_in_course: float | None
    at_risk: AtRisk
    course_id: str


class Point(msgspec.Struct, frozen=True):
    """One attempt of the window."""

    occurred_at: datetime
    ratio: float


class StudentInCourse(InCourse, frozen=True, kw_only=True):
    """One student in one course."""

    student_id: str | None
    student_key: UUID
    as_of: datetime
    stale_seconds: float | None
    degraded: bool
    window: list[Point]


class StudentCourses(msgspec.Struct, frozen=True, kw_only=True):
    """All courses of a student that the caller may see."""

    student_id: str | None
    student_key: UUID
    as_of: datetime
    stale_seconds: float | None
    degraded: bool
    mean_of_course_means: float | None
    courses: list[InCourse]


class RosterLine(msgspec.Struct, frozen=True, kw_only=True):
    """One learner of a class."""

    student_id: str | None
    student_key: UUID
    attempts_total: int
    attempts_scored: int
    mean_last_n: float | None
    ewma: float | None
    latest: float | None
    trend: float | None
    last_activity_at: datetime | None
    provisional: bool
    percentile_in_course: float | None
    at_risk: AtRisk


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A class without its learners, as an analyst sees it."""

    course_id: str
    definition: str
    as_of: datetime
    stale_seconds: float | None
    degraded: bool
    learners: int | None
    learners_counted: int | None
    mean: float | None
    at_risk: int | None
    distribution: list[Tenth]


class ClassView(ClassFigures, frozen=True, kw_only=True):
    """A class with a page of its learners."""

    items: list[Item]
    roster: list[RosterLine]
    next_cursor: str | None


class ShardFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One shard: how far behind, and what it counted."""

    shard: str
    iterator_age_seconds: float | None
    read: int
    dead_lettered: int
    committed_at: datetime | None


class Reasoned(msgspec.Struct, frozen=True):
    """Stored dead letters of one reason."""

    reason: str
    count: int


class SystemFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The system's own figures; no student's data."""

    as_of: datetime
    stale_seconds: float | None
    redis: str
    ledger: str
    events: dict[str, int]
    shards: list[ShardFigures]
    dead_letters: list[Reasoned]


class AttemptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that stands."""

    item_id: str
    occurred_at: datetime
    graded_at: datetime
    score: float | None
    max_score: float
    ratio: float | None
    revision: int
    source: str


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a student in a course, newest first."""

    student_id: str | None
    student_key: UUID
    course_id: str
    as_of: datetime
    attempts: list[AttemptLine]
    next_cursor: str | None


class DisclosureLine(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody saw the record."""

    at: datetime
    who: str
    role: str
    what: str
    course_id: str | None
    purpose: str | None


class Disclosures(msgspec.Struct, frozen=True, kw_only=True):
    """Who saw a student's record, newest first."""

    student_id: str | None
    student_key: UUID
    disclosures: list[DisclosureLine]
    next_cursor: str | None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who the caller is."""

    subject: str
    roles: list[str]
    student_id: str | None
    courses: list[str]
    expires_at: datetime | None
    definition: str
