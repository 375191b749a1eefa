"""A batch as PostgreSQL's binary COPY takes it.

psycopg would write such rows value by value, which was among the largest costs of an event; the layout of a
row is known here, so one `struct` packs its fixed fields together. Every field is its length and its content,
big-endian (PostgreSQL's manual, COPY, "Binary Format").
"""

import functools
import struct
from collections.abc import Sequence
from datetime import UTC, datetime

from worker.adapters.aurora.outcomes import Place
from worker.batch import Batch
from worker.domain.event import micros

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_FIELDS = 15
_NULL = b"\xff\xff\xff\xff"
_SCORE = struct.Struct(">id")
_LENGTH = struct.Struct(">i")
_FIXED = struct.Struct(">h ii ii ii iq iq id iq iq ih ih i16s")
"""Count of fields; order, course, student; key, check; maximum; occurred, graded; kind, revision; digest."""
MILLENNIUM = micros(datetime(2000, 1, 1, tzinfo=UTC))
"""A timestamptz is its microseconds since 2000."""


def staged(batch: Batch, places: Sequence[Place]) -> bytes:
    """The whole input of the statement `stage`: a row an event, numbered in their order.

    `places` are those of the batch's states.
    """
    pieces = [_SIGNATURE]
    pack, text = _FIXED.pack, _text
    for order, (state, delivered) in enumerate(zip(batch.at, batch.events, strict=True)):
        event, register = delivered.event, delivered.register
        course_ref, student_ref = places[state]
        score = event.score
        # fmt: off
        fixed = pack(
            _FIELDS, 4, order, 4, course_ref, 4, student_ref, 8, register.key, 8, register.check,
            8, event.max_score, 8, register.occurred - MILLENNIUM, 8, register.graded - MILLENNIUM,
            2, event.kind, 2, register.rev, 16, register.digest,
        )
        # fmt: on
        pieces += (
            fixed,
            _NULL if score is None else _SCORE.pack(8, score),
            text(register.event_key),
            text(event.item_id),
            text(event.source),
        )
    pieces.append(_TRAILER)
    return b"".join(pieces)


@functools.lru_cache(1 << 14)
def _text(value: str) -> bytes:
    """Items and sources come again and again."""
    content = value.encode()
    return _LENGTH.pack(len(content)) + content
