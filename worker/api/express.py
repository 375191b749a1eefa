"""The short way for one student in one course: the read that comes a thousand times a second.

Finding a route, reading parameters into a model and building a response cost the framework more than all of
the read itself. So a request of the plainest form is answered here, by the same functions that its route
calls. Whatever is not of that form, or must be refused before anything is looked up, goes on to the
framework untouched: it describes the route, and its word counts.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from litestar import Litestar, Request
from litestar.types import Receive, Scope, Send

from worker.api import access, looking, problems
from worker.api.access import Caller, Grant
from worker.api.problems import Forbidden
from worker.api.requests import bearer_of
from worker.api.responses import Told
from worker.api.scores import Asked
from worker.api.service import Service

PATH = "/metrics"
_NAMES = {"student_id", "course_id"}
_LONGEST_ID = 256


class _Look(NamedTuple):
    caller: Caller
    grant: Grant
    student_id: str
    course_id: str
    known: str | None


class Express:
    """The application with the short way in front of it."""

    def __init__(self, app: Litestar) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        service: Service = self._app.state.service
        look = _read(service, scope)
        if look is None:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = PATH
        try:
            key = await service.known_as(look.student_id, look.caller.realm)
            whole = Asked(look.caller, look.grant, None, look.student_id, key)
            told = await looking.in_course(service, whole, look.course_id, None, look.known)
        except Exception as error:
            await _refuse(error, scope, receive, send)
            return
        await send({"type": "http.response.start", "status": told.status, "headers": _headers(told)})
        await send({"type": "http.response.body", "body": told.body or b"", "more_body": False})


def _read(service: Service, scope: Scope) -> _Look | None:
    """What is asked and by whom; None for whatever the framework had better look at."""
    sent = known = None
    for name, value in scope["headers"]:
        if name == b"authorization" and sent is None:
            sent = value
        elif name == b"if-none-match" and known is None:
            known = value.decode("latin-1")
        elif name in (b"authorization", b"if-none-match", b"x-purpose"):
            return None
    token = None if sent is None else bearer_of(sent.decode("latin-1"))
    caller = None if token is None else service.doorkeeper.remembered(token)
    if caller is None:
        return None
    # as the framework reads it
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    if len(pairs) != len(_NAMES) or given.keys() != _NAMES:
        return None
    if not all(0 < len(value) <= _LONGEST_ID and "\x00" not in value for value in given.values()):
        return None
    student_id = looking.own_id(caller, given["student_id"])
    course_id = given["course_id"]
    try:
        grant = access.to_student(caller, student_id, course_id, None)
    except Forbidden:
        return None
    return _Look(caller, grant, student_id, course_id, known)


def _headers(told: Told) -> list[tuple[bytes, bytes]]:
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    if told.body is not None:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(told.body)).encode()),
        ]
    return headers


async def _refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
    response = problems.told(request, error).to_asgi_response(None, request)
    await response(scope, receive, send)
