"""The daemon's part: what it asks, what it answers, and what it says of a child that fails."""

import sys
from pathlib import Path

import pytest

from benchmarks.peers.events import Call, calls, empty
from benchmarks.peers.feeder import Checkpoints, ChildFailed, Feeder, parsed
from worker.domain.position import Position

CHILD = """
import sys
from amazon_kclpy import kcl

class Processor:
    version = 3
    def initialize(self, call): print("a stray line", flush=True)
    def process_records(self, call):
        for record in call.records:
            assert record.binary_data.startswith(b"event-"), record.binary_data
        if call.records:
            last = call.records[-1]
            call.checkpointer.checkpoint(last.sequence_number, last.sub_sequence_number)
    def lease_lost(self, call): pass
    def shard_ended(self, call): pass
    def shutdown_requested(self, call): call.checkpointer.checkpoint()

kcl.KCLProcess(Processor()).run()
"""


def feeder(program: str, folder: Path) -> Feeder:
    return Feeder([sys.executable, "-c", program], {}, folder / "child.log")


def test_a_child_of_kclpy_is_served_to_its_end(tmp_path: Path) -> None:
    fed = calls([f"event-{n}".encode() for n in range(5_000)], 1)
    with feeder(CHILD, tmp_path) as daemon:
        daemon.begin()
        for call in (empty(), *fed):
            daemon.feed(call)
        assert daemon.checkpoints.kept == Position(fed[-1].high.sequence, 0)
        assert daemon.end() == 0
    assert daemon.checkpoints.count == len(fed) + 1


def test_a_child_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        feeder("import sys; sys.exit('no such table')", tmp_path) as daemon,
        pytest.raises(ChildFailed) as told,
    ):
        daemon.begin()
    assert "no such table" in str(told.value)


def test_an_answer_to_another_question_is_a_failure(tmp_path: Path) -> None:
    wrong = """print('{"action":"status","responseFor":"leaseLost"}', flush=True); input(); input()"""
    with feeder(wrong, tmp_path) as daemon, pytest.raises(ChildFailed, match="answered initialize"):
        daemon.begin()


def test_checkpoints_stay_within_what_was_delivered() -> None:
    book = Checkpoints()
    book.delivered = Position(9, 0)
    assert book.take("7", 0) is None
    assert book.take("7", 0) is None
    assert book.take("6", 0) == "IllegalArgumentException"
    assert book.take("10", 0) == "IllegalArgumentException"
    assert book.take(None, None) is None
    assert (book.kept, book.count) == (Position(9, 0), 3)


@pytest.mark.parametrize("line", [b"\n", b"a stray print\n", b"[1]\n", b"null\n", b'{"no": "action"}\n'])
def test_what_the_daemon_skips(line: bytes) -> None:
    assert parsed(line) is None


def test_what_the_daemon_reads() -> None:
    assert parsed(b'{"action":"status","responseFor":"x"}\n') == {"action": "status", "responseFor": "x"}


def test_calls_hold_as_many_events_whatever_their_form() -> None:
    single: list[Call] = calls([b"{}"] * 5_000, 1)
    packed = calls([b"..."] * 40, 125)
    assert [call.events for call in single] == [2_000, 2_000, 1_000]
    assert [call.events for call in packed] == [2_000, 2_000, 1_000]
    assert [call.line.count(b'"sequenceNumber"') for call in packed] == [16, 16, 8]
    assert single[0].high < single[1].high < single[2].high
