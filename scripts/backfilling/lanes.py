"""Lanes into ledger and projection: while one waits for a server, another one folds.

Each has its own connections, its own thread and its own source in the ledger, whose progress is the only
truth about what is done. A student belongs to one lane for ever, and a lane takes its rows in the order
of their places: of its students, what lies up to its progress is done and everything after it is not.
"""

import queue
import threading

from scripts.backfilling.windows import Piece
from scripts.frame.script import Refused
from scripts.frame.stopping import Stopping
from worker.batch import Batch, Source
from worker.domain.errors import PoisonFlood
from worker.domain.position import Position
from worker.ports import Ledger, Pause
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, Policy, World
from worker.stream.waiting import Waiting

_LOOK_SECONDS = 0.2


class Stopped(Exception):
    """Somebody asked to stop, or the other lane has failed."""


def _begun(source: Source, ledger: Ledger) -> Position:
    """From where a source goes on: what was committed and not projected is taken again, as redelivered.

    A closed source was projected to its end; opened again, it has no floor that says so.
    """
    before = ledger.progress().get(source)
    opened = ledger.open_source(source)
    return opened.committed if before is not None and before.closed else opened.projected


class NoStream:
    """The checkpointer of a source that no stream waits for: the ledger's floor is all there is to settle."""

    def checkpoint(self, position: Position) -> None:
        """Nobody to tell."""


def pause_of(stopping: Stopping) -> Pause:
    """Waiting out an outage, that ends at once when somebody asks to stop.

    A flood of refused rows is no outage: it ends the run.
    """

    def pause(seconds: float, because: Exception) -> None:
        if isinstance(because, PoisonFlood):
            raise Refused(
                f"the database refuses too many rows ({because}); look at the dead letters of this file, "
                "and run again with a higher POISON_SHARE and POISON_STREAK to go on"
            )
        if stopping.wait(seconds):
            raise Stopped

    return pause


class Lane:
    """One source's pipeline on a thread of its own.

    Args:
        source: whose batches it takes.
        world: its ports, used by no other thread.
        decoder: for what the pipeline itself would decode.
        policy: the pipeline's.
        stopping: ends it after the batch at hand.
        ahead: how many pieces wait for it at the most.

    Attributes:
        begun: everything up to there is in ledger and projection.
        done: how many events it has brought into ledger and projection.
    """

    def __init__(
        self,
        source: Source,
        world: World,
        decoder: Decoder,
        policy: Policy,
        stopping: Stopping,
        *,
        ahead: int = 2,
    ) -> None:
        self.source = source
        self.begun = Waiting(world, policy).until_ledger(lambda: _begun(source, world.ledger))
        self._pipeline = Pipeline(source, decoder, world, policy)
        self._stopping = stopping
        self.done = 0
        self._abandoned = threading.Event()
        self._pieces: queue.Queue[Piece | None] = queue.Queue(ahead)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=source[-20:], daemon=True)
        self._thread.start()

    def put(self, piece: Piece | None) -> None:
        """Give the next piece, None after the last; waits while the lane has enough.

        Raises:
            Stopped: nobody takes it any more.
            Exception: what ended the lane.
        """
        while True:
            self._raise()
            if self._stopping.asked:
                raise Stopped
            try:
                self._pieces.put(piece, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def join(self) -> None:
        """Wait for the end of the lane, after `put(None)` or a stop.

        Raises:
            Exception: what ended the lane.
        """
        self.wait()
        self._raise()

    def wait(self) -> None:
        """Wait for the end of the lane, whatever it was."""
        while self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)  # a join without end would not hear the second Ctrl-C

    def abandon(self) -> None:
        """End after the batch at hand, because the rest will not come."""
        self._abandoned.set()

    def _raise(self) -> None:
        if self._error is not None and not isinstance(self._error, Stopped):
            raise self._error

    def _run(self) -> None:
        try:
            self._pipeline.open(None)
            while (piece := self._next()) is not None:
                batch = Batch(self.source, piece.high, piece.events())
                self._pipeline.take([batch])
                self._pipeline.settle(NoStream())
                self.done += batch.read
            self._pipeline.finish()
            self._pipeline.settle(NoStream(), at_once=True)
        except BaseException as error:
            self._error = error

    def _next(self) -> Piece | None:
        while True:
            if self._stopping.asked or self._abandoned.is_set():
                self._leave()
                raise Stopped
            try:
                return self._pieces.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue

    def _leave(self) -> None:
        """Store the floor, so that the guard knows what Redis has."""
        if self._pipeline.settled:
            self._pipeline.settle(NoStream(), at_once=True)
