"""Watches a run from outside: how long each shard stood still, and when it had caught up again."""

import threading
import time
from collections.abc import Callable, Mapping

from worker.domain.errors import LedgerUnavailable
from worker.domain.position import Position
from worker.ports import Ledger

_EVERY_SECONDS = 0.05


class Observer(threading.Thread):
    """Samples the ledger's progress.

    Args:
        ledger: a connection of its own.
        sent: events acknowledged so far.
        backlog: so few events behind the producer counts as caught up.
    """

    def __init__(self, ledger: Ledger, sent: Callable[[], int], backlog: int = 1_000) -> None:
        super().__init__(name="observer", daemon=True)
        self._ledger = ledger
        self._sent = sent
        self._backlog = backlog
        self._stopped = threading.Event()
        self._moved: dict[str, tuple[Position, float]] = {}
        self._fault: float | None = None
        self.sent_before = 0
        self.pauses: dict[str, float] = {}
        self.recovered_after: float | None = None

    def fault(self) -> None:
        """The fault happens now: pauses and recovery are measured from here."""
        self.pauses.clear()
        self._fault = time.monotonic()
        self.sent_before = self._sent()
        self.recovered_after = None

    @property
    def since_fault(self) -> float:
        """Seconds since the fault."""
        return 0.0 if self._fault is None else time.monotonic() - self._fault

    @property
    def longest_pause(self) -> float:
        """The longest time in seconds that any one shard committed nothing since the fault."""
        return max(self.pauses.values(), default=0.0)

    def run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            try:
                found = self._ledger.progress()
            except LedgerUnavailable:
                continue
            now = time.monotonic()
            self._look({source: progress.committed for source, progress in found.items()}, now)
            behind = self._sent() - sum(progress.accounting.read for progress in found.values())
            self._note_recovery(behind, now)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _look(self, positions: Mapping[str, Position], now: float) -> None:
        # a shard that is born of the fault owes its students' events since then
        born = now if self._fault is None else self._fault
        for source, position in positions.items():
            last, since = self._moved.get(source, (position, born))
            if position != last:
                self._moved[source] = (position, now)
                if self._fault is not None and now > self._fault:
                    pause = now - max(since, self._fault - 1.0)
                    self.pauses[source] = max(self.pauses.get(source, 0.0), pause)
            else:
                self._moved.setdefault(source, (position, born))

    def _note_recovery(self, behind: int, now: float) -> None:
        if self._fault is None:
            return
        if behind > self._backlog:
            self.recovered_after = None
        elif self.recovered_after is None:
            self.recovered_after = now - self._fault
