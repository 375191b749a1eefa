"""Both ends of the heartbeat over a real socket: nothing is lost, nothing blocks, nothing raises."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from worker.kcl.heartbeat import Beat, HeartbeatSender
from worker.kcl.listener import Heard, HeartbeatListener, socket_folder
from worker.metrics import EVENTS
from worker.ports import Metrics

SHARD = "shardId-000000000000"
OTHER = "shardId-000000000001"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Sums:
    """Adds up counters and remembers the rest."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], float] = {}
        self.beats: list[Beat] = []
        self.forgotten: list[str] = []

    def add(self, beat: Beat) -> None:
        self.beats.append(beat)
        for name, _, value in beat.counters:
            key = (beat.shard, name)
            self.counters[key] = self.counters.get(key, 0) + value

    def forget(self, shard: str) -> None:
        self.forgotten.append(shard)


class Line:
    """A listener, and senders that are closed with it."""

    def __init__(
        self, path: Path, stack: ExitStack, on_goodbye: Callable[[str], None] = lambda _shard: None
    ) -> None:
        self.path = path / "h.sock"
        self.clock = Clock()
        self.sums = Sums()
        self.stack = stack
        self.listener = HeartbeatListener(self.path, self.sums, self.clock, on_goodbye)
        stack.callback(self.listener.close)

    def sender(self, shard: str = SHARD) -> HeartbeatSender:
        sender = HeartbeatSender(str(self.path), shard, self.clock)
        self.stack.callback(sender.close)
        return sender

    def received(self) -> list[Beat]:
        self.sums.beats.clear()
        self.listener.receive()
        return self.sums.beats


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(tmp_path, stack)


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.connect(str(path))
        yield end


def fill(sender: HeartbeatSender) -> int:
    """Send until the kernel's queue is full; how many beats it took."""
    sent = 0
    while not sender.tally.gauges:
        sender.gauge("degraded", 0)
        sender.beat("working")
        sent += not sender.tally.gauges
    return sent


def test_a_beat_carries_status_and_deltas(line: Line) -> None:
    sender = line.sender()
    sender.count("events_total", 3, outcome="applied")
    sender.count("events_total", 4, outcome="applied")
    sender.count("events_total", outcome="duplicate")
    sender.gauge("iterator_age_seconds", 9)
    sender.gauge("iterator_age_seconds", 2)
    sender.observe("batch_events", 5)
    sender.observe("batch_events", 6)
    sender.observe("batch_events", 10**6)
    sender.beat("waiting", "LedgerUnavailable")
    (beat,) = line.received()
    assert (beat.shard, beat.pid, beat.at) == (SHARD, os.getpid(), 100)
    assert (beat.status, beat.detail) == ("waiting", "LedgerUnavailable")
    assert beat.counters == [
        ("events_total", {"outcome": "applied"}, 7),
        ("events_total", {"outcome": "duplicate"}, 1),
    ]
    assert beat.gauges == [("iterator_age_seconds", 2)]
    ((name, labels, counts, total),) = beat.histograms
    assert (name, labels, total) == ("batch_events", {}, 1_000_011)
    filled = {bound: n for bound, n in zip([*EVENTS, "more"], counts, strict=True) if n}
    assert filled == {5.0: 1, 10.0: 1, "more": 1}


def test_deltas_are_sent_once(line: Line) -> None:
    sender = line.sender()
    sender.count("transactions_total")
    sender.beat("working")
    sender.beat("working")
    assert [len(beat.counters) for beat in line.received()] == [1, 0]


def test_a_full_queue_merges_into_the_next_beat(line: Line) -> None:
    sender = line.sender()
    fill(sender)
    for _ in range(50):
        sender.count("events_read_total", 2)
        sender.observe("batch_events", 1)
        sender.beat("working")
    line.received()
    assert line.sums.counters == {}
    sender.beat("working")
    (beat,) = line.received()
    assert beat.counters == [("events_read_total", {}, 100)]
    assert beat.histograms[0][2:] == ([50, *[0] * len(EVENTS)], 50)


def test_a_missing_supervisor_loses_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        line = Line(tmp_path, stack)
        sender = line.sender()
        line.listener.close()
        sender.count("transactions_total")
        sender.beat("working")
        sender.goodbye()
        again = Line(tmp_path, stack)
        sender.count("transactions_total")
        sender.beat("working")
        again.listener.receive()
        assert again.sums.counters == {(SHARD, "transactions_total"): 2}


def test_goodbye_waits_a_moment_for_room_and_no_longer(line: Line) -> None:
    sender = line.sender()
    fill(sender)
    sender.count("transactions_total")
    sender.goodbye()
    assert sender.tally.counters
    line.received()
    sender.goodbye()
    assert [beat.status for beat in line.received()] == ["goodbye"]


def test_without_a_path_it_counts_in_memory() -> None:
    sender = HeartbeatSender(None, SHARD)
    sender.count("transactions_total", 2)
    sender.beat("working")
    sender.goodbye()
    assert sender.tally.counters == {("transactions_total", ()): 2}
    sender.close()


def test_nothing_raises_after_close_or_for_odd_text(line: Line) -> None:
    sender = line.sender()
    sender.beat("halted", "\ud800" * 300)
    (beat,) = line.received()
    assert beat.detail == "?" * 200
    sender.close()
    sender.count("transactions_total")
    sender.beat("working")
    assert sender.tally.counters


def test_a_beat_too_large_for_a_datagram_still_says_it_lives(line: Line) -> None:
    sender = line.sender()
    for number in range(20_000):
        sender.count("waits_total", dependency=f"{number:050}")
    sender.beat("working")
    (beat,) = line.received()
    assert (beat.status, beat.counters) == ("working", [])
    assert len(sender.tally.counters) == 20_000


def test_the_sender_is_the_metrics_port() -> None:
    sender = HeartbeatSender(None, SHARD)
    port: Metrics = sender
    port.count("transactions_total")
    sender.close()


def test_the_listener_knows_who_holds_what(line: Line) -> None:
    one, other = line.sender(), line.sender(OTHER)
    one.beat("working")
    line.clock.now = 107.5
    other.beat("halted", "poison flood")
    line.received()
    assert line.listener.heard == {
        SHARD: Heard(os.getpid(), 100.0, "working", ""),
        OTHER: Heard(os.getpid(), 107.5, "halted", "poison flood"),
    }
    one.count("transactions_total")
    one.goodbye()
    line.received()
    assert set(line.listener.heard) == {OTHER}
    assert line.sums.counters == {(SHARD, "transactions_total"): 1}
    assert line.sums.forgotten == [SHARD]


def test_a_beat_that_lay_in_the_queue_is_as_old_as_it_is(line: Line) -> None:
    line.sender().beat("working")
    line.clock.now = 160.0
    line.received()
    assert line.listener.heard[SHARD].at == 100.0


def test_a_late_goodbye_of_a_former_holder_changes_nothing(line: Line) -> None:
    line.sender().beat("working")
    former = Beat(SHARD, os.getpid() + 1, 100.0, "goodbye")
    line.received()
    with connected(line.path) as end:
        end.send(msgspec.json.encode(former))
    line.received()
    assert line.listener.heard[SHARD].pid == os.getpid()


@pytest.mark.parametrize("datagram", [b"", b"null", b"{", b'{"shard":1}', b'{"shard":"s","pid":1,"at":0}'])
def test_a_datagram_that_makes_no_sense_is_passed_over(line: Line, datagram: bytes) -> None:
    with connected(line.path) as end:
        end.send(datagram)
    line.sender().beat("working")
    assert len(line.received()) == 1


def test_all_is_forgotten_when_the_daemon_has_ended(line: Line) -> None:
    line.sender().beat("working")
    line.sender(OTHER).beat("waiting")
    line.received()
    line.listener.forget_all()
    assert line.listener.heard == {}
    assert line.sums.forgotten == [SHARD, OTHER]


def test_the_socket_of_a_dead_supervisor_is_replaced(line: Line) -> None:
    second = HeartbeatListener(line.path, Sums(), line.clock)
    line.sender().beat("working")
    second.receive()
    assert set(second.heard) == {SHARD}
    second.close()
    assert not line.path.exists()


def test_a_shard_process_loads_nothing_heavy() -> None:
    code = "import sys, worker.kcl.heartbeat; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"prometheus_client", "http.server", "asyncio"} & set(loaded.split())


def test_a_socket_finds_a_folder_short_enough_for_its_path(tmp_path: Path) -> None:
    with socket_folder(tmp_path, "s.sock") as folder:
        assert folder == tmp_path
    deep = tmp_path / ("d" * 100)
    with socket_folder(deep, "s.sock") as folder:
        assert folder != deep
        HeartbeatListener(folder / "s.sock", Sums()).close()


def test_the_listener_knows_how_a_shard_gets_on(line: Line) -> None:
    sender = line.sender()
    for read, age in ((5, 1.5), (7, 3.0)):
        sender.count("events_read_total", read)
        sender.gauge("iterator_age_seconds", age)
        sender.beat("working")
    sender.beat("working")
    line.received()
    heard = line.listener.heard[SHARD]
    assert (heard.read, heard.age) == (12, 3.0)


def test_a_new_holder_is_measured_anew(line: Line) -> None:
    former = line.sender()
    former.count("events_read_total", 5)
    former.gauge("iterator_age_seconds", 9)
    former.beat("working")
    with connected(line.path) as end:
        end.send(msgspec.json.encode(Beat(SHARD, os.getpid() + 1, 100.0, "working")))
    line.received()
    heard = line.listener.heard[SHARD]
    assert (heard.read, heard.age) == (0, 0)


def test_a_goodbye_is_told_once(tmp_path: Path) -> None:
    left: list[str] = []
    with ExitStack() as stack:
        line = Line(tmp_path, stack, left.append)
        sender = line.sender()
        sender.beat("working")
        sender.goodbye()
        sender.goodbye()
        line.sender(OTHER).goodbye()
        line.received()
    assert left == [SHARD]
