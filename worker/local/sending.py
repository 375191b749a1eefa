"""A producer's half of the edge: native events in, envelopes out.

What the edge would refuse is put on the stream as it is, the way a producer without our edge would: the
worker must account for it too.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

import orjson

from worker.domain.errors import Poison
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.local.edges import Edges

Native = dict[str, object]
BATCH = 4_000


class Sender:
    """Sends native events, and counts them.

    Args:
        edges: where to.
        now: the present, aware.
    """

    def __init__(self, edges: Edges, now: Callable[[], datetime]) -> None:
        self._edges = edges
        self._now = now
        self.sent = 0

    def send(self, events: Iterable[Native | bytes]) -> None:
        """All events, in batches; returns when the stream has acknowledged the last."""
        waiting = iter(events)
        while batch := list(islice(waiting, BATCH)):
            self.send_batch(batch)

    def send_batch(self, events: Iterable[Native | bytes]) -> list[ScoreEvent]:
        """One batch; the events that passed the edge."""
        admitted: list[ScoreEvent] = []
        for event in events:
            raw = event if isinstance(event, bytes) else orjson.dumps(event)
            try:
                admitted.append(self._admit(raw))
            except Poison:
                self._edges.producer.put_raw(raw, 0)
                self.sent += 1
        self._edges.producer.send(admitted)
        self.sent += len(admitted)
        return admitted

    def _admit(self, raw: bytes) -> ScoreEvent:
        return native.canonical(
            native.parse(raw),
            sealed_id=None,
            identity=self._edges.identity,
            realm=self._edges.realm,
            arrived_at=self._now(),
        )
