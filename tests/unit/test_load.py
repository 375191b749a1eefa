"""What a load sent is made again from its seed and its moments, event for event."""

import threading
from typing import Any, cast

from tests.conftest import IDENTITY
from tests.faults.load import Crowd, Load
from tests.faults.proof import Distinct
from worker.adapters.memory import MemoryLedger, MemoryProjection
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.local.edges import Edges

ENOUGH = 2_000


class Stream:
    """Keeps what it is given, refuses every tenth call, and says when it is enough."""

    def __init__(self) -> None:
        self.taken: list[ScoreEvent] = []
        self.calls = 0
        self.enough = threading.Event()

    def send(self, events: list[ScoreEvent]) -> None:
        self.calls += 1
        if self.calls % 10 == 0:
            raise StreamUnavailable
        self.taken += events
        if len(self.taken) >= ENOUGH:
            self.enough.set()


def test_what_was_sent_is_made_again() -> None:
    stream = Stream()
    edges = Edges(MemoryLedger(), cast("Any", MemoryProjection()), cast("Any", stream), IDENTITY, "default")
    load = Load(edges, 100_000, tick_seconds=0.001, seed=5, crowd=Crowd(300, 7, skew=0.5))
    load.start()
    assert stream.enough.wait(30)
    load.stop()
    again = list(load.events)
    assert list(load.events) == again
    assert load.sent == load.offered == len(again) == len(stream.taken)
    assert load.refusals > 0
    for event, taken in zip(again, stream.taken, strict=True):
        assert (event["item_id"], event.get("attempt")) == (taken.item_id, taken.attempt)
        assert str(event["occurred_at"]).rstrip("Z") == taken.occurred_at.isoformat().removesuffix("+00:00")


def test_distinct_attempts_are_counted_as_they_pass() -> None:
    distinct = Distinct()
    one = {"student_id": "a", "course_id": "c", "item_id": "i", "attempt": 1}
    events: list[dict[str, object]] = [
        one,
        {**one, "score": 2},
        {**one, "attempt": 2},
        {**one, "course_id": "d"},
    ]
    assert list(distinct.watch(events)) == events
    assert distinct.count == 3
