"""Twins of the small ports: checkpointer, metrics, producer, vault."""

from collections import Counter
from collections.abc import Sequence

from worker.domain.errors import CheckpointUnavailable, StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.metrics import CounterName, GaugeName, HistogramName


class MemoryCheckpointer:
    """Remembers its checkpoints in order; `away` refuses them."""

    def __init__(self) -> None:
        self.away = False
        self.positions: list[Position] = []

    def checkpoint(self, position: Position) -> None:
        if self.away:
            raise CheckpointUnavailable
        self.positions.append(position)


class MemoryMetrics:
    """Keeps every value for a test to look at."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[str, float] = {}
        self.observations: dict[str, list[float]] = {}

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:
        self.counts[name, *labels.values()] += int(value)

    def gauge(self, name: GaugeName, value: float) -> None:
        self.gauges[name] = value

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:  # noqa: ARG002
        self.observations.setdefault(name, []).append(value)


class MemoryProducer:
    """Keeps what was sent; `away` refuses it."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[ScoreEvent] = []

    def send(self, events: Sequence[ScoreEvent]) -> None:
        if self.away:
            raise StreamUnavailable
        self.sent.extend(events)


class MemoryVault:
    """Marks a payload as sealed without hiding it."""

    _MARK = b"sealed:"

    def seal(self, plain: bytes) -> bytes:
        return self._MARK + plain

    def open(self, sealed: bytes) -> bytes:
        if not sealed.startswith(self._MARK):
            msg = "not sealed here"
            raise ValueError(msg)
        return sealed.removeprefix(self._MARK)
