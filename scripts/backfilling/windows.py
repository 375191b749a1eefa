"""The rows of a file in an order that suits ledger and projection: in windows, and inside them by state.

An export is in the order of time, so that a transaction of it touches nearly as many states as it has rows,
each loaded, folded, written and raised by itself. Inside a window the attempts of one state stand together,
and those of a course too: the index of the ledger is written in a row instead of everywhere.

The longer a window, the seldomer is a state touched, each time for more than its row costs; its rows are in
memory until they are written. A row's place follows from its line and its state alone, so a run that goes on
finds every row where it was:

    Position(lines before its window, place of its state in the order of a window)
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from scripts.backfilling.rows import Accepted, Rejected
from worker.batch import Delivered, course_digest
from worker.domain.event import ScoreEvent, register_of
from worker.domain.position import Position

WINDOW = 1 << 20
"""Lines of the file; half a kilobyte of memory each."""
END = Position(1 << 62)
"""What says that nothing follows: no file has so many lines."""

_STUDENT_BITS, _COURSE_BITS = 20, 10
LAST_PLACE = 1 << _STUDENT_BITS + _COURSE_BITS


class Window(NamedTuple):
    """Some rows of a file, and how many lines come before."""

    before: int
    rows: Iterator[Accepted | Rejected]


class Piece(NamedTuple):
    """What one transaction takes of a window: where it ends, and its rows by their places."""

    high: Position
    places: Sequence[tuple[Position, Sequence[Accepted]]]

    def events(self) -> list[Delivered]:
        """Its events; a row is known by its line inside the window."""
        before = self.high.sequence
        return [
            Delivered(event, register_of(event), position, line - before)
            for position, rows in self.places
            for line, event in rows
        ]


NOTHING_FOLLOWS = Piece(END, ())

Part: TypeAlias = dict[int, list[Accepted]]
"""One lane's rows of a window, by their places."""


def windows(rows: Iterable[Accepted | Rejected], lines: int = WINDOW) -> Iterator[Window]:
    """Cut rows at every so many lines of the file, whatever became of the lines between them."""
    for number, some in itertools.groupby(rows, lambda row: (row[0] - 1) // lines):
        yield Window(number * lines, some)


def place_of(event: ScoreEvent) -> int:
    """Where a state stands in a window, from 1: states of a course together; two may share a place."""
    student = (event.student_key.int >> 64) & ((1 << _STUDENT_BITS) - 1)
    return _first_place(event.course_id) + student


@functools.lru_cache(1 << 12)
def _first_place(course_id: str) -> int:
    course = int.from_bytes(course_digest(course_id)) & ((1 << _COURSE_BITS) - 1)
    return (course << _STUDENT_BITS) + 1


def pieces(before: int, part: Part, size: int) -> Iterator[Piece]:
    """The transactions of one lane's part of a window: of about that size, no place in two of them.

    Args:
        before: how many lines come before the window.
        part: its rows, at each place in the order of the lines; what is given out is taken from it.
        size: events after which a transaction ends with the next place.
    """
    places: list[tuple[Position, list[Accepted]]] = []
    count = 0
    for place in sorted(part):
        rows = part.pop(place)
        places.append((Position(before, place), rows))
        count += len(rows)
        if count >= size:
            yield Piece(places[-1][0], places)
            places, count = [], 0
    if places:
        yield Piece(places[-1][0], places)


def in_turn(cut: Sequence[Iterator[Piece]]) -> Iterator[tuple[int, Piece]]:
    """A piece for each lane, then the next for each, so that none waits for all of another's."""
    for some in itertools.zip_longest(*cut):
        for lane, piece in enumerate(some):
            if piece is not None:
                yield lane, piece
