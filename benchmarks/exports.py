"""A learning platform's export, invented: what a backfill is given when a school begins with this system.

A term of attempts in the order in which they were handed in, so that a batch touches nearly as many states
as it has rows, which is the dear case. Some were graded again, some carry no score, and some rows are broken,
as in every export that was ever made by hand.
"""

import csv
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

_TERM_BEGINS = datetime(2026, 1, 5, 8, tzinfo=UTC)
_TERM_SECONDS = 110 * 86_400
_COURSES = 60
_REGRADED = 0.03
_WITHOUT_SCORE = 0.01
_BROKEN = 0.002
_FIELDS = ("student_id", "course_id", "item_id", "attempt", "score", "max_score", "occurred_at", "graded_at")


class Export(NamedTuple):
    """One file: its rows, those of them that are events, and how many attempts these are of."""

    path: Path
    rows: int
    events: int
    attempts: int
    students: int


def write(path: Path, rows: int, term: int) -> Export:
    """Make a file of so many rows, by its ending CSV or NDJSON; each term has students of its own."""
    students = max(1, rows // 10)
    attempts, events = set[tuple[object, ...]](), 0
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, _FIELDS)
        if path.suffix == ".csv":
            table.writeheader()
        for row in _rows(rows, students, term):
            if row["score"] != "absent":
                events += 1
                attempts.add((row["student_id"], row["item_id"], row["attempt"]))
            if path.suffix == ".csv":
                table.writerow(row)
            else:
                file.write(json.dumps(row) + "\n")
    return Export(path, rows, events, len(attempts), students)


def _rows(count: int, students: int, term: int) -> Iterator[dict[str, object]]:
    """Every student sits through the same items, one after the other, each in an order of its own."""
    chance = random.Random(term)
    order = list(range(students))
    last: dict[str, object] = {}
    for number in range(count):
        if number % students == 0:
            chance.shuffle(order)
        student = order[number % students]
        at = _TERM_BEGINS + timedelta(seconds=_TERM_SECONDS * number // count)
        if last and chance.random() < _REGRADED:
            graded = datetime.fromisoformat(str(last["graded_at"])) + timedelta(hours=3)
            yield last | {"score": chance.randrange(101), "graded_at": graded.isoformat()}
            continue
        row: dict[str, object] = {
            "student_id": f"s-{term}-{student}",
            "course_id": f"course-{term}-{student % _COURSES}",
            "item_id": f"quiz-{number // students}",
            "attempt": 1,
            "score": _score(chance),
            "max_score": 100,
            "occurred_at": at.isoformat(),
            "graded_at": (at + timedelta(minutes=chance.randrange(2_000))).isoformat(),
        }
        if row["score"] not in {None, "absent"}:
            last = row
        yield row


def _score(chance: random.Random) -> int | str | None:
    place = chance.random()
    if place < _BROKEN:
        return "absent"
    return None if place < _BROKEN + _WITHOUT_SCORE else chance.randrange(101)
