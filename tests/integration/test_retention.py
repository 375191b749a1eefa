"""Dropping ended terms on real servers: gone, refused when it comes again, right wherever it was killed."""

import io
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from rich.console import Console

from scripts import retention
from scripts.frame.script import execute
from scripts.frame.showing import Show
from scripts.retaining import steps
from tests.conftest import NOW, minutes
from tests.integration.registry import Registry, attempt
from worker.batch import DELETIONS
from worker.domain.position import Position
from worker.stream.deleting import behind

LAST_TERM = NOW - timedelta(days=200)
STUDENTS = [f"s-{n}" for n in range(40)]
TERM_END = ("--term-end", "2026-01-31")


def run(registry: Registry, *argv: str) -> tuple[int, dict[str, Any], str]:
    report, said = registry.folder / "report.json", io.StringIO()
    show = Show(Console(file=said, width=200))
    code = execute(retention.SCRIPT, ["--report", str(report), *argv], show=show)
    return code, json.loads(report.read_bytes()) if report.exists() else {}, said.getvalue()


def foretold(registry: Registry, *argv: str) -> tuple[int, dict[str, Any], str]:
    """A dry run that changes nothing, then the run, whose figures were told to the last one."""
    before = registry.dump()
    code, dry, said = run(registry, *argv, "--dry-run")
    assert (code, registry.dump()) == (0, before), said
    code, told, said = run(registry, *argv)
    assert told["figures"] == dry["figures"]
    return code, told, said


def events() -> list[dict[str, object]]:
    """Two terms of everybody: three attempts each in the ended one, one in the present one."""
    return [
        attempt(student, course, number=number, score=number * 10, at=NOW if number == 4 else LAST_TERM)
        for student in STUDENTS
        for course in ("algebra", "biology")
        for number in (1, 2, 3, 4)
    ]


def publish(registry: Registry, *courses: str) -> None:
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        for course in courses:
            admin.execute("INSERT INTO publications VALUES (%s, now(), '')", [course])


def numbers(registry: Registry, student: str, course: str = "algebra") -> int:
    key = registry.state(student, course)
    return len(registry.office.ledger.read([key])[key].attempts)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_STATES", 7)
    monkeypatch.setattr(steps, "_ROWS", 1)


@pytest.mark.usefixtures("small_pages")
def test_an_ended_term_is_dropped_and_a_replay_brings_none_of_it_back(registry: Registry) -> None:
    registry.deliver(events())
    registry.look("ms-frizzle", *STUDENTS, at=LAST_TERM)
    registry.look("ms-frizzle", "s-1", course="art", at=LAST_TERM)
    code, told, said = foretold(registry, *TERM_END)
    assert code == 0, said
    assert told["figures"]["graded before"] == "2026-02-01T00:00:00+00:00"
    assert told["figures"]["attempts dropped"] == 240
    assert told["figures"]["students taken out of disclosures"] == 1, "the course of which nothing is left"
    assert {numbers(registry, student) for student in STUDENTS} == {1}
    assert registry.office.projection.states([registry.state("s-1")]) == [None], "no old state is shown"
    assert registry.office.projection.markers([DELETIONS])[DELETIONS] == Position(12)
    assert list(registry.office.disclosures.broken()) == []

    registry.deliver(events(), source="replay:1")
    assert {numbers(registry, student) for student in STUDENTS} == {1}
    assert registry.outcomes() == {"applied": 320, "duplicate": 80, "erased": 240}
    assert registry.stale() == []
    assert foretold(registry, *TERM_END)[1]["figures"]["attempts dropped"] == 0, "it is safe to run twice"


def test_only_the_courses_that_were_named(registry: Registry) -> None:
    registry.deliver(events())
    registry.deliver([attempt(student, "chemistry", at=LAST_TERM) for student in STUDENTS[:3]], source="b")
    for course in ("algebra", "chemistry", "art", None):
        registry.look("ms-frizzle", "s-1", "s-2", course=course, at=LAST_TERM)
    publish(registry, "algebra", "chemistry", "art")
    code, told, _ = foretold(registry, *TERM_END, "--course", "algebra", "--course", "chemistry")
    assert (code, told["figures"]["attempts dropped"]) == (0, 123)
    assert told["figures"]["students taken out of disclosures"] == 2, "of chemistry, which is empty"
    assert told["figures"]["courses whose published figures were dropped"] == 2, "chemistry and art"
    assert (numbers(registry, "s-1"), numbers(registry, "s-1", "biology")) == (1, 4)
    code, _, said = run(registry, *TERM_END, "--course", "alchemy")
    assert (code, "alchemy" in said) == (2, True)


def test_held_students_are_kept_and_counted(registry: Registry) -> None:
    registry.deliver(events())
    registry.deliver([attempt(student, "chemistry", at=LAST_TERM) for student in ("s-1", "s-2")], source="b")
    registry.deliver([attempt("s-2", "logic", at=LAST_TERM)], source="c")
    for course in ("algebra", "chemistry", "logic"):
        registry.look("ms-frizzle", "s-1", "s-2", course=course, at=LAST_TERM)
    publish(registry, "chemistry", "logic")
    registry.office.erasing.hold(registry.key("s-1"), "the registrar", "asked to inspect")
    code, told, said = foretold(registry, *TERM_END)
    assert code == 0, said
    assert told["figures"]["attempts dropped"] == 236
    assert told["figures"]["attempts kept because their student is held"] == 7
    assert told["figures"]["students taken out of disclosures"] == 2, "s-2 of chemistry and of logic"
    assert told["figures"]["courses whose published figures were dropped"] == 1, "a held record is left"
    assert (numbers(registry, "s-1"), numbers(registry, "s-2")) == (4, 1)


@pytest.mark.parametrize("pages", [1, 3])
def test_killed_anywhere_a_second_run_ends_as_one_clean_run(registry: Registry, pages: int) -> None:
    """The states of 1,700 students are four pages; Redis may be one behind when the job is killed."""
    many = [
        attempt(f"s-{n}", number=number, at=at)
        for n in range(1_700)
        for number, at in ((1, LAST_TERM), (2, NOW))
    ]
    registry.deliver(many)

    def seen() -> bool:
        with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
            row = admin.execute("SELECT deletions FROM ledger").fetchone()
            return row is not None and row[0] >= pages

    def nobody_at_work() -> bool:
        with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
            found = admin.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
            return found.fetchone() is None

    registry.kill(seen, "retention", *TERM_END)
    while not nobody_at_work():  # the server may still commit what the job had asked for
        pass
    code, told, said = foretold(registry, *TERM_END)
    assert code == 0, said
    assert all(verdict["good"] for verdict in told["verdicts"])
    assert {numbers(registry, f"s-{n}") for n in range(0, 1_700, 100)} == {1}
    assert registry.stale() == []
    assert not behind(registry.office.ledger, registry.office.projection)


def test_letters_past_their_life_and_empty_courses_go_too(registry: Registry) -> None:
    registry.deliver(
        [attempt("s-1", score="much"), attempt("s-2", score="much")], [attempt("s-1", at=LAST_TERM)]
    )
    registry.deliver([attempt("s-1", number=2, at=LAST_TERM)], source="file:a:1of1")
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("UPDATE dead_letters SET expires_at = now() - interval '1 day' WHERE number = 0")
        admin.execute("UPDATE source_progress SET updated_at = now() - interval '2 hours'")
    publish(registry, "algebra")
    code, told, _ = foretold(registry)
    assert (code, told["figures"]["dead letters past their life"]) == (0, 1)
    assert told["figures"]["sources of earlier jobs closed"] == 2
    assert told["figures"]["courses whose published figures were dropped"] == 0
    assert registry.office.erasing.count_letters() == 1
    code, told, _ = foretold(registry, *TERM_END)
    assert told["figures"]["courses whose published figures were dropped"] == 1


def test_a_tombstone_whose_states_cannot_come_back_forgets_its_courses(registry: Registry) -> None:
    registry.deliver([attempt(student, at=LAST_TERM) for student in ("s-1", "s-2")])
    for student in ("s-1", "s-2"):
        registry.office.erasing.erase(registry.key(student), "the registrar", "request 1")
    registry.office.erasing.purged(registry.key("s-1"))
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("UPDATE erasures SET purged_at = now() - interval '10 years' WHERE purged_at < now()")
    code, told, said = foretold(registry)
    assert (code, told["figures"]["tombstones that need no courses any more"]) == (0, 1), said
    assert list(registry.office.ledger.erased()) == [registry.state("s-2")]


def test_a_day_that_is_not_over_is_refused(registry: Registry) -> None:
    assert run(registry, "--before", "9999-01-01")[0] == 2
    assert run(registry, "--older-than-days", "-1")[0] == 2
    assert run(registry, "--course", "algebra")[0] == 2
    registry.deliver([attempt("s-1", at=NOW + minutes(1))])
    assert run(registry, "--older-than-days", "100000")[0] == 0
    assert numbers(registry, "s-1") == 1
