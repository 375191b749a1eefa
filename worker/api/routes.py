"""The routes: each asks who somebody is, whether that may be, and then one part of the service."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import HeaderParameter, QueryParameter

from worker.api import access, roster
from worker.api.access import Caller
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
from worker.api.ingest import MOST_EVENTS, Rejected
from worker.api.page import SECURITY_HEADERS, Asset, assets
from worker.api.problems import MEDIA_TYPE, BadRequest, NotFound, Unauthorized
from worker.api.responses import PRIVATE, plain, tagged
from worker.api.scores import Asked
from worker.api.service import Service
from worker.api.tokens import CALLER_HEADER, SECRET_HEADER
from worker.api.views import ClassAsked
from worker.domain.score import DEFINITION
from worker.reads import Days

Call = Request[Any, Any, Any]

_OWN = "me"
_BEARER = "bearer "
_LONGEST_TOKEN = 8192
_SHORTEST_PURPOSE = 8
_PAGE = 100
_MOST = 500

StudentId = Annotated[
    str | None,
    QueryParameter(
        name="student_id", min_length=1, max_length=256, description="the school's id; `me` is the own"
    ),
]
# PostgreSQL's text cannot hold NUL, and no course has it in its id
_NO_NUL = "^[^\\x00]+$"
CourseId = Annotated[
    str | None, QueryParameter(name="course_id", min_length=1, max_length=256, pattern=_NO_NUL)
]
AsOf = Annotated[
    datetime | None, QueryParameter(name="as_of", description="an earlier moment, RFC 3339 with an offset")
]
Limit = Annotated[int | None, QueryParameter(name="limit", ge=1, le=_MOST)]
Cursor = Annotated[str | None, QueryParameter(name="cursor", min_length=1, max_length=512)]
Purpose = Annotated[
    str | None,
    HeaderParameter(
        name="X-Purpose",
        min_length=_SHORTEST_PURPOSE,
        max_length=200,
        description="why an official looks; it must not name a student",
    ),
]


class ProblemDocument(msgspec.Struct, frozen=True):
    """An error: what is wrong and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class NothingValidDocument(ProblemDocument, frozen=True):
    """No event was taken: what is wrong with each."""

    accepted: int
    rejected: list[Rejected]


class Lives(msgspec.Struct, frozen=True):
    """The process answers."""

    healthy: bool


class Ready(msgspec.Struct, frozen=True):
    """What the process can do now."""

    ready: bool
    redis: str
    open_shards: int
    events_waiting: int


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            ProblemDocument, generate_examples=False, description="what to do about it", media_type=MEDIA_TYPE
        )
        for status in statuses
    }


def _answers(*forms: Any) -> dict[int, ResponseSpec]:
    form = forms[0]
    for other in forms[1:]:
        form = form | other
    return {
        200: ResponseSpec(form, generate_examples=False, description="the answer"),
        304: ResponseSpec(None, description="unchanged since the tag of If-None-Match"),
    }


_EVENT = {
    "student_id": "s-17",
    "course_id": "algebra",
    "item_id": "quiz-1",
    "attempt": 1,
    "score": 8.5,
    "max_score": 10,
    "occurred_at": "2026-03-02T09:00:00Z",
}
_EVENTS = Schema(
    type=OpenAPIType.OBJECT,
    required=["course_id", "item_id", "occurred_at"],
    properties={
        "student_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "course_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "item_id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
        "occurred_at": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
        "graded_at": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], format=OpenAPIFormat.DATE_TIME),
        "score": Schema(type=[OpenAPIType.NUMBER, OpenAPIType.NULL], minimum=-1e6, maximum=1e6),
        "max_score": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=1e6),
        "attempt": Schema(type=[OpenAPIType.INTEGER, OpenAPIType.NULL], minimum=0, maximum=2**63 - 1),
        "event_id": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], min_length=1, max_length=256),
        "kind": Schema(type=OpenAPIType.STRING, enum=["scored", "voided"]),
        "source": Schema(type=OpenAPIType.STRING, min_length=1, max_length=256),
    },
    description="One graded attempt, see the README; `student_key` and `sealed_id` of a trusted producer "
    "stand for `student_id`.",
)
_LINES = json.dumps(_EVENT)


@dataclass
class SendEvents(Operation):
    """What the stream of the body holds: the handler reads it itself, bounded in size and time."""

    def __post_init__(self) -> None:
        each = Schema(description="an event as above; one that is not costs only itself, see `rejected`")
        several = Schema(type=OpenAPIType.ARRAY, items=each, min_items=1, max_items=MOST_EVENTS)
        self.request_body = RequestBody(
            required=True,
            description="One event, a list of up to 500, or newline-delimited JSON; up to 1 MiB.",
            content={
                "application/json": OpenAPIMediaType(
                    schema=Schema(one_of=[_EVENTS, several]),
                    examples={"one": Example(value=_EVENT), "several": Example(value=[_EVENT])},
                ),
                "application/x-ndjson": OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, description="one event a line"),
                    examples={"lines": Example(value=f"{_LINES}\n{_LINES}\n")},
                ),
            },
        )


@dataclass
class Read(Operation):
    """Parameters that may be left out; the framework would say that they may be null, which no URL can."""

    def __post_init__(self) -> None:
        for parameter in self.parameters or []:
            schema = getattr(parameter, "schema", None)
            if isinstance(schema, Schema):
                _without_null(schema)


def _without_null(schema: Schema) -> None:
    if schema.enum is not None:
        schema.enum = [value for value in schema.enum if value is not None]
        schema.type = OpenAPIType.STRING
    for form in schema.one_of or []:
        if isinstance(form, Schema) and form.type is not OpenAPIType.NULL:
            schema.type, schema.format = form.type, form.format
    schema.one_of = None


@dataclass
class ReadMetrics(Read):
    """A class comes as a table too, for whom `Accept: text/csv` asks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            table = Schema(type=OpenAPIType.STRING, description="the whole roster, one learner a line")
            answer.content["text/csv"] = OpenAPIMediaType(schema=table)


_READS = _problems(400, 401, 403, 404, 503)


@post(
    "/students",
    status_code=202,
    summary="Send graded attempts",
    responses={
        202: ResponseSpec(Accepted, generate_examples=False, description="the stream has acknowledged all"),
        **_problems(400, 401, 403, 408, 411, 413, 415, 503),
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
    service = _service(request)
    caller = await _caller(request)
    access.to_write(caller)
    _only(request)
    body = await read_body(request)
    admitted = service.edge.admit(body, request.headers.get("content-type", ""), caller)
    await service.collector.put(admitted.events)
    answer = Accepted(
        len(admitted.events), list(admitted.rejected), request.scope.get("state", {})["request_id"]
    )
    return plain(answer, 202)


@get(
    "/metrics",
    summary="Scores of a student or a class, or the system's own figures",
    responses={**_answers(StudentInCourse, StudentCourses, ClassView, ClassFigures, SystemFigures), **_READS},
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
    service = _service(request)
    caller = await _caller(request)
    moment, purpose = _earlier(as_of, service.now()), _purpose(request, purpose)
    if student_id is not None:
        _only(request, "student_id", "course_id", "as_of")
        asked = _asked(service, caller, student_id, course_id, purpose)
        if course_id is None:
            return tagged(request, await service.scores.everywhere(asked, moment))
        return tagged(request, await service.scores.in_course(asked, course_id, moment))
    if course_id is not None:
        _only(request, "course_id", "as_of", "from", "to", "sort", "order", "limit", "cursor")
        if first is not None and last is not None and first > last:
            raise BadRequest("`from` is after `to`")
        wants_csv = _wants_csv(request)
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
            limit=limit or (1_000_000 if wants_csv else _PAGE),
        )
        found = await service.views.classroom(looked)
        if wants_csv and found.view is not None:
            return _csv(roster.as_csv(found.view.roster))
        return tagged(request, found.figures)
    _only(request)
    access.to_system(caller)
    return tagged(request, await service.views.system())


@get(
    "/attempts",
    summary="The attempts of a student in a course",
    responses={**_answers(Attempts), **_READS},
    operation_class=Read,
)
async def attempts(
    request: Call,
    *,
    student_id: Annotated[str, QueryParameter(name="student_id", min_length=1, max_length=256)],
    course_id: Annotated[
        str, QueryParameter(name="course_id", min_length=1, max_length=256, pattern=_NO_NUL)
    ],
    limit: Limit = None,
    cursor: Cursor = None,
    purpose: Purpose = None,
) -> Response[Any]:
    """Newest first."""
    service = _service(request)
    caller = await _caller(request)
    _only(request, "student_id", "course_id", "limit", "cursor")
    asked = _asked(service, caller, student_id, course_id, _purpose(request, purpose))
    return tagged(request, await service.views.attempts(asked, course_id, cursor, limit or _PAGE))


@get(
    "/disclosures",
    summary="Who saw a record",
    responses={**_answers(Disclosures), **_READS},
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
    service = _service(request)
    caller = await _caller(request)
    _only(request, "student_id", "limit", "cursor")
    own, purpose = _own(caller, student_id), _purpose(request, purpose)
    grant = access.to_disclosures(caller, own, purpose)
    key = service.identity.identify(own, caller.realm).student_key
    asked = Asked(caller, grant, purpose, own, key)
    return tagged(request, await service.views.disclosures(asked, cursor, limit or _PAGE))


@get(
    "/session",
    summary="Who the caller is",
    responses={**_answers(SessionView), **_problems(400, 401, 403, 503)},
)
async def session(request: Call) -> Response[Any]:
    """For the page: which views to offer."""
    caller = await _caller(request)
    _only(request)
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
    service = _service(request)
    shards = len(service.freshness.ages)
    ready = bool(shards) and service.freshness.redis_answers
    told = Ready(
        ready=ready,
        redis="answers" if service.freshness.redis_answers else "away",
        open_shards=shards,
        events_waiting=service.collector.waiting,
    )
    return Response(told, status_code=200 if ready else 503)


@get(["/", "/definitions", "/static/{name:str}"], include_in_schema=False)
async def page(request: Call) -> Response[Any]:
    """The page and its files."""
    asset: Asset | None = assets().get(request.scope["path"])
    if asset is None:
        raise NotFound("no such file")
    headers = {**SECURITY_HEADERS, "ETag": asset.etag}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(None, status_code=304, headers=headers)
    # the framework adds the charset itself
    return Response(asset.body, media_type=asset.content_type.partition(";")[0], headers=headers)


ROUTES = [send_events, metrics, attempts, disclosures, session, healthz, readyz, page]


def _service(request: Call) -> Service:
    service: Service = request.app.state.service
    return service


async def _caller(request: Call) -> Caller:
    """Who sent this.

    Raises:
        Unauthorized, Forbidden, Away: as `Doorkeeper`.
    """
    door = _service(request).doorkeeper
    sent = request.headers.getall("authorization", [])
    if not sent:
        arns = request.headers.getall(CALLER_HEADER, [])
        return door.by_gateway(arns, request.headers.getall(SECRET_HEADER, []))
    if len(sent) > 1 or not sent[0].lower().startswith(_BEARER) or len(sent[0]) > _LONGEST_TOKEN:
        raise Unauthorized("send one header Authorization: Bearer with your token")
    token = sent[0][len(_BEARER) :].strip()
    caller = door.remembered(token)
    return caller if caller is not None else await _service(request).check(token)


def _purpose(request: Call, purpose: str | None) -> str | None:
    """Why an official looks, as text.

    Raises:
        BadRequest: it is said twice, or is none.
    """
    if purpose is None:
        return None
    try:
        text = purpose.encode("latin-1").decode().strip()
    except UnicodeDecodeError:
        text = purpose.strip()  # a client that knows headers as Latin-1
    if (
        len(request.headers.getall("x-purpose")) > 1
        or len(text) < _SHORTEST_PURPOSE
        or not text.isprintable()
    ):
        raise BadRequest("say once in X-Purpose why you look, in 8 to 200 characters of text")
    return text


def _asked(
    service: Service, caller: Caller, student_id: str, course_id: str | None, purpose: str | None
) -> Asked:
    own = _own(caller, student_id)
    grant = access.to_student(caller, own, course_id, purpose)
    key: UUID = service.identity.identify(own, caller.realm).student_key
    return Asked(caller, grant, purpose, own, key)


def _own(caller: Caller, student_id: str) -> str:
    if student_id == _OWN and caller.student_id is not None:
        return caller.student_id
    return student_id


def _only(request: Call, *names: str) -> None:
    """Refuse what is not known here or said twice: a misspelt filter must not show more than was meant."""
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = sum(name not in names for name in given) + len(given) - len(set(given))
    if wrong:
        known = ", ".join(names) or "no parameters"
        raise BadRequest(f"this request takes {known}, each once; GET /schema tells more")


def _earlier(as_of: datetime | None, now: datetime) -> datetime | None:
    if as_of is None:
        return None
    if as_of.tzinfo is None:
        raise BadRequest("`as_of` needs an offset, such as Z")
    if as_of > now:
        raise BadRequest("`as_of` lies in the future")
    try:
        return as_of.astimezone(UTC)
    except OverflowError:
        raise BadRequest("`as_of` lies before the year 1") from None


def _wants_csv(request: Call) -> bool:
    return "text/csv" in request.headers.get("accept", "")


def _csv(body: bytes) -> Response[Any]:
    headers = {**PRIVATE, "Content-Disposition": 'attachment; filename="class.csv"'}
    return Response(body, media_type="text/csv", headers=headers)
