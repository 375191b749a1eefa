"""Rows to lanes: window by window, each attempt to the lane that its student belongs to, in transactions.

To read a long file costs as much as to write it, so that is done by processes of their own, which take turns
at its windows; the lanes have an interpreter nearly for themselves then. What they are sent are bytes that
take a microsecond an event to read.
"""

import multiprocessing
import pickle
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from scripts.backfilling.inputs import lane_of
from scripts.backfilling.rows import Accepted, Edge, Rejected, decode
from scripts.backfilling.windows import LAST_PLACE, Part, in_turn, pieces, place_of, put, windows
from scripts.frame.collecting import collect_rarely
from worker.domain.position import Position
from worker.local.event_files import Turn

_READERS = 2
_LOOK_SECONDS = 0.2
_TOLD = 5_000  # rows after which is told how far it is


class Begun(msgspec.Struct, tag=True):
    """What follows is of the window that so many lines come before."""

    before: int


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


Word: TypeAlias = Begun | Looked | Dealt


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
        yield Begun(before)
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


class Unread(NamedTuple):
    """A file that others shall read: where it is, how, and how many lines it has."""

    path: Path
    columns: str
    edge: Edge
    lines: int


def _done(begun: Position, before: int) -> int:
    """The last place of a window that a lane has done, by the lines before the window."""
    if begun.sequence == before:
        return begun.sub_sequence
    return LAST_PLACE if begun.sequence > before else 0


def deal_apart(unread: Unread, asked: Callable[[], bool], terms: Terms) -> Iterator[Word]:
    """What `deal` gives of the rows of a file, whose windows two processes read by turns.

    It ends early when somebody has `asked` it to, and its processes end with it.

    Raises:
        OSError: the file cannot be read, or one of its readers was killed.
        EOFError: the compressed file ends too early.
    """
    context = multiprocessing.get_context("spawn")
    readers: list[_Reader] = []
    try:
        each = min(_READERS, -(-unread.lines // terms.window))
        for number in range(each):
            receiver, sender = context.Pipe(duplex=False)
            given = (sender, unread, terms, Turn(number, each, terms.window))
            readers.append(_Reader(context.Process(target=_read, args=given, daemon=True), receiver))
            readers[-1].process.start()
            sender.close()
        yield from _by_turns([reader.words(unread.path, asked) for reader in readers], asked)
    finally:
        for reader in readers:
            reader.end()


def _by_turns(reading: Sequence[Iterator[Word]], asked: Callable[[], bool]) -> Iterator[Word]:
    """The words of all readers, window by window in the order of the file."""
    begun = {word.before: words for words in reading for word in islice(words, 1) if isinstance(word, Begun)}
    while begun and not asked():
        words = begun.pop(min(begun))
        for word in words:
            if isinstance(word, Begun):
                begun[word.before] = words
                break
            yield word


class _Reader(NamedTuple):
    process: BaseProcess
    receiver: Connection

    def words(self, path: Path, asked: Callable[[], bool]) -> Iterator[Word]:
        """What it sends, until it is done or somebody asked for an end."""
        while not asked():
            if not self.receiver.poll(_LOOK_SECONDS):
                continue
            try:
                word = self.receiver.recv_bytes()
            except EOFError:
                raise OSError(f"the process that was reading {path} has been ended") from None
            if word.startswith(_FAILED):
                raise pickle.loads(word[1:])  # noqa: S301 - a process of our own has written it
            if word == _OVER:
                return
            yield _decoder.decode(word)

    def end(self) -> None:
        """It changes nothing, so it may end anywhere."""
        self.process.kill()
        self.process.join()
        self.receiver.close()


_FAILED, _OVER = b"\xc1", b""
"""Neither begins a message: the one is no MessagePack at all."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Word)


def _read(sender: Connection, unread: Unread, terms: Terms, turn: Turn) -> None:
    """What a process does; where the pipe breaks nobody listens any more. Ctrl-C is for the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_rarely()
    with suppress(BrokenPipeError):
        try:
            for word in deal(decode(*unread[:3], turn), terms):
                sender.send_bytes(_encoder.encode(word))
        except (OSError, EOFError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            sender.send_bytes(_FAILED + pickle.dumps(error))
        else:
            sender.send_bytes(_OVER)
