"""One student's scores, in one course or in all of them, now or at an earlier moment."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import msgspec

from worker.api.access import Caller, Grant
from worker.api.answers import InCourse, Point, StudentCourses, StudentInCourse
from worker.api.classes import Classes
from worker.api.desk import Clerk, Desk
from worker.api.freshness import Freshness
from worker.api.problems import Away, NotFound
from worker.api.rooms import Rankings, Room
from worker.batch import StateKey
from worker.domain.classroom import Ranking, percentile_of
from worker.domain.errors import Unavailable
from worker.domain.event import from_micros
from worker.domain.risk import Thresholds, at_risk
from worker.domain.score import MICRO, CourseScores, scores
from worker.domain.window import Window, rebuild, unpack
from worker.logs import redact
from worker.reads import Days, Disclosure

_log = logging.getLogger(__name__)
_outputs = attrgetter(*CourseScores.__struct_fields__)
_NOBODY = "no such student here; check the student id and the course"


class Asked(NamedTuple):
    """A read by somebody: who, under which grant, why, and of which student."""

    caller: Caller
    grant: Grant
    purpose: str | None
    student_id: str
    student_key: UUID


def disclosure(asked: Asked, what: str, course_id: str | None, at: datetime) -> Disclosure | None:
    """What must be recorded before the answer leaves; nothing for the own record."""
    if asked.grant.own:
        return None
    subject, role = asked.caller.subject, asked.grant.role.value
    return Disclosure(at, subject, role, what, course_id, asked.purpose, [asked.student_key])


class Owed(NamedTuple):
    """An answer, and the disclosure that must be recorded before it leaves with a body."""

    answer: msgspec.Struct
    disclosure: Disclosure | None


class Scores:
    """Answers about one student.

    Who already has an answer (`known`) may only be told that nothing has changed, which discloses nothing:
    its disclosure is owed until that is known. Everybody else's is recorded in the same step as the read.

    Args:
        desk: the way to the records.
        classes: gives percentiles.
        freshness: how far the projection is behind.
        thresholds: of the at-risk rules.
        now: the present, aware.
    """

    def __init__(
        self,
        desk: Desk,
        classes: Classes,
        freshness: Freshness,
        thresholds: Thresholds,
        now: Callable[[], datetime],
    ) -> None:
        self._desk = desk
        self._classes = classes
        self._freshness = freshness
        self._thresholds = thresholds
        self._now = now
        self._renewals: dict[str, asyncio.Task[Rankings | None]] = {}

    async def in_course(self, asked: Asked, course_id: str, as_of: datetime | None, *, known: bool) -> Owed:
        """One student in one course.

        Raises:
            NotFound: the ledger has nothing of this student there.
        """
        moment = self._now()
        key = StateKey(asked.student_key, course_id)
        seen = disclosure(asked, "scores", course_id, moment)
        if as_of is not None:
            window, ranking = await self._desk.work(
                lambda clerk: self._past(clerk, key, as_of, asked.caller.realm)
            )
            moment, degraded, owed = as_of, False, seen
        else:
            owed = seen if known else None
            now = None if known else seen
            read = (await self._desk.read([key], now, checked=not asked.grant.own)).get(key)
            window, degraded = (None, False) if read is None else (read.window, read.degraded)
            ranking = await self._ranking(course_id, asked.caller.realm) if window is not None else None
        if window is None:
            raise NotFound(_NOBODY)
        found = scores(window, moment)
        percentile = None if ranking is None else percentile_of(found, ranking)
        answer = StudentInCourse(
            *_outputs(found),
            percentile_in_course=percentile,
            at_risk=at_risk(found, moment, percentile, self._thresholds),
            course_id=course_id,
            student_id=asked.student_id,
            student_key=asked.student_key,
            as_of=moment,
            stale_seconds=self._freshness.stale_seconds,
            degraded=degraded,
            window=[Point(from_micros(occurred), ratio / MICRO) for occurred, ratio, _ in window.ring],
        )
        return Owed(answer, owed)

    async def everywhere(self, asked: Asked, as_of: datetime | None) -> Owed:
        """All courses of a student that the grant reaches.

        Raises:
            NotFound: there is none.
        """
        moment = self._now()
        seen = disclosure(asked, "scores", None, moment)
        courses = await self._desk.work(lambda clerk: list(clerk.records.courses_of(asked.student_key)))
        keys = [
            StateKey(asked.student_key, course)
            for course in courses
            if asked.grant.courses is None or course in asked.grant.courses
        ]
        if not keys:
            raise NotFound(_NOBODY)
        degraded = False
        windows: Mapping[StateKey, Window]
        if as_of is None:
            found = await self._desk.read(keys, None, checked=not asked.grant.own)
            windows = {key: read.window for key, read in found.items()}
            degraded = any(read.degraded for read in found.values())
        else:
            windows, moment = await self._desk.work(lambda clerk: _then(clerk, keys, as_of)), as_of
        lines = []
        for key in keys:
            if key in windows:
                ranking = await self._ranking(key.course_id, asked.caller.realm) if as_of is None else None
                outputs = scores(windows[key], moment)
                percentile = None if ranking is None else percentile_of(outputs, ranking)
                risk = at_risk(outputs, moment, percentile, self._thresholds)
                lines.append(
                    InCourse(
                        *_outputs(outputs),
                        percentile_in_course=percentile,
                        at_risk=risk,
                        course_id=key.course_id,
                    )
                )
        if not lines:
            raise NotFound(_NOBODY)
        means = [line.mean_last_n for line in lines if line.mean_last_n is not None]
        answer = StudentCourses(
            student_id=asked.student_id,
            student_key=asked.student_key,
            as_of=moment,
            stale_seconds=self._freshness.stale_seconds,
            degraded=degraded,
            mean_of_course_means=sum(means) / len(means) if means else None,
            courses=lines,
        )
        return Owed(answer, seen)

    async def _ranking(self, course_id: str, realm: str) -> Ranking | None:
        rankings = await self._rankings(course_id)
        return None if rankings is None else rankings.of(realm)

    async def _rankings(self, course_id: str) -> Rankings | None:
        """What is held, and where it must be renewed nobody waits for that: all of a course would."""
        held = self._classes.held("ranking", course_id)
        if isinstance(held, Rankings):
            return held
        renewal = self._renewals.get(course_id)
        if renewal is None:
            renewal = self._renewals[course_id] = asyncio.create_task(self._renewed(course_id))
        outdated = self._classes.outdated("ranking", course_id)
        return outdated if isinstance(outdated, Rankings) else await asyncio.shield(renewal)

    async def _renewed(self, course_id: str) -> Rankings | None:
        try:
            return await self._desk.work(lambda clerk: self._classes.rankings(clerk, course_id))
        except (Unavailable, Away):
            return None  # a percentile is only an addition
        except Exception as error:
            _log.error("a ranking not renewed", extra={"error": redact(error)})
            return None
        finally:
            del self._renewals[course_id]

    def _past(
        self, clerk: Clerk, key: StateKey, as_of: datetime, realm: str
    ) -> tuple[Window | None, Ranking | None]:
        window = _then(clerk, [key], as_of).get(key)
        if window is None:
            return None, None
        room: Room | None = self._classes.past(clerk.records, key.course_id, Days(), as_of)
        return window, None if room is None else room.rankings.of(realm)


def _then(clerk: Clerk, keys: list[StateKey], as_of: datetime) -> Mapping[StateKey, Window]:
    found = {}
    for key in keys:
        attempts = clerk.records.attempts_of(key.course_id, key.student_key, Days(), as_of)
        if attempts:
            found[key] = unpack(rebuild(attempts[key.student_key]))
    return found
