"""A long file by several processes: each reads it, and takes the rows of its own students all the way.

To judge a row, to fold and to write it is work for an interpreter, and one interpreter fills one core. Rows
that went from one process to another would cost more on their way than the lines that each passes over.
"""

import faulthandler
import heapq
import multiprocessing
import os
import pickle
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.backfilling.filling import Filled, Filler
from scripts.backfilling.inputs import SHARES
from scripts.backfilling.lanes import Stopped, pause_of
from scripts.backfilling.rows import Edge, Rejected, decode
from scripts.frame.collecting import collect_rarely
from scripts.frame.script import Refused
from scripts.frame.stopping import Stopping
from scripts.jobs.tally import Tally
from worker import wiring_jobs
from worker.batch import Source
from worker.domain.errors import Fatal, Unavailable
from worker.local.event_files import Share
from worker.ports import Pause
from worker.settings import load
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Policy, World
from worker.stream.retrying import Backoff

_LOOK_SECONDS = 0.2
_SWITCH_SECONDS = 0.001
"""A lane that hears from its server waits at most so long for the thread that is computing."""
_NO_LINE_FOLLOWS = 1 << 62


class Unread(NamedTuple):
    """A file that others shall read: where it is, and how its rows become events."""

    path: Path
    columns: str
    edge: Edge


class Charge(NamedTuple):
    """What one process does: its share of a file, into which sources, and how."""

    unread: Unread
    share: Share
    sources: Sequence[Source]
    policy: Policy


def fill_apart(
    unread: Unread, sources: Sequence[Source], policy: Policy, stopping: Stopping
) -> Generator[Filled]:
    """Every row to the lane of its student, by processes of their own; see `Filler.fill`.

    What is rejected comes in the order of the lines.

    Raises:
        OSError: the file cannot be read, or one of the processes was ended.
        EOFError: the compressed file ends too early.
        Exception: what ended one of them.
    """
    context = multiprocessing.get_context("spawn")
    each = len(sources) // SHARES
    writers: list[_Writer] = []
    try:
        for number in range(SHARES):
            (words, said), (heard, orders) = context.Pipe(duplex=False), context.Pipe(duplex=False)
            own = sources[number * each : (number + 1) * each]
            charge = Charge(unread, Share(number, SHARES), own, policy)
            process = context.Process(target=_fill, args=(said, heard, charge), daemon=True)
            process.start()
            writers.append(_Writer(process, words, orders))
            said.close()
            heard.close()
        yield from in_order(_heard(writers, unread.path, stopping), len(writers))
    finally:
        for writer in writers:
            writer.end()


class _Writer(NamedTuple):
    process: BaseProcess
    words: Connection
    orders: Connection

    def stop(self) -> None:
        """Ask it to end where the work can be resumed."""
        with suppress(BrokenPipeError):
            self.orders.send_bytes(_STOP)

    def how(self) -> str:
        """How one has ended that nobody told to."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL:
            return "it was killed; is there enough memory?"
        return f"by signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """It may end anywhere: what it has begun the next run finishes."""
        self.process.kill()
        self.process.join()
        self.words.close()
        self.orders.close()


def _heard(writers: Sequence[_Writer], path: Path, stopping: Stopping) -> Iterator[tuple[Connection, Filled]]:
    """The words of all who are at work, until the last has ended, and who has said each."""
    at_work, told = {writer.words: writer for writer in writers}, False
    while at_work:
        if stopping.asked and not told:
            told = True
            for writer in at_work.values():
                writer.stop()
        ready = wait(list(at_work), _LOOK_SECONDS)
        for words, writer in [(words, writer) for words, writer in at_work.items() if words in ready]:
            try:
                word = words.recv_bytes()
            except EOFError:
                raise OSError(f"a process that was writing {path} has been ended ({writer.how()})") from None
            if word.startswith(_FAILED):
                raise pickle.loads(word[1:])  # noqa: S301 - a process of our own has written it
            if word == _OVER:
                del at_work[words]
                yield words, Filled(_NO_LINE_FOLLOWS, (), 0, 0)
            else:
                yield words, _decoder.decode(word)


def in_order(words: Iterable[tuple[Hashable, Filled]], of: int) -> Iterator[Filled]:
    """The words of so many, what is rejected in the order of its lines: held until all have read further."""
    held: list[Rejected] = []
    lines: dict[Hashable, int] = {}
    for who, word in words:
        lines[who] = word.line
        for row in word.rejected:
            heapq.heappush(held, row)
        line = min(lines.values()) if len(lines) == of else 0
        rejected = []
        while held and held[0].line <= line:
            rejected.append(heapq.heappop(held))
        yield Filled(line, rejected, word.accepted, word.moved)


_STOP, _OVER, _FAILED = b"stop", b"", b"\xc1"
"""What is said beside words; none of it begins one, and the last is no MessagePack at all."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Filled)


def _fill(words: Connection, orders: Connection, charge: Charge) -> None:
    """What a process does. Signals are for the first one, which tells the others."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    collect_rarely()
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = Stopping()
    threading.Thread(target=_listen, args=(orders, stopping), daemon=True).start()
    path, columns, edge = charge.unread
    try:
        with _worlds(len(charge.sources), stopping) as worlds:
            filler = Filler(worlds, Decoder(edge.identity, edge.realm), charge.policy, stopping)
            for word in filler.fill(charge.sources, decode(path, columns, edge, charge.share)):
                words.send_bytes(_encoder.encode(word))
    except Stopped:
        words.send_bytes(_OVER)
    except Exception as error:
        words.send_bytes(_FAILED + _packed(error))
    else:
        words.send_bytes(_OVER)


@contextmanager
def _worlds(lanes: int, stopping: Stopping) -> Iterator[list[World]]:
    settings, pause = load(os.environ), pause_of(stopping)
    with ExitStack() as held:
        worlds = [
            _patiently(lambda: wiring_jobs.world(settings, Tally(), pause), pause) for _ in range(lanes)
        ]
        for world in worlds:
            held.callback(world.ledger.close)
            held.callback(world.projection.close)
        yield worlds


def _patiently(step: Callable[[], World], pause: Pause) -> World:
    delays = Backoff().delays(random.Random())
    while True:
        try:
            return step()
        except Unavailable as outage:
            pause(next(delays), outage)


def _listen(orders: Connection, stopping: Stopping) -> None:
    """Until the first process asks to stop, or is no more."""
    try:
        orders.recv_bytes()
    except EOFError:
        os._exit(1)  # of what is begun, the next run finishes what was not committed
    stopping.ask()


def _packed(error: Exception) -> bytes:
    if isinstance(error, (OSError, EOFError, Unavailable, Fatal, Refused)):
        return pickle.dumps(error)
    traceback.print_tb(error.__traceback__)  # known here alone; what it says may quote a row
    return pickle.dumps(Fatal(f"{type(error).__name__} in a process that was writing, told above"))
