"""What the benchmark sends is what its proof expects, and every attempt meets a full state."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.classroom import Classroom, chunks
from benchmarks.draining import highest, packed
from tests.conftest import IDENTITY, NOW
from worker.adapters.kinesis import Shard
from worker.domain.envelope import open_record
from worker.domain.event import ScoreEvent, micros, ratio_micros, register_of
from worker.domain.window import RING
from worker.local.event_files import read_events

HALF = 2**127
SHARDS = (Shard("0", 0, HALF - 1), Shard("1", HALF, 2**128 - 1))


def room(students: int = 50) -> Classroom:
    return Classroom(students, 4, identity=IDENTITY, realm="default", now=NOW)


def test_a_history_fills_every_state(tmp_path: Path) -> None:
    one = room()
    count = one.write_history(tmp_path / "history.csv")
    found = [row.event for row in read_events(tmp_path / "history.csv", "")]
    assert len(found) == count == 50 * RING
    rows = [event for event in found if isinstance(event, dict)]
    assert set(Counter((row["student_id"], row["course_id"]) for row in rows).values()) == {RING}
    assert len({(row["student_id"], row["item_id"], row["attempt"]) for row in rows}) == count
    assert len(one.standing(7)) == RING


def test_every_round_adds_the_attempts_that_the_proof_expects() -> None:
    one = room()
    rounds = [one.draw(400, NOW + timedelta(hours=hour), hour) for hour in (1, 2)]
    events = [event for drawn in rounds for event in one.events(drawn)]
    sent = {
        (
            event.student_key,
            register_of(event).key,
            micros(event.occurred_at),
            ratio_micros(event.score, event.max_score),
        )
        for event in events
    }
    assert len(sent) == len(events) == 800
    keys = {one.key(student).student_key: student for student in range(50)}
    expected = {
        (key, *row) for key, student in keys.items() for row in one.standing(student) if row[1] > micros(NOW)
    }
    assert expected == sent
    assert {one.key(keys[event.student_key]).course_id == event.course_id for event in events} == {True}


def test_each_attempt_is_the_newest_of_its_student() -> None:
    one = room(5)
    moments: dict[object, int] = {}
    for hour in (1, 2):
        for event in one.events(one.draw(100, NOW + timedelta(hours=hour))):
            assert micros(event.occurred_at) > moments.get(event.student_key, micros(NOW))
            moments[event.student_key] = micros(event.occurred_at)


def test_a_sitting_is_of_one_student() -> None:
    drawn = room().draw(95, NOW, together=10)
    students = drawn.students.tolist()
    assert len(students) == 95
    assert all(len(set(students[start : start + 10])) == 1 for start in range(0, 95, 10))


@pytest.mark.parametrize("size", [7, 125, 2_000])
def test_envelopes_hold_everything_once_each_for_its_shard(size: int) -> None:
    one = room()
    events = list(one.events(one.draw(900, NOW)))
    entries = packed(events, SHARDS, size)
    assert {entry.hash_key for entry in entries} == {0, HALF}
    opened = [(entry.hash_key, open_record(entry.data)) for entry in entries]
    assert sum(len(record.events) for _, record in opened) == len(events)
    assert max(len(record.events) for _, record in opened) == min(size, max(_counts(events)))
    for first, record in opened:
        assert all((int(key.replace("-", ""), 16) >= HALF) == bool(first) for key in record.students)


def _counts(events: list[ScoreEvent]) -> list[int]:
    return list(Counter(event.student_key.int >= HALF for event in events).values())


def test_chunks_keep_the_order() -> None:
    events = list(room().events(room().draw(10, NOW)))
    assert [event for some in chunks(events, 3) for event in some] == events


def test_the_highest_rate_is_of_a_whole_span() -> None:
    looks = [(0.0, 0), (1.0, 10), (2.0, 20), (3.0, 120), (4.0, 130), (5.0, 140)]
    assert highest(looks, 1.0) == 100
    assert highest(looks, 2.0) == 55
    assert highest(looks, 60.0) == 28
    assert highest(looks[:1], 1.0) == 0
