"""What every route asks of a request first: who sent it, and whether it says what it means."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request

from worker.api.access import Caller
from worker.api.problems import BadRequest, Unauthorized
from worker.api.schema import SHORTEST_PURPOSE
from worker.api.service import Service
from worker.api.tokens import CALLER_HEADER, SECRET_HEADER

Call = Request[Any, Any, Any]

_BEARER = "bearer "
_LONGEST_TOKEN = 8192


def service_of(request: Call) -> Service:
    """The service that the application started."""
    service: Service = request.app.state.service
    return service


async def caller_of(request: Call) -> Caller:
    """Who sent this.

    Raises:
        Unauthorized, Forbidden, Away: as `Doorkeeper`.
    """
    door = service_of(request).doorkeeper
    sent = request.headers.getall("authorization", [])
    if not sent:
        arns = request.headers.getall(CALLER_HEADER, [])
        return door.by_gateway(arns, request.headers.getall(SECRET_HEADER, []))
    token = bearer_of(sent[0]) if len(sent) == 1 else None
    if token is None:
        raise Unauthorized("send one header Authorization: Bearer with your token")
    caller = door.remembered(token)
    return caller if caller is not None else await service_of(request).check(token)


def bearer_of(authorization: str) -> str | None:
    """The token in a header; None where there is none."""
    if len(authorization) > _LONGEST_TOKEN or authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return authorization[len(_BEARER) :].strip()


def purpose_of(request: Call, purpose: str | None) -> str | None:
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
    if len(request.headers.getall("x-purpose")) > 1 or len(text) < SHORTEST_PURPOSE or not text.isprintable():
        raise BadRequest("say once in X-Purpose why you look, in 8 to 200 characters of text")
    return text


def only(request: Call, *names: str) -> None:
    """Refuse what is not known here or said twice: a misspelt filter must not show more than was meant."""
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = sum(name not in names for name in given) + len(given) - len(set(given))
    if wrong:
        known = ", ".join(names) or "no parameters"
        raise BadRequest(f"this request takes {known}, each once; GET /schema tells more")


def earlier(as_of: datetime | None, now: datetime) -> datetime | None:
    """An earlier moment in UTC.

    Raises:
        BadRequest: it has no offset, or is none that has been.
    """
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


def wants_csv(request: Call) -> bool:
    """Whether a table is asked for."""
    return "text/csv" in request.headers.get("accept", "")
