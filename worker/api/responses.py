"""How an answer leaves: encoded once, tagged by what it says, and safe in every browser and cache.

`as_of` and `stale_seconds` change with every moment; a tag over them would never be met again. So the tag is
weak and leaves them out, and a 304 carries them in headers.
"""

import hashlib
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar import Response

_NOTHING = b"null"
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
_encode = msgspec.json.Encoder().encode


class Told(NamedTuple):
    """An answer as it leaves; a 304 has no body."""

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes | None


def tagged(answer: msgspec.Struct, known: str) -> Told:
    """The answer, or 304 where the client has it already; `known` is its If-None-Match."""
    body = _encode(answer)
    as_of, stale = (_encode(getattr(answer, name, None)) for name in ("as_of", "stale_seconds"))
    # no text can look like a member: its quotes would be escaped
    steady = body.replace(b'"as_of":%s' % as_of, b"", 1).replace(b'"stale_seconds":%s' % stale, b"", 1)
    tag = f'W/"{hashlib.blake2b(steady, digest_size=12).hexdigest()}"'
    headers = {**PRIVATE, "ETag": tag}
    if as_of != _NOTHING:
        headers["X-As-Of"] = as_of.decode().strip('"')
    if stale != _NOTHING:
        headers["X-Stale-Seconds"] = stale.decode()
    if tag in [sent.strip() for sent in known.split(",")]:
        return Told(HTTPStatus.NOT_MODIFIED, headers, None)
    return Told(HTTPStatus.OK, headers, body)


def response(told: Told) -> Response[Any]:
    """The same for the framework."""
    if told.body is None:
        return Response(None, status_code=told.status, headers=told.headers)
    return Response(told.body, media_type="application/json", headers=told.headers)


def plain(answer: msgspec.Struct, status: int = 200) -> Response[Any]:
    """An answer that nobody keeps."""
    return Response(
        _encode(answer),
        status_code=status,
        media_type="application/json",
        headers={**PRIVATE, "Cache-Control": "no-store"},
    )
