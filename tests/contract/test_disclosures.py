"""The DisclosureLog port's contract, on the twin and on PostgreSQL; tampering is found on both."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest

from tests.conftest import NOW, minutes
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.adapters.memory import MemoryDisclosures
from worker.adapters.memory.disclosures import Book
from worker.domain.errors import Fatal, LedgerUnavailable
from worker.reads import Disclosure, DisclosureLog

ADA, BEN, EVE = UUID(int=1), UUID(int=2**127), UUID(int=3)


def seen(
    who: str = "ms-frizzle", *students: UUID, minute: float = 0, purpose: str | None = None
) -> Disclosure:
    return Disclosure(NOW + minutes(minute), who, "teacher", "scores", "algebra", purpose, students or (ADA,))


class World(NamedTuple):
    """A log, how another writer of it is made, and how a row is tampered with behind its back."""

    log: DisclosureLog
    other: Callable[[], DisclosureLog]
    tamper: Callable[[str], None]


# the same crime on both sides: SQL for the database, a function for the twin
CRIMES: dict[str, tuple[str, Callable[[Book], None]]] = {
    "changed who": (
        "UPDATE disclosures SET who = 'nobody' WHERE number = 2",
        lambda book: _replace(book, 2, who="nobody"),
    ),
    "changed moment": (
        "UPDATE disclosures SET at = at + interval '1 microsecond' WHERE number = 2",
        lambda book: _replace(book, 2, at=NOW + timedelta(microseconds=1) + minutes(2)),
    ),
    "emptied course": (
        "UPDATE disclosures SET course_id = '' WHERE number = 2",
        lambda book: _replace(book, 2, course_id=""),
    ),
    "hidden purpose": (
        "UPDATE disclosures SET purpose = NULL WHERE number = 3",
        lambda book: _replace(book, 3, purpose=None),
    ),
    "changed digest": (
        "UPDATE disclosures SET digest = students WHERE number = 1",
        lambda book: _replace(book, 1, digest=b"\x00" * 32),
    ),
    "a student taken out": (
        f"DELETE FROM disclosed_students WHERE number = 3 AND student_key = '{BEN}'",
        lambda book: _replace(book, 3, students=[ADA]),
    ),
    "a student swapped": (
        f"UPDATE disclosed_students SET student_key = '{EVE}' WHERE number = 3 AND student_key = '{BEN}'",
        lambda book: _replace(book, 3, students=[ADA, EVE]),
    ),
    "first row removed": (
        "DELETE FROM disclosures WHERE number = 1",
        lambda book: _remove(book, 1),
    ),
    "middle row removed": (
        "DELETE FROM disclosures WHERE number = 2",
        lambda book: _remove(book, 2),
    ),
    "last row removed": (
        "DELETE FROM disclosures WHERE number = 4",
        lambda book: _remove(book, 4),
    ),
    "whole chain removed": (
        "DELETE FROM disclosures",
        lambda book: book.links.clear(),
    ),
    "anchor removed": (
        "DELETE FROM disclosure_anchors WHERE anchor = (SELECT min(anchor) FROM disclosure_anchors)",
        lambda book: book.anchors.__delitem__(0),
    ),
    "anchor moved": (
        "UPDATE disclosure_anchors SET number = 1 WHERE number = 2",
        lambda book: book.anchors.__setitem__(0, book.anchors[0]._replace(number=1)),
    ),
}


def _replace(book: Book, number: int, **changed: object) -> None:
    at = next(n for n, link in enumerate(book.links) if link.number == number)
    book.links[at] = book.links[at]._replace(**changed)  # type: ignore[arg-type]


def _remove(book: Book, number: int) -> None:
    book.links[:] = [link for link in book.links if link.number != number]


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        book = Book()
        yield World(
            MemoryDisclosures(book), lambda: MemoryDisclosures(book), lambda crime: CRIMES[crime][1](book)
        )
        return
    database: str = request.getfixturevalue("database")
    application: str = request.getfixturevalue("application")
    made: list[AuroraDisclosures] = []

    def make() -> AuroraDisclosures:
        made.append(AuroraDisclosures(lambda: application))
        return made[-1]

    def tamper(crime: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            assert connection.execute(CRIMES[crime][0].encode()).rowcount > 0

    yield World(make(), make, tamper)
    for log in made:
        log.close()


def fill(log: DisclosureLog) -> None:
    """Four rows in two commits, each tied by an anchor."""
    log.record([seen(), seen(minute=2)])
    log.anchor()
    log.record([seen("mr-ratburn", BEN, ADA, minute=3, purpose="a complaint"), seen(minute=4)])
    log.anchor()


def test_an_empty_log_is_whole(world: World) -> None:
    world.log.record([])
    world.log.anchor()
    assert list(world.log.of_student(ADA, None, 10)) == []
    assert list(world.log.broken()) == []


def test_a_student_reads_who_looked_newest_first(world: World) -> None:
    fill(world.log)
    found = world.log.of_student(ADA, None, 10)
    assert [one.at for one in found] == [NOW + minutes(n) for n in (4, 3, 2, 0)]
    (ben,) = world.log.of_student(BEN, None, 10)
    assert ben[:6] == (NOW + minutes(3), "mr-ratburn", "teacher", "scores", "algebra", "a complaint")
    assert list(world.log.of_student(UUID(int=9), None, 10)) == []


def test_pages_show_every_row_once(world: World) -> None:
    other = world.other()
    for n in range(7):
        (world.log, other)[n % 2].record([seen(f"t{n}", minute=n // 3)])
    whole = list(world.log.of_student(ADA, None, 100))
    assert sorted(one.who for one in whole) == [f"t{n}" for n in range(7)]
    paged, before = [], None
    while page := world.log.of_student(ADA, before, 2):
        paged += list(page)
        before = page[-1].at, *page[-1].place
    assert paged == whole


def test_chains_of_several_writers_are_whole_and_tied_together(world: World) -> None:
    other = world.other()
    for log in (world.log, other, world.log):
        log.record([seen(), seen("x", ADA, BEN, ADA)])
        log.anchor()
        log.anchor()
    assert list(world.log.broken()) == list(other.broken()) == []


def test_a_row_may_name_many_students_and_odd_texts(world: World) -> None:
    many = [UUID(int=n) for n in range(1_000)]
    quoted = "a \"quoted\" \\n [{}], 'at': null"
    world.log.record(
        [seen("é\u2028😀", *many, purpose="a" * 200), seen("", ADA), seen("q", EVE, purpose=quoted)]
    )
    assert list(world.log.broken()) == []
    assert world.log.of_student(EVE, None, 1)[0].purpose == quoted
    assert world.log.of_student(UUID(int=999), None, 1)[0].who == "é\u2028😀"


@pytest.mark.parametrize("crime", CRIMES)
def test_tampering_is_found(world: World, crime: str) -> None:
    fill(world.log)
    assert list(world.log.broken()) == []
    world.tamper(crime)
    assert list(world.log.broken()) != []


def test_a_commit_in_doubt_begins_a_chain_and_the_old_one_is_still_anchored(
    database: str, application: str
) -> None:
    log = AuroraDisclosures(lambda: application)
    try:
        log.record([seen(), seen(minute=1)])
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("ALTER TABLE disclosed_students RENAME TO hidden")
            with pytest.raises(Fatal):
                log.record([seen(minute=2)])
            admin.execute("ALTER TABLE hidden RENAME TO disclosed_students")
        log.record([seen(minute=2)])
        log.anchor()
        with psycopg.connect(database, autocommit=True) as admin:
            ends = admin.execute("SELECT number FROM disclosure_anchors ORDER BY anchor").fetchall()
            assert ends == [(2,), (1,)]
            assert list(log.broken()) == []
            admin.execute("DELETE FROM disclosures WHERE number = 2")
        assert list(log.broken()) != []
    finally:
        log.close()


def test_a_connection_that_the_server_ended_costs_no_answer(database: str, application: str) -> None:
    log = AuroraDisclosures(lambda: application)
    try:
        for _ in range(2):
            log.record([seen()])
            with psycopg.connect(database, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        assert len(log.of_student(ADA, None, 9)) == 2
        assert list(log.broken()) == []
    finally:
        log.close()


def test_away_is_told_as_such() -> None:
    twin = MemoryDisclosures()
    twin.away = True
    for log in (twin, AuroraDisclosures(lambda: "host=/nowhere dbname=x")):
        with pytest.raises(LedgerUnavailable):
            log.record([seen()])
        with pytest.raises(LedgerUnavailable):
            log.of_student(ADA, None, 1)
        with pytest.raises(LedgerUnavailable):
            log.broken()
