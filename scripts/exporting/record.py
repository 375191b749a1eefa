"""A student's record as a document: every attempt, and every score with the attempts that make it."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from scripts.frame.student import Named
from worker.domain.derivation import computed, derive
from worker.domain.event import micros, ratio_micros
from worker.domain.score import DEFINITION
from worker.domain.window import Attempt
from worker.reads import Disclosed
from worker.upkeep import Entry, Subject

NOTICE = (
    "An education record. Whoever receives it may not disclose it further without the consent of the parent"
    " or eligible student, except as the law allows (34 CFR 99.33)."
)
_COLUMNS = (
    "course_id",
    "item_id",
    "occurred_at",
    "graded_at",
    "score",
    "max_score",
    "ratio",
    "voided",
    "revision",
    "source",
    "attempt",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MICRO = 1_000_000


class Course(NamedTuple):
    """What the ledger holds of a student in one course, and the attempts that count."""

    course_id: str
    entries: Sequence[Entry]
    attempts: Sequence[Attempt]


def courses(entries: Iterable[Entry]) -> list[Course]:
    """The record by course."""
    found = []
    for course_id, group in groupby(entries, key=lambda entry: entry.course_id):
        rows = list(group)
        counting = [
            Attempt(micros(one.occurred_at), one.key, ratio_micros(one.score, one.max_score))
            for one in rows
            if not one.voided
        ]
        found.append(Course(course_id, rows, counting))
    return found


def document(
    subject: Subject, name: Named, found: Sequence[Course], seen: Sequence[Disclosed], as_of: datetime
) -> dict[str, Any]:
    """The whole record."""
    return {
        "notice": NOTICE,
        "exported_at": as_of,
        "definition": DEFINITION,
        "student": {
            "student_id": name.student_id,
            "realm": name.realm,
            "student_key": subject.key,
            "other_keys": sorted(subject.keys - {subject.key}),
            "hold": None if subject.hold is None else subject.hold._asdict(),
        },
        "courses": [_course(course, as_of) for course in found],
        "disclosures": [
            {"at": one.at, "who": one.who, "role": one.role, "what": one.what, "course_id": one.course_id}
            | {"purpose": one.purpose}
            for one in seen
        ],
    }


def doubtful(course: Course, as_of: datetime) -> list[str]:
    """The outputs that the attempts named for them do not give; there should be none."""
    by_key = {attempt.key: attempt for attempt in course.attempts}
    wrong = []
    for name, derived in derive(course.attempts, as_of).items():
        again = computed([by_key[key] for key in derived.attempts], as_of)
        if derived.attempts and getattr(again, name) != derived.value:
            wrong.append(name)
    return wrong


def as_csv(found: Sequence[Course]) -> bytes:
    """The attempts as a table for spreadsheets: UTF-8 with its mark, and no cell that runs as a formula."""
    written = io.StringIO()
    table = csv.DictWriter(written, _COLUMNS)
    table.writeheader()
    for course in found:
        for entry in course.entries:
            table.writerow({name: _cell(value) for name, value in _line(entry).items()})
    return written.getvalue().encode("utf-8-sig")


def _course(course: Course, as_of: datetime) -> dict[str, Any]:
    derived = derive(course.attempts, as_of)
    return {
        "course_id": course.course_id,
        "version": course.entries[0].version._asdict(),
        "scores": {
            name: {"value": one.value, "from": [_name(key) for key in one.attempts]}
            for name, one in derived.items()
        },
        "attempts": [_line(entry) for entry in course.entries],
    }


def _line(entry: Entry) -> Mapping[str, Any]:
    ratio = None if entry.voided else ratio_micros(entry.score, entry.max_score)
    return {
        "course_id": entry.course_id,
        "item_id": entry.item_id,
        "occurred_at": entry.occurred_at,
        "graded_at": entry.graded_at,
        "score": entry.score,
        "max_score": entry.max_score,
        "ratio": None if ratio is None else ratio / _MICRO,
        "voided": entry.voided,
        "revision": entry.revision,
        "source": entry.source,
        "attempt": _name(entry.key),
    }


def _name(key: int) -> str:
    """An attempt's key as text, because JSON's numbers lose digits."""
    return f"{key & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return "'" + value
    return str(value)
