"""`scripts.redrive` on the real servers: what is recovered, what stays, and who may try it."""

import random
import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from scripts.redrive import main
from tests.integration.operated import System, as_record, some_events, stop_once
from worker.batch import Batch, DeadLetter
from worker.domain.errors import Reason
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.local.stack import Stack

LIVE = "kinesis:arn:aws:kinesis:us-east-1:1:stream/s@2026-01-01T00:00:00Z:shardId-00000000000"
STANDING = "SELECT reason, tries, claimed_until > now() FROM dead_letters ORDER BY letter"


class Morgue(System):
    """A system with dead letters, as a decoder before the fix left them."""

    _sequence = count(10**55)

    def bury(self, payloads: Sequence[bytes], reason: Reason = Reason.MISSING_FIELD, shard: int = 0) -> None:
        source = f"{LIVE}{shard}"
        self.edges.ledger.open_source(source)
        letters = [DeadLetter(Position(next(self._sequence)), 0, reason, "score", data) for data in payloads]
        self.edges.ledger.commit(Batch(source, letters[-1].position, (), letters))

    def bury_events(self, events: Sequence[ScoreEvent], reason: Reason = Reason.MISSING_FIELD) -> None:
        self.bury([as_record([event]) for event in events], reason)

    def standing(self) -> list[tuple[str, int, bool]]:
        """Every letter's reason and tries, and whether somebody has it."""
        return [(reason, tries, bool(held)) for reason, tries, held in self.execute(STANDING)]

    def claims_run_out(self) -> None:
        self.execute("UPDATE dead_letters SET claimed_until = now() WHERE claimed_until IS NOT NULL")


@pytest.fixture
def morgue(stack: Stack, database: str, tmp_path: Path) -> Iterator[Morgue]:
    morgue = Morgue(stack, database, tmp_path)
    yield morgue
    morgue.close()


def figures(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["figures"]
    return found


def foretold(morgue: Morgue) -> tuple[int, int, int]:
    """What became of all letters, as a dry run has told before: tried, recovered, failed again."""
    told = figures(morgue.run(main, "--dry-run")[1])
    would = (told["letters that would be recovered"], told["letters that would fail again"])
    rows = len(morgue.rows())
    done = letters(morgue.run(main)[1])
    assert done[1:] == would
    assert len(morgue.rows()) - rows == told["attempts that would be new"]
    return done


def letters(report: dict[str, Any]) -> tuple[int, int, int]:
    """Tried, recovered, failed again."""
    names = ("letters tried", "letters recovered", "letters that failed again")
    tried, recovered, failed = (figures(report)[name] for name in names)
    return tried, recovered, failed


def test_what_can_be_read_now_is_recovered_and_the_rest_stays_one_try_older(morgue: Morgue) -> None:
    events = some_events(30)
    morgue.bury_events(events)
    morgue.bury([b"nonsense", as_record([events[0]])[:-3]], Reason.BAD_COMPRESSION)
    live = morgue.counters("kinesis:")
    code, report = morgue.run(main)
    assert (code, letters(report)) == (0, (32, 30, 2))
    assert report["by_reason"] == {
        "bad_compression": {"tried": 2, "failed": 2},
        "missing_field": {"tried": 30, "failed": 0},
    }
    assert morgue.standing() == [("not_json", 1, False), ("bad_compression", 1, False)]
    assert len(morgue.rows()) == 27
    assert morgue.projected()
    assert morgue.counters("kinesis:") == live, "what the live source counted stays counted"
    assert morgue.counters("redrive:")["read"] == 30
    code, report = morgue.run(main)
    assert (code, letters(report)) == (0, (2, 0, 2))
    assert [tries for _, tries, _ in morgue.standing()] == [2, 2]


def test_a_dry_run_tells_by_reason_what_would_pass_and_touches_nothing(morgue: Morgue) -> None:
    morgue.bury_events(some_events(20))
    morgue.bury([b"nonsense"], Reason.EMPTY_RECORD)
    before = morgue.execute("SELECT * FROM dead_letters ORDER BY letter")
    code, report = morgue.run(main, "--dry-run")
    assert code == 0
    told = figures(report)
    assert (told["letters that would be recovered"], told["letters that would fail again"]) == (20, 1)
    assert told["  empty_record"] == "0 would pass, 1 would fail"
    assert report["would_fail"] == [{"reason": "empty_record", "today": "not_json", "letters": 1}]
    assert told["attempts that would be new"] == 18
    assert morgue.execute("SELECT * FROM dead_letters ORDER BY letter") == before
    assert morgue.rows() == []
    assert morgue.counters("redrive:")["read"] == 0


def test_letters_are_chosen_by_reason_shard_and_time(morgue: Morgue) -> None:
    events = some_events(9, ago=timedelta(days=2))
    morgue.bury_events(events[:3])
    morgue.bury([as_record([event]) for event in events[3:6]], Reason.INVALID_FIELD)
    morgue.bury([as_record([event]) for event in events[6:]], Reason.INVALID_FIELD, shard=1)
    morgue.execute(
        "UPDATE dead_letters SET stored_at = stored_at - interval '1 day' WHERE mod(letter, 3) = 0"
    )
    ((noon,),) = morgue.execute("SELECT now() - interval '12 hours'")
    assert letters(morgue.run(main, "--shard", "shardId-000000000001", "--to", noon.isoformat())[1])[0] == 1
    assert letters(morgue.run(main, "--reason", "invalid_field", "--from", noon.isoformat())[1])[0] == 4
    assert letters(morgue.run(main, "--reason", "invalid_field", "--reason", "missing_field")[1])[0] == 4
    assert figures(morgue.run(main)[1])["letters chosen"] == 0


def test_what_tombstones_and_horizons_refuse_stays_a_letter(morgue: Morgue) -> None:
    """Once lifted, a tombstone refuses what it has met, and no more; a horizon what was graded before it."""
    refused, later = some_events(1)[0], some_events(1, seed=1, ago=timedelta(minutes=30))[0]
    morgue.bury_events([refused], Reason.ERASED)
    morgue.bury_events([later])
    morgue.execute("INSERT INTO students (student_key) VALUES (%s)", [refused.student_key])
    morgue.execute("INSERT INTO erasures (student_ref, courses) SELECT student_ref, '{}' FROM students")
    assert foretold(morgue) == (2, 0, 2)
    assert morgue.standing() == [("erased", 1, False)] * 2
    assert morgue.rows() == []
    morgue.execute("UPDATE erasures SET lifted_at = now(), refused_until = %s", [refused.graded_at])
    assert foretold(morgue) == (2, 1, 1)
    assert len(morgue.rows()) == 1
    morgue.execute("DELETE FROM erasures")
    morgue.execute("UPDATE ledger SET horizon = %s", [refused.graded_at + timedelta(minutes=1)])
    assert foretold(morgue) == (1, 0, 1)
    morgue.execute("UPDATE ledger SET horizon = '-infinity'")
    assert foretold(morgue) == (1, 1, 0)
    assert len(morgue.rows()) == 2


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_redrive_that_is_broken_off_and_run_again_ends_as_one_clean_run(
    morgue: Morgue, by: signal.Signals
) -> None:
    events = some_events(800)
    morgue.bury_events(events)
    morgue.bury([b"nonsense"] * 5, Reason.EMPTY_RECORD)
    at = random.Random().randint(1, 500)
    process = morgue.start("redrive", "--report", str(morgue.folder / "broken.json"))
    code = stop_once(process, lambda: morgue.counters("redrive:")["read"] >= at, by)
    assert code == (130 if by is signal.SIGINT else -by), f"stopped at {at}"
    held = sum(claimed for _, _, claimed in morgue.standing())
    assert held == 0 or by is signal.SIGKILL
    tried = letters(morgue.run(main)[1])[0]
    assert sum(claimed for _, _, claimed in morgue.standing()) == held, "nobody takes them before their time"
    assert tried < 805
    morgue.claims_run_out()
    morgue.run(main, "--reason", "missing_field")
    assert [reason for reason, _, _ in morgue.standing()] == ["not_json"] * 5
    assert len(morgue.rows()) == 720
    assert morgue.projected()
    assert morgue.counters("redrive:")["applied"] == 720
    assert morgue.counters("redrive:")["dead_lettered"] == 0


def test_two_operators_at_once_share_the_letters_and_try_none_twice(morgue: Morgue) -> None:
    morgue.bury_events(some_events(1_000))
    other = morgue.start("redrive", "--job", "other", "--report", str(morgue.folder / "other.json"))
    while not morgue.counters("redrive:other")["read"] and other.poll() is None:
        pass
    code, report = morgue.run(main, "--job", "mine")
    assert other.wait(60) == code == 0
    if other.stderr is not None:
        other.stderr.close()
    mine, theirs = morgue.counters("redrive:mine"), morgue.counters("redrive:other")
    assert mine["read"] + theirs["read"] == 1_000
    assert min(mine["read"], theirs["read"]) > 0
    assert mine["duplicate"] + theirs["duplicate"] == 0
    assert letters(report)[0] == mine["read"]
    assert morgue.standing() == []
    assert morgue.projected()


@pytest.mark.parametrize(
    "argv",
    [
        ("--reason", "boredom"),
        ("--job", "a:b"),
        ("--from", "2026-03-02T09:00:00Z", "--to", "2026-01-01T00:00Z"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(morgue: Morgue, argv: Sequence[str]) -> None:
    assert morgue.run(main, *argv)[0] == 2
