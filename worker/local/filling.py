"""Real scores for `make up`, so that the page shows something: Project STAR, then a trickle of attempts."""

import random
import threading
from collections import Counter
from datetime import UTC, datetime

from worker.domain.errors import StreamUnavailable
from worker.local.edges import Edges
from worker.local.live import live_attempts
from worker.local.sending import Sender
from worker.local.star import star_events

PER_SECOND = 20
COURSES = 4
_MOST = 10_000_000


class Filling(threading.Thread):
    """Sends the history at once, then attempts of its pupils until stopped.

    Args:
        edges: where to; they belong to this thread alone.

    `courses` are those with the most scores.
    """

    def __init__(self, edges: Edges) -> None:
        super().__init__(name="filling", daemon=True)
        self._edges = edges
        self._sender = Sender(edges, _now)
        self._history = star_events()
        self._stopped = threading.Event()
        counts = Counter(str(event["course_id"]) for event in self._history)
        self.courses = [course for course, _ in counts.most_common(COURSES)]

    @property
    def student(self) -> str:
        """A pupil of the first of these courses."""
        first = self.courses[0]
        return next(str(event["student_id"]) for event in self._history if event["course_id"] == first)

    def run(self) -> None:
        self._sender.send(self._history)
        of_courses = [event for event in self._history if event["course_id"] in self.courses]
        pairs = sorted({(str(event["student_id"]), str(event["course_id"])) for event in of_courses})
        attempts = live_attempts(pairs, random.Random(1), _MOST, _now)
        while not self._stopped.wait(1.0):
            try:
                self._sender.send_batch([next(attempts) for _ in range(PER_SECOND)])
            except StreamUnavailable:
                continue  # the next second brings others

    def stop(self) -> None:
        """Stop sending; returns when the last batch is acknowledged."""
        self._stopped.set()
        self.join()
        self._edges.close()


def _now() -> datetime:
    return datetime.now(UTC)
