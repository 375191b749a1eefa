"""The rows of a file in an order that suits ledger and projection: in windows, and inside them by state.

An export is in the order of time, so that a transaction of it touches nearly as many states as it has rows,
each loaded, folded, written and raised by itself. Inside a window the attempts of one state stand together,
and those of a course too: the index of the ledger is written in a row instead of everywhere.

A row's place follows from its line and its state alone, so a run that goes on finds every row where it was:

    Position(lines before its window, place of its state in the order of a window)
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from scripts.backfilling.rows import Accepted, Rejected
from worker.batch import Delivered, course_digest
from worker.domain.event import ScoreEvent, register_of
from worker.domain.position import Position

WINDOW = 1 << 16
"""Lines. Two windows are in memory: one is read while the one before is written."""
END = Position(1 << 62)
"""What says that nothing follows: no file has so many lines."""

_STUDENT_BITS, _COURSE_BITS = 20, 10


class Window(NamedTuple):
    """Some rows of a file, and how many lines come before."""

    before: int
    rows: Iterator[Accepted | Rejected]


class Piece(NamedTuple):
    """What one transaction takes of a window, and where it ends."""

    high: Position
    events: list[Delivered]


def windows(rows: Iterable[Accepted | Rejected], lines: int = WINDOW) -> Iterator[Window]:
    """Cut rows at every so many lines of the file, whatever became of the lines between them."""
    for number, some in itertools.groupby(rows, lambda row: (row.line - 1) // lines):
        yield Window(number * lines, some)


def place_of(event: ScoreEvent) -> int:
    """Where a state stands in a window, from 1: states of a course together; two may share a place."""
    course = int.from_bytes(course_digest(event.course_id)) & ((1 << _COURSE_BITS) - 1)
    student = (event.student_key.int >> 64) & ((1 << _STUDENT_BITS) - 1)
    return (course << _STUDENT_BITS) + student + 1


def pieces(before: int, placed: list[tuple[int, Accepted]], size: int) -> Iterator[Piece]:
    """The transactions of one lane's part of a window: of about that size, no place in two of them.

    Args:
        before: how many lines come before the window.
        placed: its rows with their places, in the order of the lines; sorted by this call.
        size: events after which a transaction ends with the next place.
    """
    placed.sort(key=itemgetter(0))
    events: list[Delivered] = []
    at = Position(before)
    for place, row in placed:
        if place != at.sub_sequence:
            if len(events) >= size:
                yield Piece(at, events)
                events = []
            at = Position(before, place)
        line, event = row
        events.append(Delivered(event, register_of(event), at, line - before))
    if events:
        yield Piece(at, events)


def in_turn(cut: Sequence[Iterator[Piece]]) -> Iterator[tuple[int, Piece]]:
    """A piece for each lane, then the next for each, so that none waits for all of another's."""
    for some in itertools.zip_longest(*cut):
        for lane, piece in enumerate(some):
            if piece is not None:
                yield lane, piece
