"""What tests put between a pipeline and its ports: a wire that writes down and breaks, and a clock."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar, cast

from tests.conftest import IDENTITY, NOW
from worker.adapters.memory import MemoryCheckpointer, MemoryLedger, MemoryMetrics, MemoryProjection
from worker.batch import Record, StateKey
from worker.domain import envelope, window
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, Policy, World
from worker.stream.projecting import state_value

T = TypeVar("T")

Around = Callable[[str], AbstractContextManager[None]]

DECODER = Decoder(IDENTITY, "default")


class _Tapped:
    """A port whose every method, page of an iterator and entry of a context goes through `around`."""

    def __init__(self, port: Any, around: Around) -> None:
        self._port = port
        self._around = around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name == "sweep_turn":
            return lambda: self._turn(method)
        if name == "versions":
            return lambda page: self._pages(method(page))

        def call(*arguments: Any) -> Any:
            with self._around(name):
                return method(*arguments)

        return call

    @contextmanager
    def _turn(self, method: Callable[[], AbstractContextManager[bool]]) -> Iterator[bool]:
        with ExitStack() as held:
            with self._around("sweep_turn"):
                mine = held.enter_context(method())
            yield mine

    def _pages(self, pages: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self._around("versions"):
                page = next(pages, None)
            if page is None:
                return
            yield page


def tap(port: T, around: Around) -> T:
    """The same port, with `around(name)` entered around every call."""
    return cast("T", _Tapped(port, around))


class Wire:
    """Writes down every call to the ports it connects, and breaks those it is told to.

    `before` breaks a call that then has no effect; `after` one whose effect nobody hears of.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self._before: list[tuple[str, Callable[[], object]]] = []
        self._after: list[tuple[str, Callable[[], object]]] = []

    def connect(self, port: T) -> T:
        return tap(port, self._call)

    def before(self, name: str, *does: BaseException | Callable[[], object]) -> None:
        """What the next calls of that name meet before they are made, one each."""
        self._before += [(name, _act(act)) for act in does]

    def after(self, name: str, *does: BaseException | Callable[[], object]) -> None:
        """What the next calls of that name meet after they were made, one each."""
        self._after += [(name, _act(act)) for act in does]

    def since(self) -> list[str]:
        """What was called since the last time this was asked."""
        log, self.log = self.log, []
        return log

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        if name != "set_watermark":  # tells readers, and no step of the protocol waits for it
            self.log.append(name)
        _next(self._before, name)
        yield
        _next(self._after, name)


def _act(act: BaseException | Callable[[], object]) -> Callable[[], object]:
    if not isinstance(act, BaseException):
        return act

    def fail() -> None:
        raise act

    return fail


def _next(acts: list[tuple[str, Callable[[], object]]], name: str) -> None:
    for at, (wanted, act) in enumerate(acts):
        if wanted == name:
            del acts[at]
            act()
            return


class Pause(NamedTuple):
    """One wait: how long, and why."""

    seconds: float
    because: Exception


class Time:
    """The present, which passes only while somebody waits; `then` is done after so many waits."""

    def __init__(self) -> None:
        self.present = NOW
        self.pauses: list[Pause] = []
        self._then: list[tuple[int, Callable[[], object]]] = []

    def now(self) -> datetime:
        return self.present

    def pass_by(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)

    def pause(self, seconds: float, because: Exception) -> None:
        self.pauses.append(Pause(seconds, because))
        assert len(self.pauses) < 10_000, "waits for ever"
        self.pass_by(seconds)
        for at, act in [*self._then]:
            if len(self.pauses) >= at:
                self._then.remove((at, act))
                act()

    def then(self, waits: int, act: Callable[[], object]) -> None:
        """Do `act` at the end of the wait that is so many from now."""
        self._then.append((len(self.pauses) + waits, act))

    @property
    def reasons(self) -> list[str]:
        return [type(pause.because).__name__ for pause in self.pauses]


class Scene:
    """Twins of every port, wired, with one clock: a whole world in memory."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.ledger = MemoryLedger()
        self.projection = MemoryProjection()
        self.metrics = MemoryMetrics()
        self.store = MemoryCheckpointer()
        self.time = Time()
        self.wire = Wire()
        self.policy = policy or Policy()
        self.checkpointer = self.wire.connect(self.store)

    def pipeline(self, source: str = "shard", *, checkpoint: Position | None = None) -> Pipeline:
        """A fresh owner of the source, opened at a checkpoint; the log begins after that."""
        world = World(
            ledger=self.wire.connect(self.ledger),
            projection=self.wire.connect(self.projection),
            metrics=self.metrics,
            now=self.time.now,
            pause=self.time.pause,
            chance=random.Random(7),
        )
        pipeline = Pipeline(source, DECODER, world, self.policy)
        pipeline.open(checkpoint)
        self.wire.since()
        return pipeline

    def settle(self, pipeline: Pipeline) -> None:
        """Settle as at a shutdown."""
        pipeline.settle(self.checkpointer, at_once=True)

    def tick(self, pipeline: Pipeline) -> None:
        """An empty delivery, late enough for the guard to look."""
        self.time.pass_by(self.policy.guard_every.total_seconds())
        pipeline.process([])

    def stale(self) -> list[StateKey]:
        """The states that are not the ledger's own words, byte for byte."""
        keys = list(self.projection.values)
        states = self.ledger.read(keys)
        return [
            key
            for key, value in self.projection.values.items()
            if value.startswith(b"S") and (key not in states or value != state_value(states[key]))
        ]

    def shown(self, event: ScoreEvent) -> window.Window | None:
        """What the projection shows of the event's student in its course."""
        value = self.projection.states([key_of(event)])[0]
        return None if value is None else window.unpack(value[window.HEADER_SIZE :])


def key_of(event: ScoreEvent) -> StateKey:
    return StateKey(event.student_key, event.course_id)


def record(*events: ScoreEvent, sequence: int = 1, arrived_at: datetime = NOW) -> Record:
    """The events as one envelope."""
    return Record(envelope.seal(events), Position(sequence), arrived_at)


def garbage(sequence: int, data: bytes = b"not json") -> Record:
    """A record that nobody can read."""
    return Record(data, Position(sequence), NOW)
