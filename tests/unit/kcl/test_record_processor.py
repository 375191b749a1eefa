"""KCL's callbacks: what the daemon says, recorded line by line, against a whole world in memory.

The answers are asserted as one list: a status line that comes too early is a batch that is lost.
"""

import base64
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import stamina
from amazon_kclpy import kcl

from tests.conftest import NOW, score_event
from tests.doubles import Scene, key_of, record
from worker.adapters.memory import MemoryMetrics
from worker.batch import Record
from worker.domain.errors import LedgerUnavailable, PoisonBatch, ProjectionUnavailable
from worker.domain.position import ORIGIN, Position
from worker.kcl.fleet import Fleet
from worker.kcl.heartbeat import LEAVE
from worker.kcl.listener import HeartbeatListener, socket_folder
from worker.kcl.record_processor import Heart, ShardProcessor
from worker.kcl.totals import ShardTotals
from worker.kcl.watchdog import Patience, Watchdog
from worker.stream.pipeline import Pipeline

SHARD = "shardId-000000000000"
HIGH = 49_650_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
"""A sequence number of 56 digits, as Kinesis counts."""
ROOT = Path(__file__).parents[3]


class Died(BaseException):
    """The process would have ended here."""


class MemoryHeart(MemoryMetrics):
    def __init__(self) -> None:
        super().__init__()
        self.beats: list[str] = []

    def beat(self, status: Literal["working", "idle", "waiting", "halted"], detail: str = "") -> None:
        self.beats.append(status)

    def goodbye(self) -> None:
        self.beats.append("goodbye")


class World:
    """One shard's process: its processor, and the daemon at the other end of the pipe."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.heart = MemoryHeart()
        self.deaths: list[int] = []
        self.monotonic = 0.0
        self.processor = ShardProcessor(self.build, self.die, lambda: self.monotonic)
        self.pipeline: Pipeline
        self.errors = io.StringIO()

    def build(self, shard_id: str) -> tuple[Pipeline, Heart]:
        assert shard_id == SHARD
        self.pipeline = self.scene.pipeline()
        return self.pipeline, self.heart

    def die(self, code: int) -> None:
        self.deaths.append(code)
        raise Died

    def hear(self, *lines: dict[str, Any]) -> list[Any]:
        """What the process answers to these lines of the daemon, each told in a word or two."""
        said = "".join(json.dumps(line) + "\n" for line in lines)
        answers = io.StringIO()
        process = kcl.KCLProcess(self.processor, io.StringIO(said), answers, self.errors)
        try:
            process.run()
        except Died:
            return [*_told(answers.getvalue()), "died"]
        return _told(answers.getvalue())

    def positions(self) -> tuple[Position, Position]:
        """How far the ledger is committed and projected."""
        progress = self.scene.ledger.progress()["shard"]
        return progress.committed, progress.projected


def _told(output: str) -> list[Any]:
    told: list[Any] = []
    for line in output.split("\n"):
        if not line:
            continue
        answer = json.loads(line)
        if answer["action"] == "status":
            told.append(answer["responseFor"])
        else:
            told.append((answer["sequenceNumber"], answer["subSequenceNumber"]))
    return told


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=99, cap=True):
        yield


def initialize(sequence: str = "TRIM_HORIZON", sub: int = 0) -> dict[str, Any]:
    return {
        "action": "initialize",
        "shardId": SHARD,
        "sequenceNumber": sequence,
        "subSequenceNumber": sub,
    }


def process(*records: Record, behind: int | None = 0) -> dict[str, Any]:
    return {
        "action": "processRecords",
        "millisBehindLatest": behind,
        "records": [
            {
                "action": "record",
                "data": base64.b64encode(found.data).decode(),
                "partitionKey": "envelope",
                "sequenceNumber": str(found.position.sequence),
                "subSequenceNumber": found.position.sub_sequence,
                "approximateArrivalTimestamp": int(found.arrived_at.timestamp() * 1000),
            }
            for found in records
        ],
    }


def stored(error: str | None = None, sequence: str | None = "1") -> dict[str, Any]:
    return {"action": "checkpoint", "sequenceNumber": sequence, "subSequenceNumber": 0, "error": error}


SHUTDOWN = {"action": "shutdownRequested"}
LEASE_LOST = {"action": "leaseLost"}
SHARD_ENDED = {"action": "shardEnded"}


def test_a_shard_from_its_beginning_to_its_handover(world: World) -> None:
    answers = world.hear(
        initialize(),
        *(process(record(score_event(), sequence=HIGH)), stored()),
        process(record(score_event(attempt=2), sequence=HIGH + 1)),
        process(),
        *(SHUTDOWN, stored()),
        LEASE_LOST,
    )
    assert answers == [
        "initialize",
        *((str(HIGH), 0), "processRecords"),
        "processRecords",
        "processRecords",
        *((str(HIGH + 1), 0), "shutdownRequested"),
        "leaseLost",
    ]
    assert world.positions() == (Position(HIGH + 1), Position(HIGH + 1))
    assert world.heart.beats == ["working", "working", "working", "working", "goodbye"]
    assert world.deaths == []
    assert world.errors.getvalue() == ""


def test_a_shard_that_ends_stores_its_place_and_then_its_end(world: World) -> None:
    answers = world.hear(
        initialize(),
        *(process(record(score_event(), sequence=1)), stored()),
        process(record(score_event("ben"), sequence=2)),
        *(SHARD_ENDED, stored(), stored()),
    )
    assert answers[-3:] == [("2", 0), (None, None), "shardEnded"]
    assert world.positions() == (Position(2), Position(2))
    assert world.heart.beats[-1] == "goodbye"


def test_a_shard_that_ends_at_once_stores_only_its_end(world: World) -> None:
    assert world.hear(initialize("12", 3) | {"sequenceNumber": "LATEST"}, SHARD_ENDED, stored()) == [
        "initialize",
        (None, None),
        "shardEnded",
    ]


def test_a_shard_that_ends_while_redis_is_away_waits_for_it(world: World) -> None:
    scene = world.scene
    scene.projection.away = True
    scene.wire.before("commit", lambda: scene.time.then(60, lambda: setattr(scene.projection, "away", False)))
    answers = world.hear(initialize(), process(record(score_event())), SHARD_ENDED, stored(), stored())
    assert answers == ["initialize", "processRecords", ("1", 0), (None, None), "shardEnded"]
    assert scene.stale() == []


def test_an_aggregated_record_is_placed_by_both_numbers(world: World) -> None:
    parts = [record(score_event(attempt=n))._replace(position=Position(HIGH, n)) for n in range(3)]
    answers = world.hear(initialize(), process(*parts), stored())
    assert answers == ["initialize", (str(HIGH), 2), "processRecords"]


def test_a_restart_opens_at_the_checkpoint(world: World) -> None:
    world.hear(initialize(), process(record(score_event(), sequence=5)), stored())
    again = World()
    again.scene = world.scene
    assert again.hear(initialize("5", 0), process()) == ["initialize", "processRecords"]


@pytest.mark.parametrize(("sequence", "sub"), [("6", 0), ("5", 1)])
def test_a_ledger_behind_the_checkpoint_ends_the_process_before_it_says_a_word(
    world: World, sequence: str, sub: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.hear(initialize(), process(record(score_event(), sequence=5)), stored())
    again = World()
    again.scene = world.scene
    assert again.hear(initialize(sequence, sub)) == ["died"]
    assert again.deaths == [1]
    assert "Start a new ledger epoch" in caplog.text


def test_times_of_arrival_are_aware(world: World) -> None:
    seen: list[Record] = []
    world.hear(initialize())

    def take(records: Sequence[Record], *, at_tip: bool = False) -> None:
        seen.extend(records)

    world.processor._pipeline.process = take  # type: ignore[method-assign]
    moment = datetime(2026, 3, 2, 11, 59, 59, 123_000, tzinfo=UTC)
    world.hear(process(record(score_event(), arrived_at=moment)))
    assert seen == [record(score_event(), arrived_at=moment)]


@pytest.mark.parametrize(("millis", "seconds"), [(None, 0.0), (0, 0.0), (61_500, 61.5)])
def test_the_iterator_age_is_told(world: World, millis: int | None, seconds: float) -> None:
    world.hear(initialize(), process(behind=millis))
    assert world.heart.gauges["iterator_age_seconds"] == seconds


# Nothing escapes.


@pytest.mark.parametrize(
    "error",
    [ValueError("ada"), KeyError("ada"), PoisonBatch("ada"), SystemExit(0), KeyboardInterrupt(), Died()],
)
@pytest.mark.parametrize("call", ["intern", "commit", "write"])
def test_an_unknown_error_ends_the_process_before_its_status(
    world: World, error: BaseException, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = world.scene
    world.hear(initialize())
    scene.wire.before(call, error, error)
    assert world.hear(process(record(score_event())), process()) == ["died"]
    assert world.deaths == [1]
    assert scene.store.positions == []
    assert scene.ledger.progress()["shard"].projected == ORIGIN
    assert f"fatal: {type(error).__name__} at " in caplog.text
    assert "ada" not in caplog.text, "the text of an unknown error may quote a record"
    assert world.errors.getvalue() == "", "kclpy had nothing to swallow"


def test_an_error_while_starting_ends_the_process(world: World) -> None:
    def build(_: str) -> tuple[Pipeline, Heart]:
        raise ValueError

    world.processor = ShardProcessor(build, world.die)
    assert world.hear(initialize()) == ["died"]


@pytest.mark.parametrize("line", [SHUTDOWN, LEASE_LOST, SHARD_ENDED])
def test_an_error_in_any_callback_ends_the_process(world: World, line: dict[str, Any]) -> None:
    assert world.hear(line) == ["died"], "the daemon never starts with these"


@pytest.mark.parametrize("error", ["InvalidStateException", "IllegalArgumentException", "RuntimeException"])
def test_a_checkpoint_that_is_refused_for_a_reason_of_ours_ends_the_process(
    world: World, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.hear(initialize(), process(record(score_event())), stored(error)) == [
        "initialize",
        ("1", 0),
        "died",
    ]
    assert f"the daemon refused the checkpoint: {error}" in caplog.text


def test_an_answer_that_is_no_answer_ends_the_process(world: World) -> None:
    assert world.hear(initialize(), process(record(score_event())), process()) == [
        "initialize",
        ("1", 0),
        "died",
    ]


def test_a_daemon_that_goes_away_in_the_middle_ends_the_process(world: World) -> None:
    assert world.hear(initialize(), process(record(score_event()))) == ["initialize", ("1", 0), "died"]


def test_the_real_end_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ShardProcessor.__init__.__defaults__ == (os._exit, time.monotonic)


# Outages are waited out, leases are lost, checkpoints come later.


def test_outages_are_waited_out_inside_the_call(world: World) -> None:
    world.hear(initialize())
    world.scene.wire.before("commit", *[LedgerUnavailable()] * 9)
    world.scene.wire.before("write", *[ProjectionUnavailable()] * 2)
    assert world.hear(process(record(score_event())), stored()) == [("1", 0), "processRecords"]
    assert len(world.scene.time.pauses) == 11


def test_a_throttled_checkpoint_is_sent_again_and_else_covered_later(world: World) -> None:
    answers = world.hear(
        initialize(),
        process(record(score_event())),
        *[stored("ThrottlingException")] * 5,
        *(SHUTDOWN, stored("ThrottlingException"), stored()),
    )
    assert answers == ["initialize", *[("1", 0)] * 5, "processRecords", *[("1", 0)] * 2, "shutdownRequested"]


def test_a_lost_lease_is_everyday_life(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing more is read, stored or claimed; the process waits for its end."""
    answers = world.hear(
        initialize(),
        *(process(record(score_event())), stored("ShutdownException")),
        process(record(score_event(attempt=2), sequence=2)),
        LEASE_LOST,
    )
    assert answers == ["initialize", ("1", 0), "processRecords", "processRecords", "leaseLost"]
    assert world.positions() == (Position(1), Position(1))
    assert world.deaths == []
    assert "another worker owns the shard" in caplog.text
    assert [log.levelname for log in caplog.records] == ["WARNING"]
    assert world.heart.beats == ["working", "working", "working", "goodbye"]


def test_a_lease_lost_at_shutdown(world: World) -> None:
    world.hear(initialize(), process(record(score_event())), stored())
    world.hear(process(record(score_event("ben"), sequence=2)))
    assert world.hear(SHUTDOWN, stored("ShutdownException"), LEASE_LOST) == [
        ("2", 0),
        "shutdownRequested",
        "leaseLost",
    ]
    assert world.deaths == []


@pytest.mark.parametrize("at", ["its place", "its end"])
def test_a_lease_lost_at_the_end_of_the_shard(world: World, at: str) -> None:
    world.hear(initialize(), process(record(score_event())), stored())
    world.hear(process(record(score_event("ben"), sequence=2)))
    answers = world.hear(
        SHARD_ENDED,
        *((stored("ShutdownException"),) if at == "its place" else (stored(), stored("ShutdownException"))),
        LEASE_LOST,
    )
    assert answers == [
        ("2", 0),
        *([] if at == "its place" else [(None, None)]),
        "shardEnded",
        "leaseLost",
    ]
    assert world.deaths == []
    assert world.heart.beats[-2:] == ["goodbye", "goodbye"]


def test_an_end_that_cannot_be_stored_is_not_reported_as_done(world: World) -> None:
    assert world.hear(initialize(), SHARD_ENDED, *[stored("ThrottlingException")] * 5) == [
        "initialize",
        *[(None, None)] * 5,
        "died",
    ]


def test_a_state_that_moved_is_whole_when_the_status_is_sent(world: World) -> None:
    """The status line is the promise that the records are in ledger and projection."""
    world.hear(initialize(), process(record(score_event())), stored())
    event = score_event(attempt=2)
    said: list[tuple[bool, bool]] = []

    class Answers(io.StringIO):
        def write(self, text: str) -> int:
            shown = world.scene.shown(event)
            said.append((shown is not None and shown.total == 2, "processRecords" in text))
            return super().write(text)

    line = json.dumps(process(record(event, sequence=2)))
    kcl.KCLProcess(world.processor, io.StringIO(line), Answers(), world.errors).run()
    assert said == [(True, True)]
    assert key_of(event) in world.scene.projection.values


# The supervisor's word that the task stops.


def test_who_is_asked_to_leave_checkpoints_says_goodbye_and_takes_no_more(world: World) -> None:
    world.hear(initialize(), process(record(score_event(), sequence=1)), stored())
    world.hear(process(record(score_event(attempt=2), sequence=2)))
    world.processor.leave()
    answers = world.hear(
        *(process(record(score_event(attempt=3), sequence=3)), stored()),
        process(record(score_event(attempt=4), sequence=4)),
        SHUTDOWN,
        LEASE_LOST,
    )
    assert answers == [("2", 0), "processRecords", "processRecords", "shutdownRequested", "leaseLost"]
    assert world.positions() == (Position(2), Position(2))
    assert set(world.heart.beats[-3:]) == {"goodbye"}
    assert world.deaths == []


def test_who_is_asked_in_the_middle_of_a_batch_finishes_it(world: World) -> None:
    world.hear(initialize(), process(record(score_event(), sequence=1)), stored())
    world.scene.wire.before("commit", world.processor.leave)
    assert world.hear(process(record(score_event(attempt=2), sequence=2)), stored()) == [
        ("2", 0),
        "processRecords",
    ]
    assert world.positions() == (Position(2), Position(2))
    assert world.heart.beats[-1] == "goodbye"


def test_who_has_lost_the_lease_before_only_says_goodbye(world: World) -> None:
    world.hear(initialize(), process(record(score_event())), stored("ShutdownException"))
    world.processor.leave()
    assert world.hear(process()) == ["processRecords"]
    assert world.heart.beats[-1] == "goodbye"


# A daemon that asks nothing.


def test_between_two_calls_it_says_that_it_is_idle_and_lets_its_age_grow(world: World) -> None:
    world.hear(initialize(), process(behind=3_000))
    world.monotonic += 20
    world.processor.idle()
    assert world.heart.beats[-1] == "idle"
    assert world.heart.gauges["iterator_age_seconds"] == 23
    world.hear(process(behind=1_000))
    assert world.heart.beats[-1] == "working"
    assert world.heart.gauges["iterator_age_seconds"] == 1


def test_who_waits_inside_a_call_is_not_idle(world: World) -> None:
    world.scene.wire.before("commit", world.processor.idle)
    world.hear(initialize(), process(record(score_event())), stored())
    assert "idle" not in world.heart.beats
    assert world.positions() == (Position(1), Position(1))


@pytest.mark.parametrize("last", [LEASE_LOST, process()])
def test_after_a_goodbye_it_says_nothing_more(world: World, last: dict[str, Any]) -> None:
    world.hear(initialize())
    world.processor.leave()
    world.hear(last)
    world.processor.idle()
    assert world.heart.beats[-1] == "goodbye"


# Callbacks called by themselves.


def test_the_processor_speaks_version_three_of_the_protocol() -> None:
    assert ShardProcessor.version == 3


def test_a_record_without_a_sub_sequence_number_has_none(world: World) -> None:
    found = SimpleNamespace(
        binary_data=b"x", sequence_number="7", sub_sequence_number=None, timestamp_millis=1000
    )
    assert world.processor._record(found) == Record(
        b"x", Position(7, 0), datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1)
    )


# The process itself.


SHARD_PROCESS = """
import logging, os, sys
from tests.doubles import Scene
from worker.kcl import shard
from worker.kcl.record_processor import ShardProcessor

class Heart:
    def count(self, *_, **__): pass
    gauge = observe = beat = goodbye = count

class Noisy:
    def __init__(self, pipeline): self._pipeline = pipeline
    def open(self, checkpoint): self.make_noise(); self._pipeline.open(checkpoint)
    def process(self, records, **more): self.make_noise(); self._pipeline.process(records, **more)
    def settle(self, *arguments, **named): self.make_noise(); self._pipeline.settle(*arguments, **named)
    def make_noise(self):
        print("noise null {}")
        sys.stdout.write("noise\\n")
        os.write(1, b"noise\\n")
        os.system("echo noise")
        logging.warning("noise")

sys.exit(shard.run(ShardProcessor(lambda _: (Noisy(Scene().pipeline()), Heart()))))
"""

SILENT_DAEMON = """
import sys, threading
from tests.doubles import Scene
from worker.kcl import shard
from worker.kcl.heartbeat import HeartbeatSender
from worker.kcl.record_processor import ShardProcessor

class Hangs:
    def __init__(self, pipeline): self._pipeline = pipeline
    def open(self, checkpoint): self._pipeline.open(checkpoint)
    def process(self, records, **more):
        threading.Event().wait() if records else self._pipeline.process(records, **more)
    def settle(self, *arguments, **named): pass

heart = HeartbeatSender(sys.argv[1], "shard")
sys.exit(shard.run(ShardProcessor(lambda _: (Hangs(Scene().pipeline()), heart)), idle_seconds=0.05))
"""


class Child:
    """A shard's process as the daemon has it: line by line over its pipes."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.lines: list[str] = []

    def ask(self, line: dict[str, Any]) -> Any:
        self.stdin.write(json.dumps(line) + "\n")
        self.stdin.flush()
        while True:
            answer = self.stdout.readline()
            assert answer, "the process ended"
            if answer.strip():
                self.lines.append(answer)
                return json.loads(answer)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Starts processes, and ends them."""
    started: list[Child] = []

    def start(code: str, *arguments: str) -> Child:
        started.append(Child(code, *arguments))
        return started[-1]

    yield start
    for found in started:
        if found.process.poll() is None:
            found.process.kill()
            found.process.communicate()


def test_stdout_belongs_to_the_protocol_whatever_prints(child: Callable[..., Child]) -> None:
    process_ = child(SHARD_PROCESS)
    assert process_.ask(initialize()) == {"action": "status", "responseFor": "initialize"}
    asked = process_.ask(process(record(score_event())))
    assert asked == {"action": "checkpoint", "sequenceNumber": "1", "subSequenceNumber": 0}
    # the daemon's group gets these; the shard finishes what it has begun
    process_.process.send_signal(signal.SIGTERM)
    process_.process.send_signal(signal.SIGINT)
    assert process_.ask(stored()) == {"action": "status", "responseFor": "processRecords"}
    assert process_.ask(SHUTDOWN) == {"action": "status", "responseFor": "shutdownRequested"}
    assert process_.ask(LEASE_LOST) == {"action": "status", "responseFor": "leaseLost"}
    code, out, err = process_.end()
    assert code == 0
    assert out.strip() == ""
    assert err.count("noise") >= 4 * 5


def test_the_signal_to_leave_is_heard(child: Callable[..., Child]) -> None:
    process_ = child(SHARD_PROCESS)
    process_.ask(initialize())
    process_.ask(process(record(score_event(), sequence=1)))
    assert process_.ask(stored()) == {"action": "status", "responseFor": "processRecords"}
    process_.process.send_signal(LEAVE)
    # a batch that it would take costs a checkpoint
    asked = process_.ask(process(record(score_event(attempt=2), sequence=2)))
    assert asked == {"action": "status", "responseFor": "processRecords"}
    assert process_.ask(LEASE_LOST) == {"action": "status", "responseFor": "leaseLost"}
    assert process_.end()[0] == 0


def test_a_process_beats_while_the_daemon_asks_nothing_and_not_while_it_hangs(
    child: Callable[..., Child], tmp_path: Path
) -> None:
    now = time.monotonic()
    with (
        socket_folder(tmp_path, "s") as folder,
        closing(HeartbeatListener(folder / "s", ShardTotals({}))) as listener,
    ):

        def word() -> str:
            listener.receive()
            return listener.heard["shard"].status if "shard" in listener.heard else "nothing"

        def until(status: str) -> None:
            while word() != status:
                assert time.monotonic() < now + 60, f"never {status}"
                select.select([listener], [], [], 1)

        process_ = child(SILENT_DAEMON, str(folder / "s"))
        process_.ask(initialize())
        until("idle")
        first = listener.heard["shard"]
        process_.ask(process())
        until("working")
        until("idle")
        assert listener.heard["shard"].at > first.at
        process_.stdin.write(json.dumps(process(record(score_event()))) + "\n")
        process_.stdin.flush()
        while select.select([listener], [], [], 1)[0]:
            listener.receive()
        assert process_.process.poll() is None
        # ten beats late, and nothing left in the queue: it hangs and nobody says otherwise
        assert time.monotonic() - listener.heard["shard"].at > 0.5
        dog = Watchdog("me", Fleet("me", 4), Patience(silent=0.5))
        dog.begin(listener.heard["shard"].at)
        bite = dog.bite(listener.heard, None, time.monotonic())
        assert bite is not None
        assert bite.reason == "silent"


def test_a_fatal_error_is_the_end_without_a_status(child: Callable[..., Child]) -> None:
    broken = SHARD_PROCESS.replace(
        "self.make_noise(); self._pipeline.process(records, **more)", "raise KeyError('ada')"
    )
    process_ = child(broken)
    process_.ask(initialize())
    process_.stdin.write(json.dumps(process(record(score_event(at=NOW)))) + "\n")
    code, out, err = process_.end()
    assert code == 1
    assert out.strip() == ""
    assert "fatal: KeyError at Noisy.process:" in err
    assert "ada" not in err
    assert "Traceback" not in err
