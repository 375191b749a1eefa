"""A school's ledger term by term up to a billion rows, from what a row was measured to take.

Nobody can fill a billion rows for a test. What can be measured is a row, at sizes far apart; the rest is
counting: rows of a term, pages of an index, levels above them, and what of all that a running term touches.
"""

from collections.abc import Mapping, Sequence
from math import ceil, log10
from typing import NamedTuple

from benchmarks.reckoning import Ledger
from deploy.capacity import ACU_IDLE

PAGE, _PAGE_HEADERS = 8192, 40
_POINTER, _HEADER = 4, 8
_FULL = 0.7
"""Of an inner page, where keys come in no order."""
_KEYS = {
    "attempts_pkey": 16,
    "course_scores_pkey": 8,
    "course_scores_student": 8,
    "students_pkey": 8,
    "students_student_key_key": 16,
}
"""Bytes of a key as an index aligns it."""

ACU_BYTES = 2 * 2**30
CACHE_SHARE = 0.75
"""Of an Aurora instance's memory what holds pages; the default of its parameter group, remembered."""


class School(NamedTuple):
    """A university: what a term brings, how long it is kept at hand."""

    students: int = 100_000
    courses_each: int = 5
    attempts_each: int = 100
    terms_a_year: int = 3
    years_of_study: int = 4
    kept_terms: int = 6

    @property
    def states(self) -> int:
        """Of a term."""
        return self.students * self.courses_each

    @property
    def rows(self) -> int:
        """Of a term."""
        return self.states * self.attempts_each

    def enrolled(self, terms: int) -> int:
        """Students who have been seen after so many terms."""
        return self.students + int(self.students / self.years_of_study * (terms - 1) / self.terms_a_year)

    def terms_until(self, rows: int) -> int:
        return ceil(rows / self.rows)


class Tables(NamedTuple):
    """A ledger of so many rows: bytes of each heap and index, levels of each index."""

    rows: int
    states: int
    students: int
    heaps: Mapping[str, float]
    indexes: Mapping[str, float]
    levels: Mapping[str, int]

    @property
    def bytes(self) -> float:
        return sum(self.heaps.values()) + sum(self.indexes.values())


class Term(NamedTuple):
    """One term: all terms in one table, only the last ones kept, and what the running term touches."""

    number: int
    whole: Tables
    kept: Tables
    touched: float
    """Bytes: rows, states and indexes of the running term, and everybody's entry."""

    @property
    def acu(self) -> float:
        """Aurora capacity units that hold all of that in memory."""
        return ceil((ACU_IDLE + self.touched / (ACU_BYTES * CACHE_SHARE)) * 2) / 2


def tables(measured: Ledger, rows: int, states: int, students: int) -> Tables:
    """The tables that grow, of so many rows each."""
    counts = {"attempts": rows, "course_scores": states, "students": students}
    indexes = {
        name: (counts[table] * size, counts[table])
        for table, room in measured.room.items()
        for name, size in room.index_bytes.items()
    }
    return Tables(
        rows,
        states,
        students,
        {table: counts[table] * room.heap_bytes for table, room in measured.room.items()},
        {name: size for name, (size, _) in indexes.items()},
        {name: levels(name, size) for name, (size, _) in indexes.items()},
    )


def levels(index: str, size: float) -> int:
    """Pages from the root of an index of so many bytes to a leaf, both counted."""
    fan_out = int((PAGE - _PAGE_HEADERS) * _FULL / (_KEYS[index] + _HEADER + _POINTER))
    found, pages = 1, ceil(size / PAGE) - 1  # without the page that describes it
    while pages > 1:
        pages = ceil(pages / fan_out)
        found += 1
    return found


def terms(measured: Ledger, school: School, rows: int) -> Sequence[Term]:
    """Term after term until there are so many rows."""
    found = []
    for number in range(1, school.terms_until(rows) + 1):
        students = school.enrolled(number)
        whole, kept, one = (
            tables(measured, school.rows * count, school.states * count, students)
            for count in (number, min(number, school.kept_terms), 1)
        )
        found.append(Term(number, whole, kept, one.bytes))
    return found


class Line(NamedTuple):
    """What an event costs by rows: so much, and so much more for each tenfold; fitted."""

    at_one: float
    a_decade: float

    def at(self, rows: float) -> float:
        return self.at_one + self.a_decade * log10(rows)


def fitted(costs: Mapping[int, float]) -> Line:
    """By least squares over the logarithm of the rows."""
    points = [(log10(rows), cost) for rows, cost in costs.items()]
    middle = sum(x for x, _ in points) / len(points)
    mean = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    slope = sum((x - middle) * (y - mean) for x, y in points) / spread if spread else 0.0
    return Line(mean - slope * middle, slope)
