"""A steady load that never gives up: events at a fixed rate, each sent until the stream has taken it.

What was sent is not kept: every choice comes from a seed, so all of it can be made again for the proof from
the moments alone, eight bytes an event.
"""

import random
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from worker.domain.errors import StreamUnavailable
from worker.local.edges import Edges
from worker.local.live import live_attempts
from worker.local.sending import Native, Sender

TICK_SECONDS = 0.02
_ENDLESS = sys.maxsize
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Crowd(NamedTuple):
    """Who sends: the n-th busiest student a share proportional to 1/n**skew."""

    students: int = 2_000
    courses: int = 20
    skew: float = 1.0

    def attempts(self, seed: int, count: int, now: Callable[[], datetime]) -> Iterator[Native]:
        """So many events, made when asked for."""
        pairs = [(f"student-{n}", f"course-{n % self.courses}") for n in range(self.students)]
        return live_attempts(pairs, random.Random(seed), count, now, skew=self.skew)


class Load(threading.Thread):
    """Sends live attempts until stopped.

    Args:
        edges: where to; its producer belongs to this thread alone.
        per_second: events a second, offered evenly.
        tick_seconds: time between two calls of the producer.
        seed: where all choices come from.
        crowd: who sends.
    """

    def __init__(
        self,
        edges: Edges,
        per_second: int = 1_000,
        *,
        tick_seconds: float = TICK_SECONDS,
        seed: int = 1,
        crowd: Crowd = Crowd(),  # noqa: B008 - a value
    ) -> None:
        super().__init__(name="load", daemon=True)
        self._sender = Sender(edges, _now)
        self._tick_seconds = tick_seconds
        self._per_tick = max(1, round(per_second * tick_seconds))
        self._seed = seed
        self._crowd = crowd
        self._moments = array("q")
        self._attempts = crowd.attempts(seed, _ENDLESS, self._moment)
        self._stopped = threading.Event()
        self._begun = time.monotonic()
        self._ended: float | None = None
        self.offered = 0
        self.refusals = 0
        self.late_seconds = 0.0
        """How long after its time the last batch was sent: what the stream takes too slowly adds up here."""
        self.cpu_seconds = 0.0
        self.put_seconds = array("d")

    @property
    def sent(self) -> int:
        """Events that the stream has acknowledged."""
        return self._sender.sent

    @property
    def rate(self) -> float:
        """Events a second that the stream has really taken so far."""
        return self.sent / max(0.001, (self._ended or time.monotonic()) - self._begun)

    @property
    def events(self) -> Iterator[Native]:
        """Everything offered, made again; for a load that has been stopped."""
        moments = iter(self._moments)
        return self._crowd.attempts(self._seed, self.offered, lambda: _at(next(moments)))

    def run(self) -> None:
        self._begun, tick = time.monotonic(), 0
        while not self._stopped.is_set():
            tick += 1
            due = self._begun + tick * self._tick_seconds
            self._stopped.wait(max(0.0, due - time.monotonic()))
            batch = [next(self._attempts) for _ in range(self._per_tick)]
            self.offered += len(batch)
            self.late_seconds = max(0.0, time.monotonic() - due)
            self._send(batch)
            self.cpu_seconds = time.thread_time()

    def stop(self) -> None:
        """Stop offering; returns when the last batch is acknowledged."""
        self._stopped.set()
        self.join()
        self._ended = self._ended or time.monotonic()

    def _send(self, batch: list[Native]) -> None:
        """Until acknowledged: a refused batch is sent again whole, which is harmless."""
        while True:
            begun = time.monotonic()
            try:
                self._sender.send_batch(batch)
            except StreamUnavailable:
                self.refusals += 1
            else:
                self.put_seconds.append(time.monotonic() - begun)
                return

    def _moment(self) -> datetime:
        micros = time.time_ns() // 1000
        self._moments.append(micros)
        return _at(micros)


def _at(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _now() -> datetime:
    return datetime.now(UTC)


Say = Callable[[str], None]
