"""How long it takes from putting an event until it can be read, at a load that everybody bears.

A probe, one student, sends an attempt with each tick of the load; two eyes look into PostgreSQL and Redis
until they show it. Ours runs as in production, behind the real KCL daemon. The peers read the same
emulator, Pathway also files; each is measured as its documentation has it and as fast as its options allow.
"""

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from benchmarks.peers import ours
from benchmarks.peers.events import Events
from benchmarks.peers.stage import NotRun, Stage, dropped
from worker.domain import window
from worker.domain.event import ScoreEvent
from worker.local.process import ServerProcess
from worker.local.watching import quantile

TICK_SECONDS = 0.05
EACH = 10
"""Events of the load with each of the probe's: 220 a second together."""
PROBE = "probe"
OURS = "ours"
POLLED = "Pathway, stream polled by boto3, commits as by default"
POLLED_FAST = "Pathway, stream polled by boto3, fastest commits"
_LOOK_SECONDS = 0.003
_LATE_SECONDS = 20.0
_WARM = int(3 / TICK_SECONDS)
"""So many ticks do not count: Java compiles what it needs, and everybody meets the first events."""
_encode = msgspec.json.Encoder().encode

Eye = Callable[[], int]
"""How many of the probe's attempts one server shows."""
Put = Callable[[int], None]
"""Puts what is due at a tick, the probe's attempt of that number with it."""


class Latency(msgspec.Struct, frozen=True):
    """Quantiles in milliseconds, of so many attempts, by the server that showed them."""

    probes: int
    p50_ms: Mapping[str, float]
    p99_ms: Mapping[str, float]

    @property
    def p50(self) -> float:
        """Where it was seen last."""
        return max(self.p50_ms.values())

    @property
    def p99(self) -> float:
        """Where it was seen last."""
        return max(self.p99_ms.values())


class Watch(threading.Thread):
    """Looks for the probe's attempts until told to end.

    Args:
        eyes: by the name of the server.
    """

    def __init__(self, eyes: Mapping[str, Eye]) -> None:
        super().__init__(name="watch", daemon=True)
        self._eyes = eyes
        self._ended = threading.Event()
        self.sent: list[float] = []
        self.seconds: dict[str, list[float]] = {name: [] for name in eyes}

    def run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> int:
        """Once with each eye; how many every eye has seen."""
        for name, eye in self._eyes.items():
            shown, took, now = eye(), self.seconds[name], time.perf_counter()
            took += [now - sent for sent in self.sent[len(took) : shown]]
        return self.seen

    @property
    def seen(self) -> int:
        """How many every eye has seen."""
        return min(map(len, self.seconds.values()))

    def end(self) -> None:
        """Returns when it looks no more."""
        self._ended.set()
        self.join()


class Latencies:
    """The measurements, by name.

    Args:
        stage: where.
        ledger: ours, looked at from outside; its producer puts ours.
        seconds: how long each takes.
    """

    def __init__(self, stage: Stage, ledger: ours.Ledger, seconds: float) -> None:
        self._stage = stage
        self._ledger = ledger
        self._ticks = _WARM + int(seconds / TICK_SECONDS)
        edges = ledger.edges
        self._events = Events("latency", EACH * (self._ticks + 1), edges.identity, edges.realm)
        self._plain = self._events.plain()

    def runs(self) -> Mapping[str, Callable[[], Latency]]:
        """Everything that is compared."""
        return {
            OURS: self._ours,
            "async-kinesis, record by record": lambda: self._async("record"),
            "async-kinesis, lists, fastest polls": lambda: self._async("list", "--fast"),
            POLLED: lambda: self._pathway("poll", 1500),
            POLLED_FAST: lambda: self._pathway("poll", 50),
            "Pathway, files, fastest commits": lambda: self._pathway("files", 50),
        }

    def _ours(self) -> Latency:
        edges, session = self._ledger.edges, self._stage.session
        course = f"{PROBE}-course"
        identified, key = edges.identity.identify(PROBE, edges.realm), edges.key(PROBE, course)

        def put(number: int) -> None:
            now = datetime.now(UTC)
            mine = ScoreEvent(*identified, course, PROBE, 1.0, 1.0, now, now, attempt=number)
            edges.producer.send([*self._events.plan.events(EACH * number, EACH * (number + 1)), mine])

        def in_postgresql() -> int:
            query = "SELECT count(*) FROM attempts JOIN courses USING (course_ref) WHERE course_id = %s"
            row = self._stage.sinks.connection.execute(query, (course,)).fetchone()
            return int(row[0]) if row else 0

        def in_redis() -> int:
            (value,) = edges.projection.states([key])
            if value is None or value[:1] != b"S":
                return 0
            return window.unpack(value[window.HEADER_SIZE :]).total

        task = session.start_task()
        try:
            return self._measured(put, {"PostgreSQL": in_postgresql, "Redis": in_redis}, task.process)
        finally:
            task.stop()

    def _async(self, way: str, *options: str) -> Latency:
        stage, sinks = self._stage, self._stage.sinks
        sinks.clear()
        with stage.stream("peers-latency") as stream:

            def put(number: int) -> None:
                events = self._tick(number)
                stage.put(stream, [b"[" + b",".join(events) + b"]"] if way == "list" else events)

            def in_redis() -> int:
                newest: Any = sinks.redis.lindex(f"{PROBE}:{PROBE}", -1)
                return 0 if newest is None else int(float(newest)) + 1

            arguments = ("--stream", stream, "--way", way, *options)
            with stage.running("async-kinesis", "async_kinesis", *arguments) as process:
                eyes = {"PostgreSQL": self._rows("scores"), "Redis": in_redis}
                return self._measured(put, eyes, process)

    def _pathway(self, source: str, commit_ms: int) -> Latency:
        stage, sinks = self._stage, self._stage.sinks
        sinks.clear()
        folder = stage.session.directory / "pathway" / f"latency-{source}-{commit_ms}"
        folder.mkdir(parents=True)
        look = b"SELECT scores FROM peers.pathway_means WHERE student_id = 'probe' AND course_id = 'probe'"

        def means() -> int:
            row = sinks.connection.execute(look).fetchone()
            return int(row[0]) if row else 0

        with stage.stream("peers-latency") as stream:

            def put(number: int) -> None:
                if source == "files":
                    dropped(folder / f"{number}.jsonl", self._tick(number))
                else:
                    stage.put(stream, self._tick(number))

            where = ("--source", source, "--folder", str(folder), "--stream", stream, "--work", "means")
            options = (*where, "--postgres", sinks.settings(), "--autocommit-ms", str(commit_ms))
            with stage.running("pathway", "pathway_postgres", *options) as process:
                eyes = {"PostgreSQL": self._rows("pathway_scores"), "PostgreSQL, means": means}
                return self._measured(put, eyes, process)

    def _tick(self, number: int) -> Sequence[bytes]:
        """The load of one tick and the probe's attempt, whose score is its number."""
        mine = {
            "student_id": PROBE,
            "course_id": PROBE,
            "item_id": PROBE,
            "attempt": number,
            "occurred_at": datetime.now(UTC),
            "score": number,
            "max_score": 1,
        }
        return [*self._plain[EACH * number : EACH * (number + 1)], _encode(mine)]

    def _rows(self, table: str) -> Eye:
        query = f"SELECT count(*) FROM peers.{table} WHERE student_id = 'probe'".encode()  # noqa: S608

        def look() -> int:
            row = self._stage.sinks.connection.execute(query).fetchone()
            return int(row[0]) if row else 0

        return look

    def _measured(self, put: Put, eyes: Mapping[str, Eye], process: ServerProcess) -> Latency:
        """The first tick waits until everything runs."""
        watch = Watch(eyes)
        watch.sent.append(time.perf_counter())
        put(0)
        self._stage.until(lambda: watch.look() > 0, process, "first attempt")
        watch.start()
        begun = time.perf_counter()
        for number in range(1, self._ticks + 1):
            time.sleep(max(0.0, begun + number * TICK_SECONDS - time.perf_counter()))
            watch.sent.append(time.perf_counter())
            put(number)
        deadline = time.monotonic() + _LATE_SECONDS
        while watch.seen < len(watch.sent) and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)
        watch.end()
        if watch.seen < len(watch.sent):
            raise NotRun(f"{len(watch.sent) - watch.seen} of {len(watch.sent)} attempts were never seen")
        took = {name: [s * 1000 for s in found[1 + _WARM :]] for name, found in watch.seconds.items()}
        return Latency(
            probes=self._ticks - _WARM,
            p50_ms={name: statistics.median(found) for name, found in took.items()},
            p99_ms={name: quantile(found, 0.99) or 0.0 for name, found in took.items()},
        )
