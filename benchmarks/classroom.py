"""Students with full states, and the attempts they send: what a worker has to fold at its dearest.

A state is full once its student has 20 scored attempts in the course: from then on each attempt moves a whole
ring. The history gives every student that many, one a day, so that the days are as many as the attempts; each
round of the benchmark adds attempts of students drawn at random. Everything is a function of the numbers, so
that the proof knows each attempt without having kept it.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from worker.batch import StateKey
from worker.domain.event import ScoreEvent, from_micros, micros
from worker.domain.identity import Identified, Identity
from worker.domain.window import DAY_MICROS, RING
from worker.local.recompute import attempt_key

MAX_SCORE = 100.0
_TRIES = 2
_COLUMNS = ("student_id", "course_id", "item_id", "attempt", "score", "max_score", "occurred_at")

Row = tuple[int, int, int | None]
"""An attempt as the ledger reads it: its key, when it occurred, its ratio in millionths."""


class Round(NamedTuple):
    """The attempts of one round: of each, in order, whose it is and which of theirs; the first one's time."""

    students: npt.NDArray[np.int64]
    turns: npt.NDArray[np.int64]
    begun: int


class Classroom:
    """So many students in so many courses, one course each.

    Args:
        students: how many, and so how many states.
        courses: how many.
        identity: makes their pseudonyms, each once.
        realm: who issued their ids.
        now: the end of the history.
    """

    def __init__(
        self, students: int, courses: int, *, identity: Identity, realm: str, now: datetime, seed: int = 1
    ) -> None:
        self.students = students
        self._courses = courses
        self._identity = identity
        self._realm = realm
        self._history_end = micros(now)
        self._chance = np.random.default_rng(seed)
        self._turns = np.full(students, RING, dtype=np.int64)
        self._known: dict[int, Identified] = {}
        self.rounds: list[Round] = []

    def key(self, student: int) -> StateKey:
        """Where the scores of a student stand."""
        return StateKey(self._identified(student).student_key, self._course(student))

    def write_history(self, path: Path) -> int:
        """A file for the backfill with the attempts that fill every state; how many they are."""
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
            for turn in range(RING):
                for student in range(self.students):
                    item, attempt = _name(turn)
                    occurred = from_micros(self._in_history(student, turn)).isoformat()
                    who = (f"student-{student}", self._course(student))
                    rows.writerow((*who, item, attempt, _score(student, turn), MAX_SCORE, occurred))
        return RING * self.students

    def draw(self, count: int, now: datetime, together: int = 1) -> Round:
        """The next round: so many attempts, a microsecond apart, each newer than all its student has.

        A student drawn sends so many `together`, as somebody does who answers the questions of one quiz.
        """
        sittings = self._chance.integers(0, self.students, size=-(-count // together))
        students = np.repeat(sittings, together)[:count]
        order = np.argsort(students, kind="stable")
        starts = np.flatnonzero(np.diff(students[order], prepend=-1))
        places = np.arange(count) - np.repeat(starts, np.diff(starts, append=count))
        turns = np.empty(count, dtype=np.int64)
        turns[order] = self._turns[students[order]] + places
        self._turns += np.bincount(students, minlength=self.students)
        drawn = Round(students, turns, micros(now))
        self.rounds.append(drawn)
        return drawn

    def events(self, of: Round) -> Iterator[ScoreEvent]:
        """The attempts of a round as the edge would admit them."""
        for number, (student, turn) in enumerate(zip(of.students.tolist(), of.turns.tolist(), strict=True)):
            item, attempt = _name(turn)
            moment = from_micros(of.begun + number)
            key, sealed = self._identified(student)
            yield ScoreEvent(
                student_key=key,
                sealed_id=sealed,
                course_id=self._course(student),
                item_id=item,
                score=float(_score(student, turn)),
                max_score=MAX_SCORE,
                occurred_at=moment,
                graded_at=moment,
                attempt=attempt,
            )

    def standing(self, student: int) -> set[Row]:
        """Every attempt of a student that must be in the ledger, by the text of the protocol."""
        rows = [(self._in_history(student, turn), turn) for turn in range(RING)]
        for drawn in self.rounds:
            numbers = np.flatnonzero(drawn.students == student)
            moments = (drawn.begun + numbers).tolist()
            rows += zip(moments, drawn.turns[numbers].tolist(), strict=True)
        return {(_key(turn), occurred, _score(student, turn) * 10_000) for occurred, turn in rows}

    def _course(self, student: int) -> str:
        return f"course-{student % self._courses}"

    def _in_history(self, student: int, turn: int) -> int:
        return self._history_end - (RING - turn) * DAY_MICROS + student

    def _identified(self, student: int) -> Identified:
        known = self._known.get(student)
        if known is None:
            known = self._known[student] = self._identity.identify(f"student-{student}", self._realm)
        return known


def chunks(events: Sequence[ScoreEvent], size: int) -> Iterator[Sequence[ScoreEvent]]:
    """The events in order, at most so many together."""
    return (events[start : start + size] for start in range(0, len(events), size))


def _name(turn: int) -> tuple[str, int]:
    """The item and the try of a student's n-th attempt: a class goes through its quizzes together."""
    return f"quiz-{turn // _TRIES}", turn % _TRIES + 1


def _key(turn: int) -> int:
    item, attempt = _name(turn)
    return int(attempt_key({"item_id": item, "attempt": attempt})[0])


def _score(student: int, turn: int) -> int:
    return (student * 31 + turn * 17) % 101
