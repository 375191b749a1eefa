"""A look at one student: whether it may be, whom it means, and what is recorded before its answer leaves.

Apart from the routes, because the framework's and the short way through `express` must do exactly the same.
"""

from datetime import datetime
from http import HTTPStatus

from worker.api import access
from worker.api.access import Caller, Grant
from worker.api.responses import Told, tagged
from worker.api.scores import Asked, Owed
from worker.api.service import Service

_OWN = "me"


def own_id(caller: Caller, student_id: str) -> str:
    """The student meant: `me` is a student's own id."""
    if student_id == _OWN and caller.student_id is not None:
        return caller.student_id
    return student_id


async def asked(
    service: Service, caller: Caller, student_id: str, course_id: str | None, purpose: str | None
) -> Asked:
    """A look at a record, in one course or in all.

    Raises:
        Forbidden: it may not be.
    """
    own = own_id(caller, student_id)
    return await under(service, caller, access.to_student(caller, own, course_id, purpose), own, purpose)


async def under(
    service: Service, caller: Caller, grant: Grant, student_id: str, purpose: str | None
) -> Asked:
    """A look that was granted."""
    return Asked(caller, grant, purpose, student_id, await service.known_as(student_id, caller.realm))


async def in_course(
    service: Service, look: Asked, course_id: str, as_of: datetime | None, known: str | None
) -> Told:
    """The scores of one student in one course; `known` is the request's If-None-Match.

    Raises:
        NotFound: the ledger has nothing of this student there.
        Away: it cannot be recorded, so the read does not happen.
    """
    owed = await service.scores.in_course(look, course_id, as_of, known=known is not None)
    return await given(service, owed, known)


async def given(service: Service, owed: Owed, known: str | None) -> Told:
    """The answer, once its disclosure is recorded; a 304 shows nothing that was not shown before.

    Raises:
        Away: it cannot be recorded, so the read does not happen.
    """
    told = tagged(owed.answer, known or "")
    if owed.disclosure is not None and told.status is not HTTPStatus.NOT_MODIFIED:
        await service.desk.record(owed.disclosure)
    return told
