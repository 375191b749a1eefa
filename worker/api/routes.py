"""The routes: each asks who somebody is, whether that may be, and then one part of the service."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from litestar import MediaType, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from worker.api import access, counting, looking, roster
from worker.api.answers import (
    Accepted,
    Attempts,
    ClassFigures,
    ClassView,
    Disclosures,
    SessionView,
    StudentCourses,
    StudentInCourse,
    SystemFigures,
)
from worker.api.bodies import read_body
from worker.api.examples import ATTEMPTS, CLASS, DISCLOSURES, STUDENT_IN_COURSE, SYSTEM
from worker.api.problems import MEDIA_TYPE, BadRequest
from worker.api.requests import Call, caller_of, earlier, only, purpose_of, service_of, wants_csv
from worker.api.responses import PRIVATE, plain, response
from worker.api.schema import (
    NO_NUL,
    READS,
    AsOf,
    CourseId,
    Cursor,
    Limit,
    Lives,
    NothingValidDocument,
    Purpose,
    Read,
    ReadMetrics,
    Ready,
    SendEvents,
    StudentId,
    answers,
    problems,
)
from worker.api.scores import Owed
from worker.api.views import ClassAsked
from worker.domain.score import DEFINITION
from worker.reads import Days

_PAGE = 100


@post(
    "/students",
    status_code=202,
    summary="Send graded attempts",
    responses={
        202: ResponseSpec(Accepted, generate_examples=False, description="the stream has acknowledged all"),
        **problems(400, 401, 403, 408, 411, 413, 415, 429, 503),
        422: ResponseSpec(
            NothingValidDocument,
            generate_examples=False,
            description="no event is valid",
            media_type=MEDIA_TYPE,
        ),
    },
    operation_class=SendEvents,
)
async def send_events(request: Call) -> Response[Any]:
    """One event, a list of up to 500, or newline-delimited JSON; gzip and zstd are understood."""
    service = service_of(request)
    caller = await caller_of(request)
    access.to_write(caller)
    only(request)
    body = await read_body(request)
    admitted = service.edge.admit(body, request.headers.get("content-type", ""), caller)
    await service.collector.put(admitted.events, caller.subject)
    counting.EVENTS.labels("accepted").inc(len(admitted.events))
    answer = Accepted(
        len(admitted.events), list(admitted.rejected), request.scope.get("state", {})["request_id"]
    )
    return plain(answer, 202)


@get(
    "/metrics",
    summary="Scores of a student or a class, or the system's own figures",
    responses={
        **answers(
            StudentInCourse,
            StudentCourses,
            ClassView,
            ClassFigures,
            SystemFigures,
            a_student=STUDENT_IN_COURSE,
            a_class=CLASS,
            the_system=SYSTEM,
        ),
        **READS,
    },
    operation_class=ReadMetrics,
)
async def metrics(
    request: Call,
    *,
    student_id: StudentId = None,
    course_id: CourseId = None,
    as_of: AsOf = None,
    first: Annotated[date | None, QueryParameter(name="from", description="first day, UTC")] = None,
    last: Annotated[date | None, QueryParameter(name="to", description="last day, UTC")] = None,
    sort: Annotated[roster.Sort | None, QueryParameter(name="sort")] = None,
    order: Annotated[roster.Order | None, QueryParameter(name="order")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    purpose: Purpose = None,
) -> Response[Any]:
    """What is answered follows from which of `student_id` and `course_id` are given; see docs/api.md."""
    service = service_of(request)
    caller = await caller_of(request)
    moment, purpose = earlier(as_of, service.now()), purpose_of(request, purpose)
    if student_id is not None:
        only(request, "student_id", "course_id", "as_of")
        asked = await looking.asked(service, caller, student_id, course_id, purpose)
        if course_id is None:
            return await _give(request, await service.scores.everywhere(asked, moment))
        known = request.headers.get("if-none-match")
        return response(await looking.in_course(service, asked, course_id, moment, known))
    if course_id is not None:
        only(request, "course_id", "as_of", "from", "to", "sort", "order", "limit", "cursor")
        if first is not None and last is not None and first > last:
            raise BadRequest("`from` is after `to`")
        as_table = wants_csv(request)
        looked = ClassAsked(
            caller=caller,
            grant=access.to_class(caller, course_id, purpose),
            purpose=purpose,
            course_id=course_id,
            days=Days(first, last),
            as_of=moment,
            sort=sort or "student_id",
            order=order or "asc",
            cursor=cursor,
            # a table is taken away whole
            limit=limit or (1_000_000 if as_table else _PAGE),
        )
        found = await service.views.classroom(looked)
        if as_table and found.view is not None:
            if found.disclosure is not None:
                await service.desk.record(found.disclosure)
            return _csv(roster.as_csv(found.view.roster))
        return await _give(request, Owed(found.figures, found.disclosure))
    only(request)
    access.to_system(caller)
    return await _give(request, Owed(await service.views.system(), None))


@get(
    "/attempts",
    summary="The attempts of a student in a course",
    responses={**answers(Attempts, attempts=ATTEMPTS), **READS},
    operation_class=Read,
)
async def attempts(
    request: Call,
    *,
    student_id: Annotated[str, QueryParameter(name="student_id", min_length=1, max_length=256)],
    course_id: Annotated[str, QueryParameter(name="course_id", min_length=1, max_length=256, pattern=NO_NUL)],
    limit: Limit = None,
    cursor: Cursor = None,
    purpose: Purpose = None,
) -> Response[Any]:
    """Newest first."""
    service = service_of(request)
    caller = await caller_of(request)
    only(request, "student_id", "course_id", "limit", "cursor")
    asked = await looking.asked(service, caller, student_id, course_id, purpose_of(request, purpose))
    return await _give(request, await service.views.attempts(asked, course_id, cursor, limit or _PAGE))


@get(
    "/disclosures",
    summary="Who saw a record",
    responses={**answers(Disclosures, disclosures=DISCLOSURES), **READS},
    operation_class=Read,
)
async def disclosures(
    request: Call,
    *,
    student_id: Annotated[str, QueryParameter(name="student_id", min_length=1, max_length=256)],
    limit: Limit = None,
    cursor: Cursor = None,
    purpose: Purpose = None,
) -> Response[Any]:
    """Newest first; for the student, and for officials with a purpose."""
    service = service_of(request)
    caller = await caller_of(request)
    only(request, "student_id", "limit", "cursor")
    own, purpose = looking.own_id(caller, student_id), purpose_of(request, purpose)
    grant = access.to_disclosures(caller, own, purpose)
    asked = await looking.under(service, caller, grant, own, purpose)
    return await _give(request, await service.views.disclosures(asked, cursor, limit or _PAGE))


@get(
    "/session",
    summary="Who the caller is",
    responses={**answers(SessionView), **problems(400, 401, 403, 503)},
)
async def session(request: Call) -> Response[Any]:
    """For the page: which views to offer."""
    caller = await caller_of(request)
    only(request)
    expires = None if caller.expires_at is None else datetime.fromtimestamp(caller.expires_at, UTC)
    return plain(
        SessionView(
            subject=caller.subject,
            roles=sorted(role.value for role in caller.roles),
            student_id=caller.student_id,
            courses=sorted(caller.courses),
            expires_at=expires,
            definition=DEFINITION,
        )
    )


@get("/healthz", media_type=MediaType.JSON, summary="Whether this process lives", security=[{}])
async def healthz() -> Lives:
    """Always answers while the process does; no dependency is asked."""
    return Lives(healthy=True)


@get(
    "/readyz",
    media_type=MediaType.JSON,
    summary="Whether this process can do its work",
    responses={
        200: ResponseSpec(Ready, generate_examples=False, description="it can"),
        503: ResponseSpec(Ready, generate_examples=False, description="not now"),
    },
    security=[{}],
)
async def readyz(request: Call) -> Response[Ready]:
    """200 while the stream's shards are known and Redis answers; the body tells more."""
    service = service_of(request)
    shards = len(service.freshness.ages)
    ready = bool(shards) and service.freshness.redis_answers
    told = Ready(
        ready=ready,
        redis="answers" if service.freshness.redis_answers else "away",
        open_shards=shards,
        events_waiting=service.collector.waiting,
    )
    return Response(told, status_code=200 if ready else 503)


ROUTES = [send_events, metrics, attempts, disclosures, session, healthz, readyz]


async def _give(request: Call, owed: Owed) -> Response[Any]:
    """The answer, once its disclosure is recorded.

    Raises:
        Away: it cannot be recorded, so the read does not happen.
    """
    return response(await looking.given(service_of(request), owed, request.headers.get("if-none-match")))


def _csv(body: bytes) -> Response[Any]:
    headers = {**PRIVATE, "Content-Disposition": 'attachment; filename="class.csv"'}
    return Response(body, media_type="text/csv", headers=headers)
