"""`scripts.replay` on the real servers: what arrives, what is left alone, and what a kill leaves behind."""

import random
import signal
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.replay import main
from tests.integration.operated import System, as_record, some_events, stop_once
from worker.domain import aggregate
from worker.domain.event import ScoreEvent
from worker.local.stack import Stack

SECOND = timedelta(seconds=1)
FAST = ("--share", "1")
COUNTS = (
    "attempts that would be new",
    "attempts that would be revised",
    "events without effect",
    "events that would be refused as erased",
    "events that would be dead letters",
)
"""Where a dry run puts each event, once."""


class Tape(System):
    """A system whose stream holds events, of which the ledger knows nothing yet."""

    def record(self, events: Sequence[ScoreEvent], size: int = 20) -> tuple[str, ...]:
        """Put the events into the stream; the arguments that name their time of arrival."""
        before = datetime.now(UTC) - SECOND
        for start in range(0, len(events), size):
            self.edges.producer.send(events[start : start + size])
        return ("--from", before.isoformat(), "--to", self.until_past())

    def put(self, data: bytes) -> None:
        self.kinesis.put_record(StreamName=self.stream, Data=data, PartitionKey="p")

    def until_past(self) -> str:
        """A moment after everything that has arrived, as soon as it is past."""
        moment = datetime.now(UTC) + timedelta(milliseconds=5)
        while datetime.now(UTC) < moment:
            threading.Event().wait(0.001)
        return moment.isoformat()

    def kinds(self) -> dict[str, int]:
        """The ledger's rows by kind of source."""
        return dict(
            self.execute("SELECT split_part(source, ':', 1), count(*) FROM source_progress GROUP BY 1")
        )


@pytest.fixture
def tape(stack: Stack, database: str, tmp_path: Path) -> Iterator[Tape]:
    tape = Tape(stack, database, tmp_path)
    yield tape
    tape.close()


def figures(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["figures"]
    return found


def test_a_range_is_replayed_once_and_running_again_changes_nothing(tape: Tape) -> None:
    span = tape.record(some_events(400))
    code, report = tape.run(main, *span, *FAST)
    assert code == 0
    assert figures(report)["events read"] == 400
    assert figures(report)["events applied"] + figures(report)["events revised"] > 350
    assert tape.projected()
    assert len(tape.rows()) == 360
    rows, progress = tape.rows(), tape.execute("SELECT * FROM source_progress ORDER BY source")
    code, report = tape.run(main, *span, *FAST)
    assert (code, figures(report)["events read"]) == (0, 0)
    assert tape.rows() == rows
    assert tape.execute("SELECT * FROM source_progress ORDER BY source") == progress
    code, report = tape.run(main, *span, *FAST, "--job", "anew")
    assert (code, figures(report)["events read"]) == (0, 400)
    assert figures(report)["events duplicate"] + figures(report)["events superseded"] == 400
    assert tape.rows() == rows


def test_live_positions_are_not_touched(tape: Tape) -> None:
    tape.execute(
        "INSERT INTO source_progress (source, seq, sub, projected_seq, projected_sub)"
        " VALUES (%s, 7, 0, 7, 0)",
        ["kinesis:live:shardId-000000000000"],
    )
    tape.run(main, *tape.record(some_events(50)), *FAST)
    assert tape.kinds() == {"kinesis": 1, "replay": 2}
    live = "SELECT seq, projected_seq, read FROM source_progress WHERE starts_with(source, 'kinesis')"
    assert tape.execute(live) == [(7, 7, 0)]


def test_only_the_range_is_replayed(tape: Tape) -> None:
    tape.record(some_events(40))
    first = tape.until_past()
    tape.record(some_events(60, seed=1_000))
    last = tape.until_past()
    tape.record(some_events(80, seed=2_000))
    code, report = tape.run(main, "--from", first, "--to", last, *FAST)
    assert (code, figures(report)["events read"]) == (0, 60)


def test_a_dry_run_tells_what_the_replay_then_changes(tape: Tape) -> None:
    span = tape.record(some_events(300))
    tape.put(b"not json")
    tape.put(aggregate.join([as_record(some_events(10, seed=5_000)), as_record(some_events(5, seed=6_000))]))
    span = (*span[:3], tape.until_past())
    code, told = tape.run(main, *span, *FAST, "--dry-run")
    assert code == 0
    assert tape.rows() == []
    assert tape.kinds() == {}
    code, done = tape.run(main, *span, *FAST)
    assert code == 0
    assert figures(told)["events read"] == figures(done)["events read"] == 316
    assert figures(told)["attempts that would be new"] == len(tape.rows())
    assert figures(told)["attempts that would be revised"] == 0
    assert told["dead_letters"] == {"not_json": 1}
    assert figures(done)["events dead_lettered"] == 1
    assert figures(told)["students touched"] == 36
    assert len(told["largest_changes"]) == 10
    code, again = tape.run(main, *span, *FAST, "--dry-run")
    assert (
        figures(again)["attempts that would be new"] == figures(again)["attempts that would be revised"] == 0
    )
    assert figures(again)["means of the last attempts that would change"] == 0


def test_a_dry_run_knows_what_horizons_and_tombstones_refuse(tape: Tape) -> None:
    """A horizon of all courses, one of a course, a tombstone and a lifted one: the replay meets all four."""
    events = some_events(400)
    known = [event for n, event in enumerate(events[:200]) if n % 10 != 9]
    assert tape.run(main, *tape.record(known), *FAST)[0] == 0
    first, second = (min(event.graded_at for event in events) + n * SECOND for n in (80, 160))
    tape.execute("UPDATE ledger SET horizon = %s", [first])
    tape.execute("INSERT INTO horizons SELECT course_ref, %s FROM courses ORDER BY 1 LIMIT 1", [second])
    tape.execute("INSERT INTO erasures (student_ref, courses) SELECT min(student_ref), '{}' FROM students")
    tape.execute(
        "INSERT INTO erasures (student_ref, courses, lifted_at, refused_until)"
        " SELECT max(student_ref), '{}', now(), %s FROM students",
        [second],
    )
    span, before = tape.record(events), len(tape.rows())
    code, told = tape.run(main, *span, *FAST, "--dry-run", "--job", "anew")
    assert code == 0
    code, done = tape.run(main, *span, *FAST, "--job", "anew")
    assert code == 0
    assert figures(told)["events that would be refused as erased"] == figures(done)["events erased"] > 100
    assert figures(told)["attempts that would be new"] == len(tape.rows()) - before > 100
    revised = tape.execute("SELECT count(*) FROM attempts WHERE revision > 0 AND graded_at >= %s", [first])
    assert figures(told)["attempts that would be revised"] == revised[0][0] > 0
    assert figures(told)["events read"] == figures(done)["events read"] >= 400
    assert sum(figures(told)[name] for name in COUNTS) == figures(told)["events read"]


def test_a_flood_of_what_cannot_be_decoded_ends_the_job_with_a_sentence(
    tape: Tape, capfd: pytest.CaptureFixture[str]
) -> None:
    span = tape.record(some_events(20))
    for _ in range(5):
        tape.put(b"not json")
    tape.environment |= {"POISON_STREAK": "3"}
    span = (*span[:3], tape.until_past())
    code, told = tape.run(main, *span, *FAST, "--dry-run")
    assert (code, [one["good"] for one in told["verdicts"]]) == (1, [True, False])
    code, report = tape.run(main, *span, *FAST)
    assert (code, report["exit_code"]) == (1, 1)
    assert "refused: too much of this cannot be decoded" in capfd.readouterr().err
    assert told["verdicts"][1]["detail"].startswith("shardId-")
    assert tape.execute("SELECT count(*) FROM dead_letters") == [(0,)]


def test_a_stream_that_was_split_is_replayed_whole(tape: Tape) -> None:
    before = datetime.now(UTC) - SECOND
    tape.record(some_events(100))
    tape.kinesis.split_shard(
        StreamName=tape.stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126)
    )
    span = ("--from", before.isoformat(), "--to", tape.until_past())
    code, report = tape.run(main, *span, *FAST)
    assert (code, figures(report)["events read"]) == (0, 100)
    assert len(tape.rows()) == 90
    assert tape.projected()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_replay_that_is_broken_off_and_run_again_ends_as_one_clean_run(
    tape: Tape, by: signal.Signals
) -> None:
    """Of a stream that was split in the middle, so that parents and children are resumed."""
    events = some_events(1_500)
    first, *_ = tape.record(events[:700])[1:2]
    tape.kinesis.split_shard(
        StreamName=tape.stream, ShardToSplit="shardId-000000000001", NewStartingHashKey=str(3 * 2**126)
    )
    span = ("--from", first, *tape.record(events[700:])[2:])
    at = random.Random().randint(1, 1_200)
    tape.environment["TRANSACTION_EVENTS"] = "50"
    process = tape.start("replay", *span, *FAST, "--report", str(tape.folder / "broken.json"))
    code = stop_once(process, lambda: tape.counters("replay:")["read"] >= at, by)
    assert code == (130 if by is signal.SIGINT else -by), f"stopped at {at}"
    code, report = tape.run(main, *span, *FAST)
    assert code == 0
    assert figures(report)["events read"] < 1_500, "it went on where the other was"
    rows = tape.rows()
    assert len(rows) == tape.counters("replay:")["applied"] == 1_350
    assert tape.projected()
    assert tape.run(main, *span, *FAST, "--job", "clean")[0] == 0
    assert tape.rows() == rows


def test_what_the_stream_no_longer_keeps_is_told(tape: Tape) -> None:
    tape.record(some_events(10))
    long_ago = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    code, report = tape.run(main, "--from", long_ago, "--to", tape.until_past(), *FAST)
    assert code == 0, "the stream is younger than its retention: nothing is gone"
    assert report["verdicts"][0]["good"]


@pytest.mark.parametrize(
    "argv",
    [
        ("--from", "2026-03-02T09:00:00Z", "--to", "2026-03-02T09:00:00Z"),
        ("--from", "2026-03-02T09:00:00Z", "--to", "2999-03-02T09:00:00Z"),
        ("--from", "2026-03-02T09:00:00", "--to", "2026-03-02T10:00:00Z"),
        ("--from", "2026-03-02T09:00:00Z", "--to", "2026-03-02T10:00:00Z", "--share", "0"),
        ("--from", "2026-03-02T09:00:00Z", "--to", "2026-03-02T10:00:00Z", "--job", "a:b"),
        ("--from", "yesterday", "--to", "today"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(tape: Tape, argv: Sequence[str]) -> None:
    assert tape.run(main, *argv)[0] == 2
    assert tape.kinds() == {}
