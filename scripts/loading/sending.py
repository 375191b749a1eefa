"""The open loop: lanes that put whatever is due as soon as it is due, answered or not.

Nothing is slowed down by a slow system: what a lane could not put in time waits where a learner would wait,
the next put takes all of it along, and its latency has been running since its scheduled moment.
"""

import threading
import time
from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scripts.loading.plan import Plan
from worker.domain.errors import Unavailable

_RETRY_SECONDS = (0.05, 1.0)
_GIVE_UP_SECONDS = 60.0
"""After the end, or once asked to stop: so long an event that was refused is still offered."""

Put = Callable[[int, int], None]
"""Sends the events from one number to another and returns once they are acknowledged.

Raises Unavailable: not all were; sending all of them again is harmless.
"""


class Way(NamedTuple):
    """How events enter: what puts them, how many at once on how many lanes, so long after they are due."""

    name: str
    put: Put
    lanes: int
    most: int
    linger_seconds: float


class Sending:
    """Sends a plan's events by their schedule.

    Args:
        plan: what and when.
        way: how they enter.
        about_to_put: is told each range of numbers before it is put.
        asked: whether to stop.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        plan: Plan,
        way: Way,
        about_to_put: Callable[[int, int], None],
        asked: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._way = way
        self._about_to_put = about_to_put
        self._asked = asked
        self._clock = clock
        self._claiming = threading.Lock()
        self._noting = threading.Lock()
        self._next = 0
        self._last_claim = 0.0
        self._stop_at: float | None = None
        self._failure: BaseException | None = None
        self._lanes = [
            threading.Thread(target=self._lane, name=f"lane-{n}", daemon=True) for n in range(way.lanes)
        ]
        self.begun = 0.0
        self.ended = 0.0
        self.acknowledged = np.zeros(len(plan), dtype=bool)
        self.sent = 0
        self.refusals = 0
        self.late_seconds = 0.0
        """The longest that an event waited for a lane, beyond the time for which events are gathered."""
        self.put_seconds = array("d")
        self._at = array("d")
        self._counts = array("q")
        self.cpu_seconds = 0.0

    @property
    def claimed(self) -> int:
        """Events that were given to a put; those after the last claim were never sent."""
        return self._next

    def start(self) -> None:
        """Begin now: the schedule's first moment is the present."""
        self._plan.begin(time.time_ns() // 1000)
        self.begun = self._clock()
        for lane in self._lanes:
            lane.start()

    @property
    def running(self) -> bool:
        return any(lane.is_alive() for lane in self._lanes)

    def join(self) -> None:
        """Wait for the last acknowledgement.

        Raises:
            Exception: what a lane met that is not an outage.
        """
        for lane in self._lanes:
            lane.join()
        self.ended = self._clock()
        if self._failure is not None:
            raise self._failure

    def per_second(self) -> list[int]:
        """Events acknowledged in each second."""
        if not self._at:
            return []
        seconds = np.asarray(self._at).astype(np.int64)
        return [int(n) for n in np.bincount(seconds, weights=np.asarray(self._counts))]

    def _lane(self) -> None:
        try:
            while (claim := self._claim()) is not None:
                self._about_to_put(*claim)
                if not self._deliver(*claim):
                    return
        except BaseException as failure:  # told by join()
            self._failure = failure
        finally:
            with self._noting:
                self.cpu_seconds += time.thread_time()

    def _claim(self) -> tuple[int, int] | None:
        """The next events that are due, once enough of them are or they have been gathered long enough."""
        with self._claiming:
            while True:
                if self._next >= len(self._plan) or self._asked() or self._failure is not None:
                    return None
                now = self._clock() - self.begun
                due = self._plan.schedule.due_by(now)
                if due - self._next >= self._way.most or (
                    due > self._next and now >= self._last_claim + self._way.linger_seconds
                ):
                    first, self._next = self._next, min(due, self._next + self._way.most)
                    self._last_claim = now
                    waited = now - int(self._plan.schedule.due[first]) / 1_000_000
                    self.late_seconds = max(self.late_seconds, waited - self._way.linger_seconds)
                    return first, self._next
                time.sleep(min(0.05, self._until_next(now)))

    def _until_next(self, now: float) -> float:
        due = int(self._plan.schedule.due[self._next]) / 1_000_000
        return max(0.001, max(due, self._last_claim + self._way.linger_seconds) - now)

    def _deliver(self, first: int, last: int) -> bool:
        """Until acknowledged, or until nobody would wait any longer."""
        pause = _RETRY_SECONDS[0]
        while True:
            begun = self._clock()
            try:
                self._way.put(first, last)
            except Unavailable:
                with self._noting:
                    self.refusals += 1
                if self._is_late():
                    return False
                time.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS[1])
            else:
                self._note(first, last, begun)
                return True

    def _is_late(self) -> bool:
        end = self.begun + self._plan.schedule.seconds
        if self._asked():
            if self._stop_at is None:
                self._stop_at = self._clock()
            end = min(end, self._stop_at)
        return self._clock() > end + _GIVE_UP_SECONDS

    def _note(self, first: int, last: int, begun: float) -> None:
        now = self._clock()
        with self._noting:
            self.acknowledged[first:last] = True
            self.sent += last - first
            self.put_seconds.append(now - begun)
            self._at.append(now - self.begun)
            self._counts.append(last - first)
