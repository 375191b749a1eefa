"""The parts of an event's way that need no server, each as a step that can be timed by itself.

They are entered where the product enters them, so that a part may be written anew behind its door and is
still found. What is timed is the same on every machine: the events come from a seed, and nothing waits.
"""

import base64
import io
import json
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from amazon_kclpy import kcl

from worker.adapters.aurora.staging import staged
from worker.adapters.memory import MemoryLedger, MemoryMetrics, MemoryProjection
from worker.batch import Batch, Delivered, Record
from worker.domain import envelope, score, window
from worker.domain.event import ScoreEvent, micros, ratio_micros, register_of
from worker.domain.formats import native
from worker.domain.identity import Identity, Key, Keyring
from worker.domain.position import Position
from worker.domain.window import Attempt, Version
from worker.kcl.inbox import Inbox
from worker.kcl.record_processor import Heart, ShardProcessor
from worker.ports import Loaded, Touched
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, Policy, World
from worker.stream.projecting import plan

EVENTS = 500
"""Of one record, and of every probe that takes events."""
_STUDENTS = 250
_COURSES = 10
_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_REALM = "default"
_SOURCE = "probe"
_RECORDS = 4


class Probe(NamedTuple):
    """A step over a fixed input: what it is a part of, how many events or states it takes, how to take them.

    `fresh` gives what the step is called with; its cost is not counted.
    """

    name: str
    what: str
    pieces: int
    step: Callable[[Any], object]
    fresh: Callable[[], Any] = lambda: None


def probes() -> list[Probe]:
    """Every probe, on one set of events."""
    identity = Identity(Keyring("k1", {"k1": Key(bytes(range(32)), bytes(range(64)))}))
    all_events = [_events(identity, term) for term in range(_RECORDS)]
    events = all_events[0]
    records = [
        Record(envelope.seal(those), Position(number + 1), _NOON) for number, those in enumerate(all_events)
    ]
    decoder = Decoder(identity, _REALM)
    delivered, _ = decoder.decode(records[0])
    touched, loaded = _projected(delivered)
    attempts = [_attempt(event) for event in events]
    states = [window.rebuild(attempts[start : start + 20]) for start in range(0, EVENTS, 20)]
    rows = [_row(event, number) for number, event in enumerate(events)]
    return [
        Probe("wire", "the daemon's message → records", EVENTS * _RECORDS, _hear, lambda: _told(records)),
        Probe("decode", "a record → events and registers", EVENTS, lambda _: decoder.decode(records[0])),
        Probe("register", "the register of an event", EVENTS, lambda _: [register_of(e) for e in events]),
        Probe("keys", "the states that a batch touches", EVENTS, _keys, lambda: _batch(delivered)),
        Probe("stage", "events → rows of the staging table", EVENTS, lambda _: _stage(delivered)),
        Probe("plan", "committed events → writes of their states", EVENTS, lambda _: plan(touched, loaded)),
        Probe("fold", "one attempt into a state of twenty", EVENTS, lambda _: _fold(states, attempts)),
        Probe("rebuild", "a state of twenty attempts", EVENTS // 20, lambda _: _rebuild(attempts)),
        Probe("read", "a state → every figure a reader sees", len(states), lambda _: _read(states)),
        Probe("edge", "a row → an event with a pseudonym", EVENTS, lambda _: _edge(rows, identity)),
        Probe("pack", "events → an envelope", EVENTS, lambda _: list(envelope.pack(events))),
        Probe(
            "journey",
            "records → twins of ledger and Redis",
            EVENTS * _RECORDS,
            _journey,
            lambda: (_pipeline(decoder), records),
        ),
    ]


def _events(identity: Identity, term: int) -> list[ScoreEvent]:
    chance = random.Random(term)
    students = [identity.identify(f"student-{number}", _REALM) for number in range(_STUDENTS)]
    return [
        ScoreEvent(
            *students[number % _STUDENTS],
            course_id=f"course-{number % _COURSES}",
            item_id=f"quiz-{term}-{number // _STUDENTS}",
            score=float(chance.randrange(101)),
            max_score=100.0,
            occurred_at=_NOON - timedelta(days=20) + timedelta(minutes=number),
            graded_at=_NOON - timedelta(days=19) + timedelta(minutes=number),
            attempt=chance.randrange(1, 4),
        )
        for number in range(EVENTS)
    ]


def _attempt(event: ScoreEvent) -> Attempt:
    ratio = ratio_micros(event.score, event.max_score)
    return Attempt(micros(event.occurred_at), register_of(event).key, ratio)


def _row(event: ScoreEvent, number: int) -> dict[str, object]:
    return {
        "student_id": f"student-{number % _STUDENTS}",
        "course_id": event.course_id,
        "item_id": event.item_id,
        "attempt": event.attempt,
        "score": event.score,
        "max_score": event.max_score,
        "occurred_at": event.occurred_at,
        "graded_at": event.graded_at,
    }


def _edge(rows: Sequence[dict[str, object]], identity: Identity) -> list[ScoreEvent]:
    return [
        native.canonical(
            native.from_fields(row), sealed_id=None, identity=identity, realm=_REALM, arrived_at=_NOON
        )
        for row in rows
    ]


def _batch(delivered: Sequence[Delivered]) -> Batch:
    return Batch(_SOURCE, Position(1), delivered)


def _keys(batch: Batch) -> object:
    return batch.keys


def _stage(delivered: Sequence[Delivered]) -> None:
    """The bytes that PostgreSQL is sent; which states the rows are of is not looked for here."""
    batch = Batch(_SOURCE, Position(1), delivered)
    staged(batch, [(1, number) for number in range(len(batch.keys))])


def _projected(delivered: Sequence[Delivered]) -> tuple[list[Touched], Loaded]:
    """Every state was loaded at the version before this batch, with ten attempts in it."""
    inserts: dict[Any, list[Attempt]] = {}
    for one in delivered:
        inserts.setdefault(one.key, []).append(_attempt(one.event))
    old = window.rebuild(Attempt(micros(_NOON - timedelta(days=40 - n)), n << 33, 500_000) for n in range(10))
    value = window.header((1, 10)) + old
    touched = [Touched(key, Version(1, 11), bumped=True, inserts=new) for key, new in inserts.items()]
    return touched, Loaded([value] * len(touched), b"T" * window.HEADER_SIZE, None)


def _fold(states: Sequence[bytes], attempts: Sequence[Attempt]) -> None:
    newest = micros(_NOON)
    for number, attempt in enumerate(attempts):
        window.fold(states[number % len(states)], attempt._replace(occurred=newest))


def _rebuild(attempts: Sequence[Attempt]) -> None:
    for start in range(0, len(attempts), 20):
        window.rebuild(attempts[start : start + 20])


def _read(states: Sequence[bytes]) -> None:
    for state in states:
        score.scores(window.unpack(state), _NOON)


def _told(records: Sequence[Record]) -> int:
    """An open file with what the daemon would write to a shard process."""
    start = {"action": "initialize", "shardId": "0", "sequenceNumber": "TRIM_HORIZON", "subSequenceNumber": 0}
    batch = {
        "action": "processRecords",
        "millisBehindLatest": 0,
        "records": [
            {
                "action": "record",
                "data": base64.b64encode(record.data).decode(),
                "partitionKey": "envelope",
                "sequenceNumber": str(record.position.sequence),
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": int(record.arrived_at.timestamp() * 1000),
            }
            for record in records
        ],
    }
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(json.dumps(message).encode() + b"\n" for message in (start, batch)))
        file.seek(0)
        return os.dup(file.fileno())


class _Taken:
    """A pipeline and a line to the supervisor that do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments, **_named: None


def _hear(descriptor: int) -> None:
    """What a shard process does from the pipe to its pipeline, and back to the answer."""
    nothing = (cast("Pipeline", _Taken()), cast("Heart", _Taken()))
    processor = ShardProcessor(lambda _shard: nothing)
    inbox = Inbox(descriptor, lambda: None)
    kcl.KCLProcess(processor, inbox, io.StringIO(), io.StringIO()).run()
    os.close(descriptor)


def _pipeline(decoder: Decoder) -> Pipeline:
    world = World(MemoryLedger(), MemoryProjection(), MemoryMetrics(), lambda: _NOON, _never)
    pipeline = Pipeline(_SOURCE, decoder, world, Policy())
    pipeline.open(None)
    return pipeline


def _never(seconds: float, because: Exception) -> None:
    del seconds
    raise because


def _journey(given: tuple[Pipeline, Sequence[Record]]) -> None:
    pipeline, records = given
    pipeline.process(records)
