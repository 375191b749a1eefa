"""Retention in steps, each over pages that may be repeated; a dry run takes the same steps and only looks.

Each step tells its figures in one place, so that a dry run and a real one cannot name them differently.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from scripts.frame.healing import heal_deletions
from scripts.frame.patience import patiently
from scripts.frame.script import Run
from worker.batch import StateKey
from worker.stream.deleting import behind
from worker.upkeep import Expired
from worker.wiring_jobs import Office

_STATES = 500
_ROWS = 500
_ROOMS = ("room", "ranking")
_NEVER = datetime.min.replace(tzinfo=UTC)
"""Before everything: a horizon that refuses nothing."""


class Retention:
    """One run over everything that may expire; `before` None: only what the horizons refuse already."""

    def __init__(self, run: Run, office: Office, before: datetime | None, courses: frozenset[str]) -> None:
        self._run = run
        self._office = office
        self._before = before
        self._courses = courses

    def attempts(self) -> None:
        """The horizon, then the attempts it refuses, and the figures of courses that are empty now."""
        run = self._run
        figures = self._expiring() if run.dry_run else self._expire()
        run.report.figure("courses whose published figures were dropped", figures)

    def disclosures(self) -> None:
        """Students out of disclosures that their record does not outlive."""
        run, retaining = self._run, self._office.retaining
        after: tuple[UUID, int] | None = None
        students = 0
        with run.show.progress("disclosures", None) as advance:
            while not run.stopping.asked:
                page = patiently(
                    run,
                    partial(retaining.outlived, after, _ROWS, self._courses, self._before or _NEVER)
                    if run.dry_run
                    else partial(retaining.unlink_disclosures, after, _ROWS),
                )
                if page is None:
                    break
                after = page.last
                students += page.students
                advance(page.rows)
        run.report.figure("students taken out of disclosures", students)

    def letters(self) -> None:
        """Dead letters past their life."""
        run, retaining = self._run, self._office.retaining
        expired = patiently(run, retaining.expired_letters)
        buried = expired if run.dry_run else 0
        with run.show.progress("expired dead letters", expired) as advance:
            while not run.dry_run and not run.stopping.asked:
                done = patiently(run, partial(retaining.bury_expired_letters, _ROWS))
                if not done:
                    break
                buried += done
                advance(done)
        run.report.figure("dead letters past their life", buried)

    def tombstones(self, purged_before: datetime) -> None:
        """The courses of tombstones so old that no state of them can come back."""
        retaining = self._office.retaining
        forget = retaining.forgettable_courses if self._run.dry_run else retaining.forget_courses
        gone = patiently(self._run, partial(forget, purged_before))
        self._run.report.figure("tombstones that need no courses any more", gone)

    def prove(self) -> None:
        """Look at all of it once more."""
        run, office = self._run, self._office
        _, left, _ = self._pages(self._look)
        if run.stopping.asked:
            return
        run.report.verdict("nothing that has expired is left", good=not left, detail=f"{left:,} attempts")
        lost = patiently(run, lambda: behind(office.ledger, office.projection))
        run.report.verdict("Redis has followed every deletion", good=not lost)

    def _expire(self) -> int:
        """Drop attempts, then figures; of how many courses."""
        run, office = self._run, self._office
        if self._before is not None:
            patiently(run, partial(office.retaining.raise_horizon, self._before, self._courses))
        touched: set[str] = set()

        def expire(after: StateKey | None) -> Expired | None:
            found = office.retaining.expire(after, _STATES, self._courses)
            if found is not None and found.deletion is not None:
                deletion = found.deletion
                patiently(run, lambda: office.projection.unlink(deletion.number, deletion.states))
                touched.update(state.course_id for state in deletion.states)
            return found

        self._tell(*self._pages(expire))
        heal_deletions(run, office.ledger, office.projection)
        for kind in _ROOMS:
            patiently(run, partial(office.classes.drop, kind, sorted(touched)))
        return patiently(run, office.retaining.drop_publications)

    def _expiring(self) -> int:
        """The same, only looked at."""
        kept: set[str] = set()

        def look(after: StateKey | None) -> Expired | None:
            found = self._look(after)
            kept.update(found.kept if found is not None else ())
            return found

        self._tell(*self._pages(look))
        if self._run.stopping.asked:
            raise KeyboardInterrupt  # what was not looked at may keep an attempt
        emptied = partial(self._office.retaining.emptied_publications, kept, self._courses)
        return patiently(self._run, emptied)

    def _look(self, after: StateKey | None) -> Expired | None:
        return self._office.retaining.expiring(after, _STATES, self._courses, self._before or _NEVER)

    def _pages(self, step: Callable[[StateKey | None], Expired | None]) -> tuple[int, int, int]:
        """All pages: states looked at, attempts that expire, attempts of held students."""
        run = self._run
        states = attempts = held = 0
        after: StateKey | None = None
        total = patiently(run, partial(self._office.retaining.count_states, self._courses))
        with run.show.progress("states", total) as advance:
            while not run.stopping.asked:
                found = patiently(run, partial(step, after))
                if found is None:
                    break
                after = found.last
                states, attempts = states + found.states, attempts + found.attempts
                held += found.held_attempts
                advance(found.states)
        return states, attempts, held

    def _tell(self, states: int, attempts: int, held: int) -> None:
        self._run.report.figure("states looked at", states)
        self._run.report.figure("attempts dropped", attempts)
        self._run.report.figure("attempts kept because their student is held", held)
