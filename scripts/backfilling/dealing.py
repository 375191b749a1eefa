"""Rows to lanes: window by window, each attempt to the lane that its student belongs to, in transactions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

from scripts.backfilling.inputs import lane_of
from scripts.backfilling.rows import Accepted, Rejected
from scripts.backfilling.windows import LAST_PLACE, Part, Piece, in_turn, pieces, place_of, windows
from worker.domain.position import Position

_TOLD = 5_000  # rows after which is told how far it is


class Looked(NamedTuple):
    """Some rows were read, to a line: those that are no events, how many are, how many of these were done."""

    line: int
    rejected: Sequence[Rejected]
    accepted: int
    passed: int


class Dealt(NamedTuple):
    """One transaction of a lane, by its number."""

    lane: int
    piece: Piece


Word: TypeAlias = Looked | Dealt


class Terms(NamedTuple):
    """Up to where each lane is, how many events a transaction takes, how many lines a window has."""

    begun: Sequence[Position]
    size: int
    window: int


def deal(rows: Iterable[Accepted | Rejected], terms: Terms) -> Iterator[Word]:
    """The transactions of a file's rows: of each window what is read, then those of all lanes in turn."""
    lanes = len(terms.begun)
    for before, some in windows(rows, terms.window):
        done = [_done(begun, before) for begun in terms.begun]
        parts: list[Part] = [defaultdict(list) for _ in range(lanes)]
        while together := [*islice(some, _TOLD)]:
            rejected = list[Rejected]()
            passed = 0
            for row in together:
                if isinstance(row, Rejected):
                    rejected.append(row)
                    continue
                event = row.event
                lane, place = lane_of(event.student_key, lanes), place_of(event)
                if place <= done[lane]:
                    passed += 1
                else:
                    parts[lane][place].append(row)
            yield Looked(together[-1].line, rejected, len(together) - len(rejected), passed)
        for lane, piece in in_turn([pieces(before, part, terms.size) for part in parts]):
            yield Dealt(lane, piece)


def _done(begun: Position, before: int) -> int:
    """The last place of a window that a lane has done, by the lines before the window."""
    if begun.sequence == before:
        return begun.sub_sequence
    return LAST_PLACE if begun.sequence > before else 0
