"""What a school need not keep any longer: attempts of ended terms, and what is only kept beside them.

A horizon goes first: what was graded before it is refused from then on, so that no replay brings back what is
being dropped. Then everything is dropped in small pages beside live traffic.
"""

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from uuid import UUID

from scripts.frame.healing import heal_deletions
from scripts.frame.patience import patiently
from scripts.frame.script import Run, Script, WrongArguments, execute
from worker import wiring, wiring_jobs
from worker.ports import StateKey
from worker.stream.deleting import behind
from worker.upkeep import Expired
from worker.wiring_jobs import Office

_STATES = 500
_ROWS = 500
_ROOMS = ("room", "ranking")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--term-end", type=_day, metavar="DATE", help="drop what was graded on this day (UTC) or earlier"
    )
    when.add_argument(
        "--before", type=_day, metavar="DATE", help="drop what was graded before this day (UTC)"
    )
    when.add_argument(
        "--older-than-days", type=int, metavar="N", help="the same, counted back from today; for a schedule"
    )
    parser.add_argument(
        "--course",
        action="append",
        default=[],
        metavar="ID",
        help="of this course only, may be given again (default: of all courses)",
    )


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _work(run: Run, arguments: argparse.Namespace) -> None:
    before = _before(arguments, wiring.now())
    if before is None and arguments.course:
        msg = "--course limits what is dropped by --term-end, --before or --older-than-days; give one of them"
        raise WrongArguments(msg)
    settings = run.settings()
    office = patiently(run, lambda: wiring_jobs.office(settings))
    try:
        courses = frozenset(arguments.course)
        unknown = courses - patiently(run, lambda: office.retaining.known_courses(courses))
        if unknown:
            msg = f"the ledger knows no course {', '.join(sorted(map(repr, unknown)))}"
            raise WrongArguments(msg)
        if before is not None:
            run.report.figure("graded before", before.isoformat())
        retention = Retention(run, office, before, courses)
        if run.dry_run:
            retention.look()
            return
        life = timedelta(days=settings.state_ttl_days)
        for step in (retention.attempts, retention.disclosures, retention.letters):
            if not run.stopping.asked:
                step()
        if run.stopping.asked:
            return
        gone = patiently(run, lambda: office.retaining.forget_courses(wiring.now() - life))
        run.report.figure("tombstones that need no courses any more", gone)
        retention.prove()
    finally:
        office.close()


def _before(arguments: argparse.Namespace, now: datetime) -> datetime | None:
    """The horizon: the first moment that stays.

    Raises:
        WrongArguments: it lies in the future, so that live events would be refused.
    """
    day = arguments.before
    if arguments.term_end is not None:
        day = arguments.term_end + timedelta(days=1)
    elif arguments.older_than_days is not None:
        day = now.astimezone(UTC).date() - timedelta(days=arguments.older_than_days)
    if day is None:
        return None
    before = datetime.combine(day, time.min, UTC)
    if before > now:
        msg = "that day is not over yet: what is graded today would be refused"
        raise WrongArguments(msg)
    return before


class Retention:
    """One run over everything that may expire."""

    def __init__(self, run: Run, office: Office, before: datetime | None, courses: frozenset[str]) -> None:
        self._run = run
        self._office = office
        self._before = before
        self._courses = courses

    def look(self) -> None:
        """What would be dropped."""
        run, retaining = self._run, self._office.retaining
        before = self._before or datetime(1970, 1, 1, tzinfo=UTC)
        self._tell(*self._pages(lambda after: retaining.expiring(after, _STATES, self._courses, before)))
        run.report.figure("dead letters past their life", patiently(run, retaining.expired_letters))
        run.show.say("disclosures and published figures go with the last attempt that they are of")

    def attempts(self) -> None:
        """The horizon, then the attempts it refuses, and the figures of courses that are empty now."""
        run, retaining = self._run, self._office.retaining
        if self._before is not None:
            patiently(run, partial(retaining.raise_horizon, self._before, self._courses))
        touched: set[str] = set()

        def expire(after: StateKey | None) -> Expired | None:
            found = retaining.expire(after, _STATES, self._courses)
            if found is not None and found.deletion is not None:
                deletion = found.deletion
                patiently(run, lambda: self._office.projection.unlink(deletion.number, deletion.states))
                touched.update(state.course_id for state in deletion.states)
            return found

        self._tell(*self._pages(expire))
        heal_deletions(run, self._office.ledger, self._office.projection)
        for kind in _ROOMS:
            patiently(run, partial(self._office.classes.drop, kind, sorted(touched)))
        figures = patiently(run, retaining.drop_publications)
        run.report.figure("courses whose published figures were dropped", figures)

    def disclosures(self) -> None:
        """Students out of disclosures that their record does not outlive."""
        run, retaining = self._run, self._office.retaining
        after: tuple[UUID, int] | None = None
        students = 0
        with run.show.progress("disclosures", None) as advance:
            while not run.stopping.asked:
                page = patiently(run, partial(retaining.unlink_disclosures, after, _ROWS))
                if page is None:
                    break
                after = page.last
                students += page.students
                advance(page.rows)
        run.report.figure("students taken out of disclosures", students)

    def letters(self) -> None:
        """Dead letters past their life."""
        run, retaining = self._run, self._office.retaining
        buried = 0
        with run.show.progress("expired dead letters", patiently(run, retaining.expired_letters)) as advance:
            while not run.stopping.asked:
                done = patiently(run, partial(retaining.bury_expired_letters, _ROWS))
                if not done:
                    break
                buried += done
                advance(done)
        run.report.figure("dead letters past their life", buried)

    def prove(self) -> None:
        """Look at all of it once more."""
        run, office = self._run, self._office
        before = self._before or datetime(1970, 1, 1, tzinfo=UTC)
        _, left, _ = self._pages(
            lambda after: office.retaining.expiring(after, _STATES, self._courses, before)
        )
        if run.stopping.asked:
            return
        run.report.verdict("nothing that has expired is left", good=not left, detail=f"{left:,} attempts")
        lost = patiently(run, lambda: behind(office.ledger, office.projection))
        run.report.verdict("Redis has followed every deletion", good=not lost)

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


SCRIPT = Script(
    name="retention",
    summary="Drops what was graded before a day, and what is kept only beside it; no replay brings it back.",
    examples=(
        "python -m scripts.retention --term-end 2024-07-31 --dry-run",
        "python -m scripts.retention --term-end 2024-07-31 --course algebra-1 --course algebra-2",
        "python -m scripts.retention --older-than-days 1825    # what a schedule runs",
    ),
    arguments=_arguments,
    work=_work,
)


if __name__ == "__main__":
    raise SystemExit(main())
