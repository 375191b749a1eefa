"""Watches a run from outside: how long each shard stood still, and when it had caught up again."""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping

from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import LedgerUnavailable
from worker.domain.position import Position
from worker.local.session import SHARDS
from worker.ports import Ledger

_EVERY_SECONDS = 0.05
BACKLOG = 1_000
"""So few events behind the producer counts as caught up: two polls of a shard at the drills' rate."""
MOVING_SECONDS = 2.0
"""A shard under load that has committed nothing for longer stands still: it is polled four times a second."""
_BEFORE_SECONDS = 1.0


def arrived(accounting: Accounting) -> int:
    """Events read for the first time: what a failure has delivered again must not hide what is missing."""
    return accounting.read - accounting[Outcome.REDELIVERED]


@dataclasses.dataclass
class Watch:
    """What looks at the ledger tell of pauses and recovery; all times in monotonic seconds.

    Args:
        shards: how many of them the load is written to. More may be known: some have ended.
        backlog: so few events behind count as caught up.
    """

    shards: int = SHARDS
    backlog: int = BACKLOG
    _last: dict[str, tuple[Position, float]] = dataclasses.field(default_factory=dict)
    _pauses: dict[str, float] = dataclasses.field(default_factory=dict)
    _fault: float | None = None
    _caught_up: float | None = None

    def fault(self, now: float) -> None:
        """The fault happens now: pauses and recovery are measured from here."""
        self._pauses = {}
        self._fault = now
        self._caught_up = None

    def look(self, positions: Mapping[str, Position], behind: int, now: float) -> None:
        """How far each shard is committed, and how many events are acknowledged and not read."""
        for source, position in positions.items():
            # a shard that is born of the fault owes its students' events since then
            born = now if self._fault is None else self._fault
            last, since = self._last.get(source, (None, born))
            if position != last:
                self._pauses[source] = max(self._pauses.get(source, 0.0), self._paused(since, now))
                self._last[source] = position, now
        if behind > self.backlog or self._moving(now) < self.shards:
            self._caught_up = None
        elif self._caught_up is None:
            self._caught_up = now

    def pauses(self, now: float) -> Mapping[str, float]:
        """By shard the longest time since the fault in which it committed nothing, the present one included.

        A shard that stands still while enough others move has ended, which is no pause.
        """
        if self._moving(now) >= self.shards:
            return dict(self._pauses)
        return {
            source: max(self._pauses.get(source, 0.0), self._paused(since, now))
            for source, (_, since) in self._last.items()
        }

    @property
    def recovered_after(self) -> float | None:
        """How long after the fault the load was caught up with by all shards, and has been ever since."""
        if self._fault is None or self._caught_up is None:
            return None
        return self._caught_up - self._fault

    def _paused(self, since: float, now: float) -> float:
        """How much of a pause counts: it may have begun shortly before the fault, but not long before."""
        return 0.0 if self._fault is None else max(0.0, now - max(since, self._fault - _BEFORE_SECONDS))

    def _moving(self, now: float) -> int:
        since = now - MOVING_SECONDS if self._fault is None else max(now - MOVING_SECONDS, self._fault)
        return sum(at > since for _, at in self._last.values())


class Observer(threading.Thread):
    """Samples the ledger's progress.

    Args:
        ledger: a connection of its own.
        sent: events acknowledged so far.
        backlog: so few events behind count as caught up.
    """

    def __init__(self, ledger: Ledger, sent: Callable[[], int], backlog: int = BACKLOG) -> None:
        super().__init__(name="observer", daemon=True)
        self._ledger = ledger
        self._sent = sent
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._watch = Watch(backlog=backlog)
        self.behind = 0
        self.sent_before = 0
        """Events acknowledged before the fault."""
        self._fault: float | None = None

    def fault(self, *, shards: int = SHARDS) -> None:
        """The fault happens now: pauses and recovery are measured from here; `shards` are open after it."""
        self.sent_before, self._fault = self._sent(), time.monotonic()
        with self._lock:
            self._watch.shards = shards
            self._watch.fault(self._fault)

    @property
    def since_fault(self) -> float:
        """Seconds since the fault."""
        return 0.0 if self._fault is None else time.monotonic() - self._fault

    @property
    def pauses(self) -> Mapping[str, float]:
        """By shard the longest time in seconds that it committed nothing since the fault."""
        with self._lock:
            return self._watch.pauses(time.monotonic())

    @property
    def longest_pause(self) -> float:
        """The longest of them."""
        return max(self.pauses.values(), default=0.0)

    @property
    def recovered_after(self) -> float | None:
        """Seconds from the fault until the load was caught up with for good; None while it is not."""
        with self._lock:
            return self._watch.recovered_after

    def run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            sent = self._sent()
            try:
                found = self._ledger.progress()
            except LedgerUnavailable:
                continue
            self.behind = sent - sum(arrived(progress.accounting) for progress in found.values())
            positions = {source: progress.committed for source, progress in found.items()}
            with self._lock:
                self._watch.look(positions, self.behind, time.monotonic())

    def stop(self) -> None:
        self._stopped.set()
        self.join()
