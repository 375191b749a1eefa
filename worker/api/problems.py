"""Errors as problem documents (RFC 9457): a status, what it means, and what to do about it.

Nothing of a request is ever quoted in one, and nothing of an unexpected error is told.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from worker.domain.errors import LedgerUnavailable, Unavailable
from worker.logs import redact

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
_SPOKEN = {"first": "from", "last": "to", "purpose": "X-Purpose"}
"""Parameters by the name a client knows, where the language does not let us use it."""


class Problem(Exception):
    """A refusal with its status; `detail` is for the caller to read, `members` extend the document."""

    status = HTTPStatus.BAD_REQUEST
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class BadRequest(Problem):
    """The request cannot be read."""


class Unauthorized(Problem):
    """No identity, or none that holds."""

    status = HTTPStatus.UNAUTHORIZED
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """An identity without this right."""

    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    """Nothing of that name, for this caller."""

    status = HTTPStatus.NOT_FOUND


class LengthRequired(Problem):
    """A body whose length is not told."""

    status = HTTPStatus.LENGTH_REQUIRED


class TooLarge(Problem):
    """More than one request may hold."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class TooSlow(Problem):
    """The body did not come in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class Unsupported(Problem):
    """A type or an encoding that is not known here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class NothingValid(Problem):
    """Not one event of the request is valid."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooMany(Problem):
    """More of this caller than its share, while others are served."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


class Away(Problem):
    """A dependency is away; the same request will succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_SECONDS)}


def on_problem(request: Request[Any, Any, Any], error: Problem) -> Response[dict[str, Any]]:
    """A refusal of our own."""
    return document(request, error.status, error.detail, error.headers, error.members)


def on_unavailable(request: Request[Any, Any, Any], error: Unavailable) -> Response[dict[str, Any]]:
    """A dependency that is away."""
    name = "the ledger" if isinstance(error, LedgerUnavailable) else "a dependency"
    detail = f"{name} does not answer; send the same request again after Retry-After seconds"
    return document(request, HTTPStatus.SERVICE_UNAVAILABLE, detail, Away.headers)


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """A refusal of the framework: the path, the method, a parameter."""
    status = HTTPStatus(error.status_code)
    if isinstance(error, NotFoundException):
        detail = "no such path; GET /schema lists them"
    elif isinstance(error, MethodNotAllowedException):
        detail = "this path does not take that method; GET /schema lists them"
    elif isinstance(error, ValidationException):
        keys = {str(found.get("key", "")) for found in error.extra or [] if isinstance(found, dict)}
        names = ", ".join(sorted(_SPOKEN.get(key, key) for key in keys if key))
        detail = f"wrong or missing: {names or 'a parameter'}; GET /schema tells what fits"
    elif status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "a body holds at most 1 MiB; send several requests"
    elif isinstance(error, ClientException):
        detail = "the request cannot be read; GET /schema tells what fits"
    else:
        return on_anything(request, error)
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() in ("allow", "retry-after")}
    return document(request, status, detail, headers)


def on_anything(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """What nobody thought of: told to the log by type and place, to the caller not at all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown place"
    _log.error("unexpected error", extra={"error": redact(error), "place": place, "path": request.url.path})
    detail = "an error of ours; the request id helps to find it"
    return document(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def document(
    request: Request[Any, Any, Any],
    status: HTTPStatus,
    detail: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response[dict[str, Any]]:
    """The problem document of a request."""
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "request_id": request.scope.get("state", {}).get("request_id", ""),
        **(members or {}),
    }
    return Response(content, status_code=status.value, media_type=MEDIA_TYPE, headers=dict(headers or {}))


HANDLERS: Mapping[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]] = {
    Problem: on_problem,
    Unavailable: on_unavailable,
    HTTPException: on_http,
    Exception: on_anything,
}


def told(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The problem document of an error, by the nearest of its kinds; as the framework chooses."""
    return next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)(request, error)
