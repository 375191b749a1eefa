"""What autovacuum does over the years, day by day, in one table and in a table for each term.

PostgreSQL starts a vacuum by three rules with known defaults, and paces it by a fourth. In one table all
three grow with everything that was ever kept: fewer and fewer vacuums, each larger than the last, until the
one against wraparound reads a whole ledger. A closed term's own table is frozen once and never looked at.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from benchmarks.growing.plan import PAGE, School

INSERT_BASE, INSERT_SHARE = 1_000, 0.2
DEAD_BASE, DEAD_SHARE = 50, 0.2
FREEZE_AGE, FREEZE_LEAST = 200_000_000, 50_000_000
_COST_LIMIT, _DELAY_S, _MISS, _DIRTY = 200, 0.002, 2, 20
PACED = _COST_LIMIT / _DELAY_S / (_MISS + _DIRTY) * PAGE
"""Bytes a second of pages that are read and written: what autovacuum allows itself by its defaults."""

_DAYS = 365.0


class Load(NamedTuple):
    """What makes vacuums: bytes of a row, the share of rows that are changed later, transactions a second."""

    row_bytes: float
    changed: float
    transactions: float


class Vacuum(NamedTuple):
    """One: on which day, why, and how many bytes of rows it reads."""

    day: int
    why: str
    bytes: float

    @property
    def paced_minutes(self) -> float:
        return self.bytes / PACED / 60


class _Table:
    """Rows, and since when: by day of their insertion, oldest first, until they are frozen."""

    def __init__(self, load: Load, day: int) -> None:
        self._load = load
        self.rows = self._dead = self._inserted = 0.0
        self._unseen = 0.0
        self._unfrozen: list[tuple[int, float]] = []
        self._frozen_on = day

    def day(self, day: int, rows: float) -> Iterator[Vacuum]:
        """A day's rows, and the vacuums that they start."""
        per_day = self._load.transactions * 86_400
        self.rows += rows
        self._inserted += rows
        self._unseen += rows
        self._dead += rows * self._load.changed
        if rows:
            self._unfrozen.append((day, rows))
        if (day - self._frozen_on) * per_day > FREEZE_AGE:
            yield self._vacuum(day, "wraparound", sum(count for _, count in self._unfrozen))
            self._freeze(day, per_day)
            return
        if self._inserted > INSERT_BASE + INSERT_SHARE * self.rows:
            yield self._vacuum(day, "inserts", self._unseen)
        elif self._dead > DEAD_BASE + DEAD_SHARE * self.rows:
            yield self._vacuum(day, "dead rows", self._unseen)

    def close(self, day: int) -> Vacuum:
        """The last one, by the job that ends a term: everything is frozen."""
        found = self._vacuum(day, "end of term", sum(count for _, count in self._unfrozen))
        self._unfrozen.clear()
        return found

    def _vacuum(self, day: int, why: str, rows: float) -> Vacuum:
        self._inserted = self._dead = self._unseen = 0.0
        return Vacuum(day, why, rows * self._load.row_bytes)

    def _freeze(self, day: int, per_day: float) -> None:
        young = FREEZE_LEAST / per_day
        self._unfrozen = [(since, rows) for since, rows in self._unfrozen if day - since < young]
        self._frozen_on = self._unfrozen[0][0] if self._unfrozen else day


def in_one_table(school: School, load: Load, terms: int) -> list[Vacuum]:
    """So many terms, nothing ever dropped."""
    length = _DAYS / school.terms_a_year
    table = _Table(load, 0)
    return [
        vacuum for day in range(1, int(length * terms) + 1) for vacuum in table.day(day, school.rows / length)
    ]


def in_tables_of_terms(school: School, load: Load, terms: int) -> list[Vacuum]:
    """The same, each term in a table that is closed when it ends."""
    length = _DAYS / school.terms_a_year
    found: list[Vacuum] = []
    for term in range(terms):
        first, last = int(length * term) + 1, int(length * (term + 1))
        table = _Table(load, first)
        for day in range(first, last + 1):
            found += table.day(day, school.rows / length)
        found.append(table.close(last))
    return found


_WORK_BYTES, _POINTER = 64 * 2**20, 6
"""What a vacuum may hold of dead rows by default, and what each takes, until PostgreSQL 17."""


class Deleting(NamedTuple):
    """A term deleted row by row out of one table: whole indexes are read to forget its rows."""

    rows: int
    passes: int
    bytes: float
    """Of heap and indexes that the vacuum after it reads."""

    @property
    def paced_minutes(self) -> float:
        return self.bytes / PACED / 60


def deleting(rows: int, heap_bytes: float, index_bytes: float) -> Deleting:
    """So many rows out of a table whose heap and indexes are so large.

    The dead rows' places are gathered until memory is full; then every index is read from end to end.
    """
    passes = max(1, ceil(rows * _POINTER / _WORK_BYTES))
    return Deleting(rows, passes, heap_bytes + passes * index_bytes)
