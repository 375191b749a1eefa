"""A steady load that never gives up: events at a fixed rate, each sent until the stream has taken it."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from worker.domain.errors import StreamUnavailable
from worker.local.edges import Edges
from worker.local.live import live_attempts
from worker.local.sending import Native, Sender

TICK_SECONDS = 0.02
STUDENTS = 2_000
COURSES = 20
_MOST = 10_000_000


class Load(threading.Thread):
    """Sends live attempts of 2,000 students until stopped.

    Args:
        edges: where to; its producer belongs to this thread alone.
        per_second: events a second, offered evenly.
        tick_seconds: time between two calls of the producer.
        seed: where all choices come from.
    """

    def __init__(
        self, edges: Edges, per_second: int = 1_000, *, tick_seconds: float = TICK_SECONDS, seed: int = 1
    ) -> None:
        super().__init__(name="load", daemon=True)
        self._sender = Sender(edges, _now)
        self._tick_seconds = tick_seconds
        self._per_tick = max(1, round(per_second * tick_seconds))
        pairs = [(f"student-{n}", f"course-{n % COURSES}") for n in range(STUDENTS)]
        self._attempts = live_attempts(pairs, random.Random(seed), _MOST, _now)
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self._ended: float | None = None
        self.events: list[Native] = []
        self.refusals = 0

    @property
    def sent(self) -> int:
        """Events that the stream has acknowledged."""
        return self._sender.sent

    @property
    def rate(self) -> float:
        """Events a second that the stream has really taken so far."""
        return self.sent / max(0.001, (self._ended or time.monotonic()) - self._begun)

    def run(self) -> None:
        self._begun, tick = time.monotonic(), 0
        while not self._stopped.is_set():
            tick += 1
            self._stopped.wait(max(0.0, self._begun + tick * self._tick_seconds - time.monotonic()))
            batch = [next(self._attempts) for _ in range(self._per_tick)]
            self.events += batch
            self._send(batch)

    def stop(self) -> None:
        """Stop offering; returns when the last batch is acknowledged."""
        self._stopped.set()
        self.join()
        self._ended = self._ended or time.monotonic()

    def _send(self, batch: list[Native]) -> None:
        """Until acknowledged: a refused batch is sent again whole, which is harmless."""
        while True:
            try:
                self._sender.send_batch(batch)
            except StreamUnavailable:
                self.refusals += 1
            else:
                return


def _now() -> datetime:
    return datetime.now(UTC)


Say = Callable[[str], None]
