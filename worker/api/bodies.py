"""What a client may send as a body: in time, within bounds, in an encoding that we know.

Bounds hold while bytes come in and while they are decompressed, so neither an endless body nor a bomb is ever
held in memory, and a client that dribbles is cut off.
"""

import asyncio
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from worker.api.problems import BadRequest, LengthRequired, TooLarge, TooSlow, Unsupported
from worker.domain import envelope
from worker.domain.errors import Poison, Reason

MOST_BYTES = 1024 * 1024
SECONDS = 10.0
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_PLAIN = ("", "identity")


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """The body, decompressed.

    Raises:
        LengthRequired, TooLarge, TooSlow, Unsupported, BadRequest: as their names say.
    """
    headers = request.headers
    length = headers.get("content-length", "").strip()
    if not length and "transfer-encoding" not in headers:
        raise LengthRequired("send Content-Length")
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in (*_PLAIN, *_MAGIC):
        raise Unsupported("Content-Encoding may be gzip or zstd")
    if length.isdecimal() and len(length.lstrip("0")) > len(str(MOST_BYTES)):
        raise _too_large()
    _bound(int(length) if length.isdecimal() else 0)
    try:
        async with asyncio.timeout(SECONDS):
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                _bound(len(body))
    except TimeoutError:
        raise TooSlow(f"a body must arrive within {SECONDS:.0f} seconds") from None
    except InternalServerException:
        raise BadRequest("the connection was closed before the body was whole") from None
    return inflate(bytes(body), encoding)


def inflate(body: bytes, encoding: str) -> bytes:
    """The content of a body in one of our encodings.

    Raises:
        TooLarge: it holds more than 1 MiB.
        BadRequest: it is not of that encoding, or ends too early.
    """
    if encoding in _PLAIN:
        return body
    try:
        if not body.startswith(_MAGIC[encoding]):
            raise Poison(Reason.BAD_COMPRESSION)
        content = envelope.inflate(body)
    except Poison as poison:
        if poison.reason is Reason.RECORD_TOO_LARGE:
            raise _too_large() from None
        raise BadRequest(f"the body is not whole {encoding}") from None
    _bound(len(content))
    return content


def _bound(size: int) -> None:
    if size > MOST_BYTES:
        raise _too_large()


def _too_large() -> TooLarge:
    return TooLarge("a body holds at most 1 MiB, also once it is decompressed; send several requests")
