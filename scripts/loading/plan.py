"""Everything a run sends, drawn from one seed before it begins: who, what, and what becomes of each attempt.

All choices are columns of numbers, some 30 bytes an event, so that ten minutes at 5,000 a second fit in a
hundred megabytes, sending draws no lots, and the proof knows what must be in the ledger without having kept
a single event.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scripts.loading.profiles import Schedule
from worker.batch import StateKey
from worker.domain.event import Kind, ScoreEvent, from_micros
from worker.domain.identity import Identified, Identity

NEW, REGRADE, VOID, COPY = 0, 1, 2, 3
_SHARES = (0.94, 0.025, 0.01, 0.025)
_REACH = 100_000
"""How far back a correction may lie, in events."""
_NO_SCORE = -1
_MAX_SCORE = 100.0

Native = dict[str, object]


class Crowd(NamedTuple):
    """Who sends: the n-th busiest student a share proportional to 1/n**skew, and courses likewise.

    Each student attends `each` courses; large ones have many students. An exam is one item that everybody
    hands in.
    """

    students: int = 100_000
    courses: int = 200
    each: int = 2
    items: int = 12
    skew: float = 0.5

    @classmethod
    def of(cls, profile: str, students: int, courses: int) -> "Crowd":
        """The crowd that behaves as a profile says."""
        each = min(2, courses)
        return cls(students, courses, each, 1, 0.0) if profile == "exam" else cls(students, courses, each)


class Registers(NamedTuple):
    """What the ledger must hold: of each distinct attempt its last writer, as columns."""

    student: npt.NDArray[np.int64]
    course: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    attempt: npt.NDArray[np.int64]
    occurred: npt.NDArray[np.int64]
    score: npt.NDArray[np.int64]
    voided: npt.NDArray[np.bool_]


class Plan:
    """A run's events by number; event n is a function of the arguments alone.

    Args:
        run: tells this run's courses from any other's: `load-{run}-...`.
        schedule: when each is due.
        crowd: who sends.
        seed: where all choices come from.
        identity: makes students' pseudonyms, each once.
        realm: who issued their ids.
    """

    def __init__(
        self, run: str, schedule: Schedule, crowd: Crowd, *, seed: int, identity: Identity, realm: str
    ) -> None:
        self.run = run
        self.schedule = schedule
        self.crowd = crowd
        self._identity = identity
        self._realm = realm
        self._students: dict[int, Identified] = {}
        self._begun = 0
        chance = np.random.default_rng(seed)
        self._courses = _attended(crowd, chance)
        self._draw(len(schedule), chance)

    def __len__(self) -> int:
        return len(self.schedule)

    def begin(self, micros: int) -> None:
        """The first event is due at this moment, in microseconds since 1970; times of events follow."""
        self._begun = micros

    def course_id(self, course: int) -> str:
        """The id of a course of this run."""
        return f"load-{self.run}-{course}"

    def student(self, student: int) -> Identified:
        """Pseudonym and sealed id of a student."""
        known = self._students.get(student)
        if known is None:
            known = self._students[student] = self._identity.identify(_student_id(student), self._realm)
        return known

    def state_key(self, student: int, course: int) -> StateKey:
        """Where the scores of this student in this course stand."""
        return StateKey(self.student(student).student_key, self.course_id(course))

    def events(self, first: int, last: int) -> list[ScoreEvent]:
        """Events `first` to `last`, the latter not included, as the edge would admit them."""
        found = []
        for student, course, item, attempt, score, kind, due, graded in self._rows(first, last):
            key, sealed = self.student(student)
            voided = kind == VOID
            found.append(
                ScoreEvent(
                    student_key=key,
                    sealed_id=sealed,
                    course_id=self.course_id(course),
                    item_id=f"quiz-{item}",
                    score=None if voided or score == _NO_SCORE else score / 10,
                    max_score=0.0 if voided else _MAX_SCORE,
                    occurred_at=from_micros(self._begun + due),
                    graded_at=from_micros(self._begun + graded),
                    attempt=attempt,
                    kind=Kind.VOIDED if voided else Kind.SCORED,
                )
            )
        return found

    def natives(self, first: int, last: int) -> list[Native]:
        """The same events as a learning platform posts them."""
        found: list[Native] = []
        for student, course, item, attempt, score, kind, due, graded in self._rows(first, last):
            event: Native = {
                "student_id": _student_id(student),
                "course_id": self.course_id(course),
                "item_id": f"quiz-{item}",
                "attempt": attempt,
                "occurred_at": from_micros(self._begun + due),
            }
            if kind == VOID:
                event["kind"] = "voided"
            else:
                event |= {"score": None if score == _NO_SCORE else score / 10, "max_score": _MAX_SCORE}
            if graded != due:
                event["graded_at"] = from_micros(self._begun + graded)
            found.append(event)
        return found

    def samples(self, every_seconds: float) -> Sequence[int]:
        """Numbers of events to watch, so far apart: new, with a score, and never corrected."""
        touched = np.zeros(len(self), dtype=bool)
        touched[self._target[(self._kind == REGRADE) | (self._kind == VOID)]] = True
        good = np.flatnonzero((self._kind == NEW) & (self._score != _NO_SCORE) & ~touched)
        slots = self.schedule.due[good] // int(every_seconds * 1_000_000)
        chosen: list[int] = good[np.unique(slots, return_index=True)[1]].tolist()
        return chosen

    def registers(self, sent: npt.NDArray[np.bool_]) -> Registers:
        """What the events marked in `sent` must have left."""
        numbers = np.flatnonzero(sent)
        target = self._target[numbers]
        # events are graded in their order, and a copy changes nothing where its original came
        by_writer = np.where(self._kind[numbers] == COPY, target, numbers)
        order = np.lexsort((by_writer, target))
        target, by_writer = target[order], by_writer[order]
        last = np.append(target[1:] != target[:-1], True)[: len(target)]
        attempts, writers = target[last], by_writer[last]
        return Registers(
            self._student[attempts].astype(np.int64),
            self._course[attempts].astype(np.int64),
            self._item[attempts].astype(np.int64),
            self._attempt[attempts].astype(np.int64),
            self._begun + self.schedule.due[attempts],
            self._score[writers].astype(np.int64),
            self._kind[writers] == VOID,
        )

    def _rows(self, first: int, last: int) -> Iterator[tuple[int, int, int, int, int, int, int, int]]:
        target = self._target[first:last]
        kind = self._kind[first:last]
        writer = np.where(kind == COPY, target, np.arange(first, min(last, len(self))))
        due = self.schedule.due
        columns = (
            self._student[target],
            self._course[target],
            self._item[target],
            self._attempt[target],
            self._score[writer],
            kind,
            due[target],
            due[writer],
        )
        return zip(*(column.tolist() for column in columns), strict=True)

    def _draw(self, count: int, chance: np.random.Generator) -> None:
        crowd = self.crowd
        kind = chance.choice(4, size=count, p=_SHARES).astype(np.int8)
        kind[0] = NEW
        numbers = np.arange(count, dtype=np.int32)
        # a correction names an earlier new attempt: the nearest one before a number drawn
        latest_new = np.maximum.accumulate(np.where(kind == NEW, numbers, -1)).astype(np.int32)
        back = chance.integers(1, _REACH, size=count)
        earlier = np.maximum(numbers - 1 - back % np.maximum(numbers, 1), 0)
        self._kind = kind
        self._target = np.where(kind == NEW, numbers, latest_new[earlier]).astype(np.int32)
        shares = np.cumsum(1 / np.arange(1, crowd.students + 1) ** crowd.skew)
        self._student = np.searchsorted(shares, chance.random(count) * shares[-1]).astype(np.int32)
        self._course = self._courses[self._student, chance.integers(0, crowd.each, size=count)]
        self._item = chance.integers(0, crowd.items, size=count).astype(np.int16)
        ability = chance.normal(680, 120, crowd.students)
        score = np.clip(chance.normal(ability[self._student], 100), 0, 1_000)
        lot = chance.random(count)
        score = np.where(lot < 0.05, chance.uniform(1_005, 1_100, count), score).round()
        self._score = np.where(lot < 0.02, _NO_SCORE, score).astype(np.int16)
        self._attempt = self._tries(count)

    def _tries(self, count: int) -> npt.NDArray[np.int32]:
        """Of each event which try of its student at its item it is, counted from 1."""
        crowd = self.crowd
        who = (self._student.astype(np.int64) * crowd.courses + self._course) * crowd.items + self._item
        who[self._kind != NEW] = -1
        order = np.argsort(who, kind="stable")
        changes = np.append(True, who[order][1:] != who[order][:-1])
        starts = np.flatnonzero(changes)
        places = np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))
        tries = np.empty(count, dtype=np.int32)
        tries[order] = places + 1
        return tries


def _attended(crowd: Crowd, chance: np.random.Generator) -> npt.NDArray[np.int32]:
    """The courses of each student, all different: neighbours of one that is drawn by its size."""
    sizes = np.cumsum(1 / np.arange(1, crowd.courses + 1) ** 0.7)
    first = np.searchsorted(sizes, chance.random(crowd.students) * sizes[-1])
    courses: npt.NDArray[np.int32] = (
        (first[:, None] + np.arange(crowd.each)[None, :]) % crowd.courses
    ).astype(np.int32)
    return courses


def _student_id(student: int) -> str:
    return f"load-student-{student}"
