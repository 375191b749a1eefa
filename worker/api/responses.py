"""How an answer leaves: encoded once, tagged by what it says, and safe in every browser and cache.

`as_of` and `stale_seconds` change with every moment; a tag over them would never be met again. So the tag is
weak and leaves them out, and a 304 carries them in headers.
"""

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response

_MOMENTARY = ("as_of", "stale_seconds")
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
_encode = msgspec.json.Encoder().encode


def tagged(request: Request[Any, Any, Any], answer: msgspec.Struct) -> Response[Any]:
    """The answer, or 304 where the client has it already."""
    body = steady = _encode(answer)
    as_of: datetime | None = getattr(answer, "as_of", None)
    stale: float | None = getattr(answer, "stale_seconds", None)
    for name in _MOMENTARY:
        # no text can look like a member: its quotes would be escaped
        steady = steady.replace(b'"%s":%s' % (name.encode(), _encode(getattr(answer, name, None))), b"", 1)
    tag = f'W/"{hashlib.blake2b(steady, digest_size=12).hexdigest()}"'
    headers = {**PRIVATE, "ETag": tag}
    if as_of is not None:
        headers["X-As-Of"] = as_of.isoformat().replace("+00:00", "Z")
    if stale is not None:
        headers["X-Stale-Seconds"] = str(stale)
    if tag in [sent.strip() for sent in request.headers.get("if-none-match", "").split(",")]:
        return Response(None, status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def plain(answer: msgspec.Struct, status: int = 200) -> Response[Any]:
    """An answer that nobody keeps."""
    return Response(
        _encode(answer),
        status_code=status,
        media_type="application/json",
        headers={**PRIVATE, "Cache-Control": "no-store"},
    )
