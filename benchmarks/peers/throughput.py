"""How fast each one is when there is more to do than it can: events a second, and CPU an event.

Children of the KCL daemon are fed the daemon's own messages. async-kinesis and Pathway read a stream, or
files: there the emulator or the disk takes part in the time, so it is their own CPU that counts. A peer
that works record by record is given the first few thousand of the same events: its rate does not depend on
how many there are. What a run left in the servers is checked before its figure counts.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import msgspec

from benchmarks.peers import ours
from benchmarks.peers.cost import Cost, cost
from benchmarks.peers.events import CALL, ENVELOPE, SMALL_CALL, Events, calls
from benchmarks.peers.expecting import Event, Expected, expected
from benchmarks.peers.pathway_runs import PathwayRuns
from benchmarks.peers.stage import Fed, NotRun, Stage, pid_of
from worker.domain import envelope

Run = Callable[[], Cost]

OURS = "ours, envelopes"
OURS_PLAIN = "ours, plain JSON"
SAMPLE = "kclpy sample, plain JSON"
ASYNC = "async-kinesis, record by record"
_SECONDS = 0.001
_AWAY = "servers 1 ms away"
OURS_AWAY = f"{OURS}, {_AWAY}"
SAMPLE_AWAY = f"{SAMPLE}, {_AWAY}"
KINESIS = "Pathway, pw.io.kinesis, rows and means"


class Throughput:
    """The runs, by name.

    Args:
        stage: where.
        ledger: ours, looked at from outside.
        many: events for who works in batches.
        few: events for who works record by record.
    """

    def __init__(self, stage: Stage, ledger: ours.Ledger, many: int, few: int) -> None:
        self._stage = stage
        self._ledger = ledger
        self._many = many
        self._few = few
        self._number = 0
        self.stages: list[Mapping[str, float]] = []
        """Of our own runs with envelopes, microseconds an event in each stage of a batch's journey."""

    def runs(self) -> Mapping[str, Run]:
        """Everything that is compared."""
        pathway = PathwayRuns(self._stage, self._plain)
        return {
            OURS: self._ours,
            OURS_PLAIN: partial(self._ours, plain=True),
            SAMPLE: self._sample,
            "kclpy sample, envelopes": partial(self._sample, "--envelopes"),
            "kclpy batched, plain JSON": partial(self._sample, "--way", "batch"),
            "kclpy batched, envelopes": partial(self._sample, "--way", "batch", "--envelopes"),
            OURS_AWAY: partial(self._ours, distance=_SECONDS),
            SAMPLE_AWAY: partial(self._sample, distance=_SECONDS),
            f"kclpy batched, plain JSON, {_AWAY}": partial(self._sample, "--way", "batch", distance=_SECONDS),
            ASYNC: partial(self._async, "record"),
            "async-kinesis, batches": partial(self._async, "batch"),
            "async-kinesis, lists": partial(self._async, "list"),
            KINESIS: pathway.kinesis,
            "Pathway, stream polled by boto3, rows and means": partial(pathway.poll, "means"),
            "Pathway, files, rows": partial(pathway.files, "rows"),
            "Pathway, files, rows and means": partial(pathway.files, "means"),
            "Pathway, files, registers and windows": partial(pathway.files, "registers"),
        }

    def introduce(self) -> None:
        """Make all students known to the ledger once, as they are in a system that has run for a while."""
        self._ours()
        self.stages.clear()

    @cached_property
    def _events(self) -> Events:
        """What the peers read."""
        edges = self._ledger.edges
        return Events("peers", self._many, edges.identity, edges.realm)

    @cached_property
    def _plain(self) -> list[bytes]:
        return self._events.plain()

    @cached_property
    def _envelopes(self) -> list[bytes]:
        return self._events.envelopes()

    def _ours(self, *, plain: bool = False, distance: float = 0.0) -> Cost:
        self._number += 1
        run, edges = f"ours{self._number}", self._ledger.edges
        events = Events(run, self._many, edges.identity, edges.realm)
        fed = calls(events.plain(), 1) if plain else calls(events.envelopes(), ENVELOPE)
        self._ledger.begin()
        path = self._stage.session.directory / "heartbeats"
        with ours.heard(path) as heart:
            child = Fed(ours.COMMAND, ours.environment(self._stage.session.environment, run, path))
            heart.start()
            found = self._stage.fed("ours", child, fed, distance)
            heart.join()
        if not plain and not distance:
            self.stages.append({name: spent * 1e6 / len(events) for name, spent in heart.stages.items()})
        return _proven(found, self._ledger.missing(events))

    def _sample(self, *options: str, distance: float = 0.0) -> Cost:
        self._stage.sinks.clear()
        count, each = (self._many, CALL) if "batch" in options else (self._few, SMALL_CALL)
        if distance and each == SMALL_CALL:
            count //= 3
        each = min(each, max(1, count // 2))  # the first call warms up, so there is a second one
        if "--envelopes" in options:
            records = self._envelopes[: count // ENVELOPE]
            events = (event for data in records for event in _opened(data))
            wanted, fed = expected(events, "student_key"), calls(records, ENVELOPE, each)
        else:
            wanted, fed = _expected(self._plain[:count]), calls(self._plain[:count], 1, each)
        found = self._stage.fed("kclpy", self._stage.sample(*options), fed, distance)
        return _proven(found, self._stage.sinks.missing(wanted))

    def _async(self, way: str) -> Cost:
        self._stage.sinks.clear()
        records = self._plain[: self._few if way == "record" else self._many]
        lists = [b"[" + b",".join(records[n : n + ENVELOPE]) + b"]" for n in range(0, len(records), ENVELOPE)]
        with self._stage.stream("peers-async") as stream:
            self._stage.put(stream, lists if way == "list" else records)
            return self._consumed(("--stream", stream, "--way", way, "--fast"), _expected(records))

    def _consumed(self, options: Sequence[str], wanted: Expected) -> Cost:
        """From the first rows in the table to the last; what follows them in Redis must come as well."""
        stage, count = self._stage, wanted.rows
        with stage.running("async-kinesis", "async_kinesis", *options) as process:
            stage.until(lambda: stage.sinks.rows("scores") > 0, process, "first row")
            meter = stage.meter(pid_of(process))
            before, first = meter.look(), stage.sinks.rows("scores")
            stage.until(lambda: stage.sinks.rows("scores") >= count, process, "last row")
            found = cost(before, meter.look(), count - first)
            stage.until(lambda: not stage.sinks.missing(wanted), process, "last score in Redis")
        if first > count / 2:
            raise NotRun(f"its first commit held {first:,} of {count:,} rows: too few are left to measure")
        return found


def _expected(records: Sequence[bytes]) -> Expected:
    return expected(msgspec.json.decode(record) for record in records)


def _opened(data: bytes) -> list[Event]:
    return [msgspec.json.decode(line) for line in envelope.open_record(data).events]


def _proven(found: Cost, missing: str) -> Cost:
    if missing:
        raise NotRun(f"its figure does not count: {missing}")
    return found
