"""KCL's callbacks, translated: no decision about records is made here.

kclpy swallows whatever a callback raises and reports success, which would skip the records for good. So
nothing escapes: an error that is not part of the protocol ends the process before its status line, the daemon
ends with it, and the records are delivered again.
"""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from worker.batch import Record
from worker.domain.errors import Fatal, LeaseLost
from worker.domain.position import Position, from_checkpoint
from worker.kcl.checkpointer import KclCheckpointer
from worker.ports import Metrics
from worker.stream.pipeline import Pipeline

log = logging.getLogger(__name__)


class Heart(Metrics, Protocol):
    """The line to the supervisor: metrics, and a sign of life with each callback."""

    def beat(self, status: Literal["working", "idle", "waiting", "halted"], detail: str = "") -> None: ...

    def goodbye(self) -> None: ...


class ShardProcessor:
    """One shard's callbacks over one pipeline (amazon_kclpy's record processor, version 3).

    Args:
        build: makes the pipeline of a shard, once its id is known.
        die: ends the process at once; does not return.
        clock: monotonic seconds.
    """

    version = 3

    def __init__(
        self,
        build: Callable[[str], tuple[Pipeline, Heart]],
        die: Callable[[int], Any] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._die = die
        self._clock = clock
        self._pipeline: Pipeline
        self._heart: Heart
        self._lost = False
        self._leaving = False
        self._gone = False
        self._in_call = False
        self._called_at = 0.0
        self._age = 0.0

    def leave(self) -> None:
        """Give the shard up at the next call; safe in a signal handler."""
        self._leaving = True

    def idle(self) -> None:
        """The daemon asks nothing: tell the supervisor, and that the iterator may age meanwhile.

        Only between two calls: who waits inside one, for the answer to a checkpoint, is at work. Nor after a
        goodbye, which a later word would take back.
        """
        if self._in_call or self._gone:
            return
        seconds = self._clock() - self._called_at
        self._heart.gauge("iterator_age_seconds", self._age + seconds)
        self._heart.beat("idle", f"no call of the daemon for {seconds:.0f} s")

    def initialize(self, call: Any) -> None:
        def start() -> None:
            self._pipeline, self._heart = self._build(call.shard_id)
            self._heart.beat("working")
            self._pipeline.open(from_checkpoint(call.sequence_number, call.sub_sequence_number))

        self._guard(start)

    def process_records(self, call: Any) -> None:
        def take() -> None:
            records = [self._record(record) for record in call.records]
            self._pipeline.process(records, at_tip=call.millis_behind_latest == 0)
            self._settle(call, at_once=False)

        def work() -> None:
            self._age = (call.millis_behind_latest or 0) / 1000
            self._heart.gauge("iterator_age_seconds", self._age)
            if not self._leaving:
                self._unless_lost(take)
            if self._leaving:  # perhaps only since a moment ago
                self._unless_lost(lambda: self._settle(call, at_once=True))
                self._lost = True  # records are the next owner's from here on
                self._goodbye()
            else:
                self._heart.beat("working")

        self._guard(work)

    def shutdown_requested(self, call: Any) -> None:
        self._guard(lambda: self._unless_lost(lambda: self._settle(call, at_once=True)))

    def shard_ended(self, call: Any) -> None:
        def finish() -> None:
            self._pipeline.finish()  # ending a shard is for good
            self._settle(call, at_once=True)
            KclCheckpointer(call.checkpointer).end()

        def end() -> None:
            self._unless_lost(finish)
            self._goodbye()

        self._guard(end)

    def lease_lost(self, call: Any) -> None:  # noqa: ARG002
        self._guard(self._goodbye)

    def _goodbye(self) -> None:
        self._gone = True
        self._heart.goodbye()

    def _settle(self, call: Any, *, at_once: bool) -> None:
        self._pipeline.settle(KclCheckpointer(call.checkpointer), at_once=at_once)

    def _unless_lost(self, step: Callable[[], None]) -> None:
        """Losing a lease is everyday life in a fleet: what is unfinished is the next owner's."""
        if self._lost:
            return
        try:
            step()
        except LeaseLost:
            log.warning("lease lost: another worker owns the shard now")
            self._lost = True

    def _record(self, record: Any) -> Record:
        return Record(
            record.binary_data,
            Position(int(record.sequence_number), record.sub_sequence_number or 0),
            # kclpy's own datetime of it is naive local time
            datetime.fromtimestamp(record.timestamp_millis / 1000, UTC),
        )

    def _guard(self, callback: Callable[[], None]) -> None:
        self._in_call = True
        try:
            callback()
        except Fatal as error:
            log.critical("fatal: %s", str(error) or error.__doc__)
            self._die(1)
        except BaseException as error:
            # The text of an unknown error may quote a record; its type and place are enough to find it.
            log.critical("fatal: %s at %s", type(error).__name__, _place(error))
            self._die(1)
        self._called_at = self._clock()
        self._in_call = False


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown place"
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
