"""The Records port over the ledger's twin."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from worker.adapters.memory.ledger import MemoryLedger
from worker.batch import StateKey
from worker.domain.classroom import Publication
from worker.domain.event import ScoreEvent, micros, ratio_micros
from worker.domain.window import Attempt, Version
from worker.reads import Days, Held, Item, SourceFigures, Standing


class MemoryRecords:
    """Records without a database; away while its ledger is.

    Args:
        ledger: the twin whose rows are read.
        now: the present, aware.
    """

    def __init__(self, ledger: MemoryLedger, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.enrolments: dict[str, list[str]] = {}
        self.publications: dict[tuple[str, str], Publication] = {}
        self._ledger = ledger
        self._now = now
        self._turn = threading.Lock()

    def courses_of(self, student_key: UUID) -> Mapping[str, Version]:
        own = {student_key, self._ledger.aliases.get(student_key, student_key)}
        states = self._ledger.current().items()
        found = {key.course_id: version for key, version in states if key.student_key in own}
        return {} if own & self._ledger.tombstones.keys() else dict(sorted(found.items()))

    def canonical(self, student_keys: Collection[UUID]) -> UUID | None:
        known = {key.student_key for key in self._ledger.current()}
        found = {self._ledger.aliases.get(key, key) for key in student_keys} & known
        return min(found, default=None)

    def versions_of(self, keys: Sequence[StateKey]) -> Mapping[StateKey, Version]:
        states = self._ledger.current()
        return {key: states[key] for key in keys if key in states}

    def held(self, course_id: str) -> Sequence[Held]:
        return [
            Held(key.student_key, self._sealed(key), version)
            for key, version in self._ledger.current().items()
            if key.course_id == course_id and key.student_key not in self._ledger.tombstones
        ]

    def sealed_ids(self, student_keys: Sequence[UUID]) -> Mapping[UUID, bytes]:
        found = {}
        for key in self._ledger.current():
            sealed = self._sealed(key)
            if key.student_key in student_keys and sealed is not None:
                found[key.student_key] = sealed
        return found

    def standing(self, key: StateKey, before: tuple[datetime, int] | None, limit: int) -> Sequence[Standing]:
        if key.student_key in self._ledger.tombstones:
            return []
        lines = [
            Standing(
                event.item_id,
                event.occurred_at,
                event.graded_at,
                event.score,
                event.max_score,
                revision,
                event.source,
                at,
            )
            for at, (event, revision) in self._ledger.standing(key).items()
        ]
        lines.sort(key=lambda line: (line.occurred_at, line.key), reverse=True)
        return [line for line in lines if before is None or (line.occurred_at, line.key) < before][:limit]

    def attempts_of(
        self, course_id: str, student_key: UUID | None, days: Days, as_of: datetime | None
    ) -> Mapping[UUID, Sequence[Attempt]]:
        found: dict[UUID, list[Attempt]] = {}
        for student, at, event in self._events(course_id, days, as_of):
            if student_key in (None, student):
                ratio = ratio_micros(event.score, event.max_score)
                found.setdefault(student, []).append(Attempt(micros(event.occurred_at), at, ratio))
        return found

    def items(
        self,
        course_id: str,
        days: Days,
        as_of: datetime | None,
        correct_from: float,
        learners: Collection[UUID] | None = None,
    ) -> Sequence[Item]:
        by_item: dict[str, list[tuple[UUID, ScoreEvent]]] = {}
        for student, _, event in self._events(course_id, days, as_of):
            if learners is None or student in learners:
                by_item.setdefault(event.item_id, []).append((student, event))
        return [_item(item, by_item[item], correct_from) for item in sorted(by_item)]

    def course_stamps(self, courses: Sequence[str]) -> Mapping[str, str]:
        states = self._ledger.current()
        stamps = {}
        for course in courses:
            versions = [version for key, version in states.items() if key.course_id == course]
            if versions:
                births, numbers = zip(*versions, strict=True)
                stamps[course] = f"{len(versions)}.{sum(numbers)}.{max(births)}"
        return stamps

    def publication(self, course_id: str, realm: str) -> Publication | None:
        self._ledger.current()
        return self.publications.get((course_id, realm))

    def publish(self, publication: Publication, instead_of: Publication | None) -> bool:
        held = self.publication(publication.course_id, publication.realm)
        if held is not None and (
            instead_of is None or not held.as_of == instead_of.as_of < publication.as_of
        ):
            return False
        self.publications[publication.course_id, publication.realm] = publication
        return True

    def enrolled(self, subject: str) -> Sequence[str]:
        self._ledger.current()
        return sorted(self.enrolments.get(subject, []))

    def figures(self) -> Sequence[SourceFigures]:
        progress = sorted(self._ledger.progress().items())
        return [SourceFigures(source, one.accounting, self._now(), False) for source, one in progress]

    def dead_letters(self) -> Mapping[str, int]:
        self._ledger.current()
        reasons = sorted(letter.reason.value for letter in self._ledger.dead_letters.values())
        return {reason: reasons.count(reason) for reason in reasons}

    @contextmanager
    def class_turn(self) -> Iterator[bool]:
        self._ledger.current()
        mine = self._turn.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                self._turn.release()

    def close(self) -> None:
        pass

    def _events(
        self, course_id: str, days: Days, as_of: datetime | None
    ) -> Iterator[tuple[UUID, int, ScoreEvent]]:
        for key in self._ledger.current():
            if key.course_id != course_id or key.student_key in self._ledger.tombstones:
                continue
            for at, (event, _) in self._ledger.standing(key).items():
                day = event.occurred_at.astimezone(UTC).date()
                within = (days.first or day) <= day <= (days.last or day)
                if within and (as_of is None or event.occurred_at <= as_of):
                    yield key.student_key, at, event

    def _sealed(self, key: StateKey) -> bytes | None:
        return next((event.sealed_id for event, _ in self._ledger.standing(key).values()), None)


def _item(item: str, made: Sequence[tuple[UUID, ScoreEvent]], correct_from: float) -> Item:
    ratios = [
        event.score / event.max_score for _, event in made if event.score is not None and event.max_score > 0
    ]
    return Item(
        item_id=item,
        attempts=len(made),
        learners=len({student for student, _ in made}),
        correct_rate=sum(ratio >= correct_from for ratio in ratios) / len(ratios) if ratios else None,
        mean=sum(ratios) / len(ratios) if ratios else None,
    )
