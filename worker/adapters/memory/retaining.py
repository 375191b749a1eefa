"""The Retaining port over the twins of ledger, erasing, disclosures and publications."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from uuid import UUID

from worker.adapters.memory.erasing import MemoryErasing
from worker.batch import StateKey
from worker.domain import chain
from worker.domain.event import ScoreEvent
from worker.upkeep import Deletion, Expired, Unlinked


class MemoryRetaining:
    """Retaining without a database; away while its ledger is, and no dead letter of the twin ever expires."""

    def __init__(self, erasing: MemoryErasing) -> None:
        self._erasing = erasing
        self._ledger = erasing.ledger

    def known_courses(self, courses: Collection[str]) -> frozenset[str]:
        return frozenset(key.course_id for key in self._ledger.current() if key.course_id in courses)

    def raise_horizon(self, before: datetime, courses: Collection[str]) -> None:
        self._ledger.current()
        for course in (*courses,) or (None,):
            self._ledger.horizons[course] = max(before, self._ledger.horizons.get(course, before))

    def count_states(self, courses: Collection[str]) -> int:
        return len(self._page(None, courses))

    def expire(self, after: StateKey | None, page: int, courses: Collection[str]) -> Expired | None:
        keys = self._page(after, courses)[:page]
        if not keys:
            return None
        found = self._expired(keys, None)
        states = [key for key in keys if self._gone(key, None) and key.student_key not in self._erasing.holds]
        for key in states:
            self._ledger.delete(key, self._horizon(key, None))
        if not states:
            return found
        self._ledger.deletions += 1
        return found._replace(deletion=Deletion(self._ledger.deletions, states))

    def expiring(
        self, after: StateKey | None, page: int, courses: Collection[str], before: datetime
    ) -> Expired | None:
        keys = self._page(after, courses)[:page]
        if not keys:
            return None
        kept = frozenset(key.course_id for key in keys if self._left(key, courses, before))
        return self._expired(keys, before)._replace(kept=kept)

    def unlink_disclosures(self, after: tuple[UUID, int] | None, page: int) -> Unlinked | None:
        def take_out(at: int, students: list[UUID]) -> None:
            links = self._erasing.book.links
            links[at] = links[at]._replace(students=students, redacted=chain.subjects(students))

        return self._unlinked(after, page, (), None, take_out)

    def outlived(
        self, after: tuple[UUID, int] | None, page: int, courses: Collection[str], before: datetime
    ) -> Unlinked | None:
        return self._unlinked(after, page, courses, before, lambda *_: None)

    def drop_publications(self) -> int:
        gone, published = self._without_attempts(), self._erasing.publications
        for place in [place for place in published if place[0] in gone]:
            del published[place]
        return len(gone)

    def emptied_publications(self, kept: Collection[str], courses: Collection[str]) -> int:
        empty = self._without_attempts()
        published = {course for course, _ in self._erasing.publications} - {*kept}
        return sum(course in empty or not courses or course in courses for course in published)

    def expired_letters(self) -> int:
        return 0

    def bury_expired_letters(self, most: int) -> int:  # noqa: ARG002
        return 0

    def forget_courses(self, purged_before: datetime) -> int:
        gone = self._forgettable(purged_before)
        for courses in gone:
            courses.clear()
        return len(gone)

    def forgettable_courses(self, purged_before: datetime) -> int:
        return len(self._forgettable(purged_before))

    def close(self) -> None:
        pass

    def _page(self, after: StateKey | None, courses: Collection[str]) -> list[StateKey]:
        keys = sorted(key for key in self._ledger.current() if not courses or key.course_id in courses)
        return [key for key in keys if after is None or key > after]

    def _horizon(self, key: StateKey, before: datetime | None) -> datetime | None:
        horizons = self._ledger.horizons
        known = [one for one in (before, horizons.get(None), horizons.get(key.course_id)) if one is not None]
        return max(known, default=None)

    def _gone(self, key: StateKey, before: datetime | None) -> list[ScoreEvent]:
        horizon = self._horizon(key, before)
        events = [event for event, _ in self._ledger.rows(key).values()]
        return [event for event in events if horizon is not None and event.graded_at < horizon]

    def _left(self, key: StateKey, courses: Collection[str], before: datetime | None) -> int:
        """How many attempts of a state stay once those of these courses have expired; `before` None: now."""
        rows = len(self._ledger.rows(key))
        stays = before is None or key.student_key in self._erasing.holds
        return (
            rows
            if stays or (courses and key.course_id not in courses)
            else rows - len(self._gone(key, before))
        )

    def _expired(self, keys: list[StateKey], before: datetime | None) -> Expired:
        gone = held = 0
        for key in keys:
            if key.student_key in self._erasing.holds:
                held += len(self._gone(key, before))
            else:
                gone += len(self._gone(key, before))
        return Expired(keys[-1], len(keys), gone, held, None)

    def _unlinked(
        self,
        after: tuple[UUID, int] | None,
        page: int,
        courses: Collection[str],
        before: datetime | None,
        change: Callable[[int, list[UUID]], None],
    ) -> Unlinked | None:
        links = self._erasing.book.links
        places = sorted((link.chain, link.number) for link in links)
        places = [place for place in places if after is None or place > after][:page]
        gone = 0
        for at, link in enumerate(links):
            if (link.chain, link.number) in places:
                stay = [one for one in link.students if not self._outlived(link, one, courses, before)]
                gone += len(link.students) - len(stay)
                if len(stay) < len(link.students):
                    change(at, stay)
        return Unlinked(places[-1], len(places), gone) if places else None

    def _outlived(
        self, link: chain.Link, student: UUID, courses: Collection[str], before: datetime | None
    ) -> bool:
        meant = before if not courses or link.course_id in courses else None
        horizon = self._horizon(StateKey(student, link.course_id or ""), meant)
        if horizon is None or link.at >= horizon or student in self._erasing.holds:
            return False
        return not any(
            key.student_key == student
            and link.course_id in (None, key.course_id)
            and self._left(key, courses, before)
            for key in self._ledger.current()
        )

    def _without_attempts(self) -> set[str]:
        """The courses with published figures in which no attempt is."""
        return {course for course, _ in self._erasing.publications} - {
            key.course_id for key in self._ledger.current() if self._ledger.rows(key)
        }

    def _forgettable(self, purged_before: datetime) -> list[set[str]]:
        tombs = (*self._ledger.tombstones.values(), *self._ledger.lifted.values())
        return [courses for courses in tombs if courses and purged_before > datetime.now(UTC)]
