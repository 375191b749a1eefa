"""Rows to lanes: window by window, each attempt to the lane that its student belongs to, in transactions.

To read a long file costs as much as to write it, so that is done by a process of its own; the lanes have an
interpreter nearly for themselves then. What they are sent are bytes that take a microsecond an event to read.
"""

import multiprocessing
import pickle
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from scripts.backfilling.inputs import lane_of
from scripts.backfilling.rows import Accepted, Edge, Rejected, decode
from scripts.backfilling.windows import LAST_PLACE, Part, in_turn, pieces, place_of, put, windows
from scripts.frame.collecting import collect_rarely
from worker.domain.position import Position

_LOOK_SECONDS = 0.2
_TOLD = 5_000  # rows after which is told how far it is


class Looked(msgspec.Struct, tag=True):
    """Some rows were read: those that are no events, how many are, how many of these were done before."""

    rejected: list[Rejected]
    accepted: int
    passed: int


class Dealt(msgspec.Struct, tag=True):
    """One transaction of a lane, by its number: the fields of its piece."""

    lane: int
    high: Position
    packed: bytes


Word: TypeAlias = Looked | Dealt


class Terms(NamedTuple):
    """Up to where each lane is, how many events a transaction takes, how many lines a window has."""

    begun: Sequence[Position]
    size: int
    window: int


Dealing: TypeAlias = Callable[[Terms], Iterator[Word]]


def deal(rows: Iterable[Accepted | Rejected], terms: Terms) -> Iterator[Word]:
    """The transactions of a file's rows: of each window what is read, then those of all lanes in turn."""
    lanes = range(len(terms.begun))
    for before, some in windows(rows, terms.window):
        done = [_done(begun, before) for begun in terms.begun]
        parts: list[Part] = [defaultdict(list) for _ in lanes]
        while together := [*islice(some, _TOLD)]:
            looked = Looked([], 0, 0)
            for row in together:
                if isinstance(row, Rejected):
                    looked.rejected.append(row)
                    continue
                looked.accepted += 1
                lane, place = lane_of(row.event.student_key, len(lanes)), place_of(row.event)
                if place <= done[lane]:
                    looked.passed += 1
                else:
                    put(parts[lane], before, place, row)
            yield looked
        for lane, piece in in_turn([pieces(before, part, terms.size) for part in parts]):
            yield Dealt(lane, *piece)


def _done(begun: Position, before: int) -> int:
    """The last place of a window that a lane has done, by the lines before the window."""
    if begun.sequence == before:
        return begun.sub_sequence
    return LAST_PLACE if begun.sequence > before else 0


def deal_apart(
    path: Path, columns: str, edge: Edge, asked: Callable[[], bool], terms: Terms
) -> Iterator[Word]:
    """What `deal` gives of the rows of a file, which a process of its own reads.

    It ends early when somebody has `asked` it to, and its process ends with it.

    Raises:
        OSError: the file cannot be read, or its reader was killed.
        EOFError: the compressed file ends too early.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_read, args=(sender, path, columns, edge, terms), daemon=True)
    process.start()
    sender.close()
    try:
        while not asked():
            if not receiver.poll(_LOOK_SECONDS):
                continue
            try:
                word = receiver.recv_bytes()
            except EOFError:
                raise OSError(f"the process that was reading {path} has been ended") from None
            if word.startswith(_FAILED):
                raise pickle.loads(word[1:])  # noqa: S301 - a process of our own has written it
            if word == _OVER:
                return
            yield _decoder.decode(word)
    finally:
        process.kill()  # it changes nothing
        process.join()
        receiver.close()


_FAILED, _OVER = b"\xc1", b""
"""Neither begins a message: the one is no MessagePack at all."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Word)


def _read(sender: Connection, path: Path, columns: str, edge: Edge, terms: Terms) -> None:
    """What the process does; where the pipe breaks nobody listens any more. Ctrl-C is for the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_rarely()
    with suppress(BrokenPipeError):
        try:
            for word in deal(decode(path, columns, edge), terms):
                sender.send_bytes(_encoder.encode(word))
        except (OSError, EOFError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            sender.send_bytes(_FAILED + pickle.dumps(error))
        else:
            sender.send_bytes(_OVER)
