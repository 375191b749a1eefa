"""One student who sends an attempt every few milliseconds, timed until readers find it."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from worker.domain import window
from worker.domain.event import ScoreEvent
from worker.local.edges import Edges

PROBES_A_SECOND = 20
LOOK_SECONDS = 0.004


class Probe(threading.Thread):
    """Sends one student's attempts and times each until Redis shows it."""

    def __init__(self, edges: Edges) -> None:
        super().__init__(name="probe", daemon=True)
        self._edges = edges
        self._sent: list[float] = []
        self._shown = 0
        self._ended = threading.Event()
        self.seconds: list[tuple[float, float]] = []
        """(when it was sent, how long it took)."""

    def run(self) -> None:
        identified = self._edges.identity.identify("probe", self._edges.realm)
        key = self._edges.key("probe", "probe")
        begun = time.monotonic()
        while not self._ended.is_set():
            now = time.monotonic()
            if len(self._sent) < (now - begun) * PROBES_A_SECOND:
                moment = datetime.now(UTC)
                self._sent.append(now)
                event = ScoreEvent(
                    *identified, "probe", "probe", 1.0, 1.0, moment, moment, attempt=len(self._sent)
                )
                self._edges.producer.send([event])
            (value,) = self._edges.projection.states([key])
            if value is not None and value[:1] == b"S":
                total = window.unpack(value[window.HEADER_SIZE :]).total
                while self._shown < total:
                    sent = self._sent[self._shown]
                    self.seconds.append((sent, time.monotonic() - sent))
                    self._shown += 1
            self._ended.wait(LOOK_SECONDS)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def between(self, first: float, last: float) -> list[float]:
        return sorted(took for sent, took in self.seconds if first <= sent < last)


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
