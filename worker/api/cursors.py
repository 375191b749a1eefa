"""Where a listing goes on: the place of its last line, opaque to clients.

An altered cursor moves within the same listing only, so it needs no seal; what is no place at all is refused.
"""

import base64
import binascii
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from worker.api.problems import BadRequest

T = TypeVar("T")

Moment = Annotated[datetime, Meta(tz=True)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a place is made of: only what the ledger's columns can be compared with."""


def encode(place: object) -> str:
    """A place as a text for a URL."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def decode(cursor: str | None, form: type[T]) -> T | None:
    """The place in a cursor.

    Raises:
        BadRequest: it is none of ours.
    """
    if cursor is None:
        return None
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.msgpack.decode(packed, type=form)  # noqa: TID251 - a form has no Struct
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise BadRequest("this cursor is not one of ours; start again without it") from None
