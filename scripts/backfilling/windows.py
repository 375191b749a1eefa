"""The rows of a file in an order that suits ledger and projection: in windows, and inside them by state.

An export is in the order of time, so that a transaction of it touches nearly as many states as it has rows,
each loaded, folded, written and raised by itself. Inside a window the attempts of one state stand together,
and those of a course too: the index of the ledger is written in a row instead of everywhere.

The longer a window, the seldomer is a state touched, each time for more than its row costs; but the first
one is read while nobody writes, and the last one written while nobody reads. So a file has two at the least.
A row's place follows from its line and its state alone, so a run that goes on finds every row where it was:

    Position(lines before its window, place of its state in the order of a window)
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from scripts.backfilling.rows import Accepted, Rejected
from worker.batch import Delivered, course_digest
from worker.domain.event import ScoreEvent, register_of
from worker.domain.position import Position

WINDOW = 1 << 19
"""Lines at the most. Three windows are in memory, packed: two are read while the one before is written."""
END = Position(1 << 62)
"""What says that nothing follows: no file has so many lines."""

_LEAST = 1 << 16
_STUDENT_BITS, _COURSE_BITS = 20, 10
LAST_PLACE = 1 << _STUDENT_BITS + _COURSE_BITS

_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(list[Delivered])


class Window(NamedTuple):
    """Some rows of a file, and how many lines come before."""

    before: int
    rows: Iterator[Accepted | Rejected]


class Piece(NamedTuple):
    """What one transaction takes of a window, and where it ends; packed its events are a fifth as large."""

    high: Position
    packed: bytes

    def unpacked(self) -> list[Delivered]:
        """Its events."""
        return _decoder.decode(self.packed)


NOTHING_FOLLOWS = Piece(END, _encoder.encode([]))

Part: TypeAlias = defaultdict[int, list[msgspec.Raw]]
"""One lane's rows of a window, packed, by their places."""


def length(lines: int, most: int = WINDOW) -> int:
    """How many lines each window of a file of so many has."""
    return min(most, max(_LEAST, -(-lines // 2)))


def windows(rows: Iterable[Accepted | Rejected], lines: int) -> Iterator[Window]:
    """Cut rows at every so many lines of the file, whatever became of the lines between them."""
    for number, some in itertools.groupby(rows, lambda row: (row.line - 1) // lines):
        yield Window(number * lines, some)


def place_of(event: ScoreEvent) -> int:
    """Where a state stands in a window, from 1: states of a course together; two may share a place."""
    course = int.from_bytes(course_digest(event.course_id)) & ((1 << _COURSE_BITS) - 1)
    student = (event.student_key.int >> 64) & ((1 << _STUDENT_BITS) - 1)
    return (course << _STUDENT_BITS) + student + 1


def put(part: Part, before: int, place: int, row: Accepted) -> None:
    """Add a row to a lane's part of the window that so many lines come before."""
    line, event = row
    delivered = Delivered(event, register_of(event), Position(before, place), line - before)
    part[place].append(msgspec.Raw(_encoder.encode(delivered)))


def pieces(before: int, part: Mapping[int, Sequence[msgspec.Raw]], size: int) -> Iterator[Piece]:
    """The transactions of one lane's part of a window: of about that size, no place in two of them.

    Args:
        before: how many lines come before the window.
        part: its rows, at each place in the order of the lines.
        size: events after which a transaction ends with the next place.
    """
    packed: list[msgspec.Raw] = []
    at = 0
    for place in sorted(part):
        if len(packed) >= size:
            yield Piece(Position(before, at), _encoder.encode(packed))
            packed = []
        packed += part[place]
        at = place
    if packed:
        yield Piece(Position(before, at), _encoder.encode(packed))


def in_turn(cut: Sequence[Iterator[Piece]]) -> Iterator[tuple[int, Piece]]:
    """A piece for each lane, then the next for each, so that none waits for all of another's."""
    for some in itertools.zip_longest(*cut):
        for lane, piece in enumerate(some):
            if piece is not None:
                yield lane, piece
