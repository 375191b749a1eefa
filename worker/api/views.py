"""The answers that are lists or sums: a class, attempts, disclosures, the system's own figures."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import NamedTuple
from uuid import UUID

from worker.api import cursors, roster
from worker.api.access import Caller, Grant
from worker.api.answers import (
    AttemptLine,
    Attempts,
    ClassFigures,
    ClassView,
    DisclosureLine,
    Disclosures,
    Reasoned,
    ShardFigures,
    SystemFigures,
)
from worker.api.classes import Classes, quietly
from worker.api.desk import Clerk, Desk
from worker.api.freshness import Freshness
from worker.api.problems import BadRequest, NotFound
from worker.api.rooms import Room
from worker.api.scores import Asked, Owed, disclosure
from worker.batch import StateKey
from worker.domain.accounting import Accounting, Outcome
from worker.domain.event import ratio_micros
from worker.domain.identity import Identity, SealBroken
from worker.domain.score import MICRO
from worker.reads import Days, Disclosure, SourceFigures

_NO_CLASS = "no such course here; check its id"
_NO_ATTEMPTS = "no attempts of such a student here; check the student id and the course"


class ClassAsked(NamedTuple):
    """A look at a class: who, under which grant, why, and which part of it."""

    caller: Caller
    grant: Grant
    purpose: str | None
    course_id: str
    days: Days
    as_of: datetime | None
    sort: roster.Sort
    order: roster.Order
    cursor: str | None
    limit: int

    @property
    def narrowed(self) -> bool:
        """Whether it asks for a part of the past, which only the ledger knows."""
        return self.as_of is not None or self.days != Days()


class ClassAnswer(NamedTuple):
    """A class as a document; `view` is None for people without row access."""

    figures: ClassFigures
    view: ClassView | None
    disclosure: Disclosure | None


class Views:
    """Answers about many.

    Args:
        desk: the way to the records.
        classes: the class figures.
        freshness: how far the projection is behind.
        identity: opens sealed ids, for those who may see them.
        now: the present, aware.
    """

    def __init__(
        self,
        desk: Desk,
        classes: Classes,
        freshness: Freshness,
        identity: Identity,
        now: Callable[[], datetime],
    ) -> None:
        self._desk = desk
        self._classes = classes
        self._freshness = freshness
        self._identity = identity
        self._now = now

    async def classroom(self, asked: ClassAsked) -> ClassAnswer:
        """A class, as far as the caller may see it.

        Raises:
            NotFound: nobody has attempts there.
            BadRequest: a narrowed view of published figures, which would tell small groups apart.
        """
        if not asked.grant.rows:
            return ClassAnswer(await self._published(asked), None, None)
        room = await self._room(asked)
        school = None if room is None else room.of(asked.caller.realm)
        if room is None or school is None:
            raise NotFound(_NO_CLASS)
        learners = school.classroom.learners
        names: Mapping[UUID, str] = {}
        if asked.sort == "student_id":
            names = self._names(room, [learner.student_key for learner in learners], asked.caller.realm)
        cut = roster.page(
            learners, names, sort=asked.sort, order=asked.order, cursor=asked.cursor, limit=asked.limit
        )
        keys = [learner.student_key for learner in cut.learners]
        seen = Disclosure(
            self._now(),
            asked.caller.subject,
            asked.grant.role.value,
            "class",
            asked.course_id,
            asked.purpose,
            keys,
        )
        names = self._names(room, keys, asked.caller.realm)
        figures = school.classroom
        view = ClassView(
            course_id=asked.course_id,
            definition=figures.definition,
            as_of=figures.as_of,
            stale_seconds=self._freshness.stale_seconds,
            degraded=figures.degraded,
            learners=len(learners),
            learners_counted=figures.counted,
            mean=figures.mean,
            at_risk=figures.at_risk,
            distribution=figures.distribution,
            items=school.items,
            roster=[roster.line(learner, names.get(learner.student_key)) for learner in cut.learners],
            next_cursor=cut.next_cursor,
        )
        return ClassAnswer(view, view, seen if keys else None)

    async def attempts(self, asked: Asked, course_id: str, cursor: str | None, limit: int) -> Owed:
        """The attempts of a student in a course, newest first.

        Raises:
            NotFound: there is none.
        """
        moment = self._now()
        before = cursors.decode(cursor, tuple[cursors.Moment, cursors.Number])
        key = StateKey(asked.student_key, course_id)
        found = await self._desk.work(lambda clerk: clerk.records.standing(key, before, limit + 1))
        if not found and before is None:
            raise NotFound(_NO_ATTEMPTS)
        lines = found[:limit]
        after = cursors.encode((lines[-1].occurred_at, lines[-1].key)) if len(found) > limit else None
        answer = Attempts(
            student_id=asked.student_id,
            student_key=asked.student_key,
            course_id=course_id,
            as_of=moment,
            attempts=[
                AttemptLine(
                    item_id=one.item_id,
                    occurred_at=one.occurred_at,
                    graded_at=one.graded_at,
                    score=one.score,
                    max_score=one.max_score,
                    ratio=_ratio(one.score, one.max_score),
                    revision=one.revision,
                    source=one.source,
                )
                for one in lines
            ],
            next_cursor=after,
        )
        return Owed(answer, disclosure(asked, "attempts", course_id, moment))

    async def disclosures(self, asked: Asked, cursor: str | None, limit: int) -> Owed:
        """Who saw a student's record, newest first."""
        before = cursors.decode(cursor, tuple[cursors.Moment, UUID, cursors.Number])
        found = await self._desk.work(
            lambda clerk: clerk.disclosures.of_student(asked.student_key, before, limit + 1)
        )
        lines = found[:limit]
        after = cursors.encode((lines[-1].at, *lines[-1].place)) if len(found) > limit else None
        answer = Disclosures(
            student_id=asked.student_id,
            student_key=asked.student_key,
            disclosures=[
                DisclosureLine(
                    at=one.at,
                    who=one.who,
                    role=one.role,
                    what=one.what,
                    course_id=one.course_id,
                    purpose=one.purpose,
                )
                for one in lines
            ],
            next_cursor=after,
        )
        return Owed(answer, disclosure(asked, "disclosures", None, self._now()))

    async def system(self) -> SystemFigures:
        """The system's own figures; what does not answer is said to be away."""
        ages = self._freshness.ages
        told = await self._desk.work(lambda clerk: quietly(lambda: _told(clerk)))
        sources, letters = told or ([], {})
        total = sum((one.accounting for one in sources), Accounting())
        return SystemFigures(
            as_of=self._now(),
            stale_seconds=self._freshness.stale_seconds,
            redis="answers" if self._freshness.redis_answers else "away",
            ledger="away" if told is None else "answers",
            events={"read": total.read, **{outcome.value: total[outcome] for outcome in Outcome}},
            shards=_shards(ages, {one.source: one for one in sources}),
            dead_letters=[Reasoned(reason, count) for reason, count in letters.items()],
        )

    async def _room(self, asked: ClassAsked) -> Room | None:
        if not asked.narrowed:
            return await self._desk.work(lambda clerk: self._classes.room(clerk, asked.course_id))
        moment = self._now() if asked.as_of is None else asked.as_of
        if asked.days.last is not None:
            moment = min(moment, datetime.combine(asked.days.last, time.max, UTC))
        return await self._desk.work(
            lambda clerk: self._classes.past(clerk.records, asked.course_id, asked.days, moment)
        )

    async def _published(self, asked: ClassAsked) -> ClassFigures:
        if asked.narrowed:
            raise BadRequest("published figures take neither from, to nor as_of: parts would tell on few")
        realm = asked.caller.realm
        shown = await self._desk.work(lambda clerk: self._classes.published(clerk, asked.course_id, realm))
        if shown is None:
            raise NotFound(_NO_CLASS)
        return ClassFigures(
            course_id=shown.course_id,
            definition=shown.definition,
            as_of=shown.as_of,
            stale_seconds=self._freshness.stale_seconds,
            degraded=False,
            learners=shown.learners,
            learners_counted=shown.learners_counted,
            mean=shown.mean,
            at_risk=shown.at_risk,
            distribution=shown.distribution,
        )

    def _names(self, room: Room, keys: Sequence[UUID], realm: str) -> Mapping[UUID, str]:
        """The ids of the caller's own realm: the same id issued by somebody else is another student."""
        names = {}
        for key in keys:
            sealed = room.sealed.get(str(key))
            if sealed is None:
                continue
            try:
                issuer, student_id = self._identity.open(sealed)
            except SealBroken:
                continue  # sealed by a producer under a key that is not ours: the pseudonym must do
            if issuer == realm:
                names[key] = student_id
        return names


def _told(clerk: Clerk) -> tuple[Sequence[SourceFigures], Mapping[str, int]]:
    return clerk.records.figures(), clerk.records.dead_letters()


def _shards(ages: Mapping[str, float | None], sources: Mapping[str, SourceFigures]) -> list[ShardFigures]:
    lines = []
    for source, age in ages.items():
        figures = sources.get(source)
        accounting = Accounting() if figures is None else figures.accounting
        lines.append(
            ShardFigures(
                shard=source.rpartition(":")[2],
                iterator_age_seconds=age,
                read=accounting.read,
                dead_lettered=accounting[Outcome.DEAD_LETTERED],
                committed_at=None if figures is None else figures.committed_at,
            )
        )
    return lines


def _ratio(score: float | None, max_score: float) -> float | None:
    ratio = ratio_micros(score, max_score)
    return None if ratio is None else ratio / MICRO
