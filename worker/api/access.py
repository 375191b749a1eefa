"""Who may do what: one table, everything else is refused.

The rules are pure functions of the caller and of what is asked for, so that the whole matrix of role, route
and ownership is tested without a server.
"""

import enum
from collections.abc import Collection
from typing import NamedTuple

from worker.api.problems import Forbidden


class Role(enum.StrEnum):
    """What a caller is; one may be several things."""

    STUDENT = "student"
    TEACHER = "teacher"
    OFFICIAL = "official"
    ANALYST = "analyst"
    OPERATOR = "operator"
    PRODUCER = "producer"


class Caller(NamedTuple):
    """Somebody whose identity was checked.

    Args:
        subject: the identity provider's name for the caller; never a student id.
        roles: what the caller is.
        realm: who issues the student ids that this caller speaks of.
        student_id: of a student, the school's own id.
        courses: of a teacher, the own courses.
        sources: of a producer, the sources it may write; None for any.
        expires_at: seconds since 1970 at which the identity ends; None where the gateway vouches.
    """

    subject: str
    roles: frozenset[Role]
    realm: str
    student_id: str | None = None
    courses: frozenset[str] = frozenset()
    sources: frozenset[str] | None = None
    expires_at: int | None = None


class Grant(NamedTuple):
    """What a caller may see of something, and as what: every grant to somebody else is recorded.

    Args:
        role: the role under which the caller sees it.
        own: whether the caller sees the own record.
        courses: the courses it is limited to; None for all.
        rows: whether single students may be seen.
    """

    role: Role
    own: bool = False
    courses: Collection[str] | None = None
    rows: bool = True


def to_write(caller: Caller) -> None:
    """May events be sent?"""
    _require(Role.PRODUCER in caller.roles, "only producers may send events")


def to_student(caller: Caller, student_id: str, course_id: str | None, purpose: str | None) -> Grant:
    """May one student's record be seen, in one course or in all of them?"""
    if Role.STUDENT in caller.roles and caller.student_id == student_id:
        return Grant(Role.STUDENT, own=True)
    if Role.OFFICIAL in caller.roles and purpose is not None:
        return Grant(Role.OFFICIAL)
    if Role.TEACHER in caller.roles and (course_id is None or course_id in caller.courses):
        return Grant(Role.TEACHER, courses=caller.courses)
    _require(Role.OFFICIAL not in caller.roles, "officials say why in the header X-Purpose")
    raise Forbidden("this record is not yours to see")


def to_class(caller: Caller, course_id: str, purpose: str | None) -> Grant:
    """May the figures of a course be seen, and its learners one by one?"""
    if Role.TEACHER in caller.roles and course_id in caller.courses:
        return Grant(Role.TEACHER)
    if Role.OFFICIAL in caller.roles and purpose is not None:
        return Grant(Role.OFFICIAL)
    if Role.ANALYST in caller.roles:
        return Grant(Role.ANALYST, rows=False)
    _require(Role.OFFICIAL not in caller.roles, "officials say why in the header X-Purpose")
    raise Forbidden("this course is not yours to see")


def to_disclosures(caller: Caller, student_id: str, purpose: str | None) -> Grant:
    """May it be seen who saw a record?"""
    if Role.STUDENT in caller.roles and caller.student_id == student_id:
        return Grant(Role.STUDENT, own=True)
    if Role.OFFICIAL in caller.roles:
        _require(purpose is not None, "officials say why in the header X-Purpose")
        return Grant(Role.OFFICIAL)
    raise Forbidden("this record is not yours to see")


def to_system(caller: Caller) -> None:
    """May the system's own figures be seen?"""
    _require(Role.OPERATOR in caller.roles, "only operators see the system's figures")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Forbidden(otherwise)
