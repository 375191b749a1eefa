"""How a job waits, and how its operator writes times."""

import argparse
import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from scripts.frame.patience import Patience
from scripts.frame.script import Refused
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from scripts.jobs.moments import moment, written
from scripts.jobs.tally import Tally
from scripts.replaying.course import Course
from tests.conftest import NOW, minutes
from worker.domain.errors import LedgerUnavailable, PoisonFlood
from worker.stream.replaying import Resting, Span, Turn


class Bench:
    def __init__(self) -> None:
        self.text = io.StringIO()
        self.stopping = Stopping()
        self.patience = Patience(self.stopping, Show(Console(file=self.text, width=200)))


def test_each_kind_of_trouble_is_told_once() -> None:
    bench, after = Bench(), list[int]()
    bench.patience.meanwhile = lambda: after.append(1)
    for _ in range(3):
        bench.patience(0, LedgerUnavailable("PostgreSQL is away"))
    assert bench.text.getvalue() == "waiting: PostgreSQL is away\n"
    assert after == [1, 1, 1]


def test_an_operator_who_stops_does_not_wait_for_the_end_of_an_outage() -> None:
    bench = Bench()
    bench.stopping.ask()
    with pytest.raises(KeyboardInterrupt):
        bench.patience(10**6, LedgerUnavailable())


def test_a_rest_is_cut_short_without_breaking_anything_off() -> None:
    bench = Bench()
    bench.stopping.ask()
    bench.patience(10**6, Resting("live traffic first"))
    assert bench.text.getvalue() == ""


def test_a_flood_of_poison_ends_a_job_instead_of_halting_it() -> None:
    with pytest.raises(Refused, match=r"7 poisoned events.*run the same command again"):
        Bench().patience(5, PoisonFlood("7 poisoned events, 7 in a row"))


def test_counters_are_kept_for_the_report() -> None:
    tally = Tally()
    tally.count("waits_total", dependency="ledger")
    tally.count("waits_total", 2, dependency="projection")
    tally.gauge("degraded", 1)
    tally.observe("batch_events", 5)
    assert tally.counts == {"waits_total": 3}


def test_a_moment_is_read_with_its_offset_and_written_the_same() -> None:
    found = moment("2026-03-02T10:30:00.250+01:00")
    assert found == datetime(2026, 3, 2, 9, 30, 0, 250_000, UTC)
    assert written(found) == "2026-03-02T09:30:00.250Z"
    assert moment(written(found)) == found


@pytest.mark.parametrize("text", ["", "noon", "2026-03-02", "2026-03-02T09:30:00", "1772443800"])
def test_what_is_no_moment_says_how_to_write_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="2026-03-02T09:30:00Z"):
        moment(text)


def test_a_course_counts_every_second_of_every_shard_once() -> None:
    steps = list[int]()
    course = Course(Span(NOW, NOW + minutes(2)), steps.append)

    def turn(shard: str, reached: timedelta | None, *, done: bool = False) -> Turn:
        return Turn(shard, [], done=done, trimmed=False, reached=None if reached is None else NOW + reached)

    for one in (
        turn("a", minutes(-1)),
        turn("a", minutes(1)),
        turn("b", None),
        turn("a", minutes(0.5)),
        turn("a", minutes(9)),
        turn("a", minutes(9), done=True),
        turn("b", None, done=True),
    ):
        course.take(one)
    assert steps == [0, 60, 0, 0, 60, 0, 120]
