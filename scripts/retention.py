"""What a school need not keep any longer: attempts of ended terms, and what is only kept beside them.

A horizon goes first: what was graded before it is refused from then on, so that no replay brings back what is
being dropped. Then everything is dropped in small pages beside live traffic.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from scripts.frame.patience import patiently
from scripts.frame.script import Run, Script, WrongArguments, execute
from scripts.jobs.closing import close_earlier_jobs
from scripts.retaining.steps import Retention
from worker import wiring, wiring_jobs


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
        close_earlier_jobs(run, office.ledger, office.projection)
        life = timedelta(days=settings.state_ttl_days)
        for step in (
            retention.attempts,
            retention.disclosures,
            retention.letters,
            lambda: retention.tombstones(wiring.now() - life),
        ):
            if not run.stopping.asked:
                step()
        if not run.dry_run and not run.stopping.asked:
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
    nightly=True,
)


if __name__ == "__main__":
    raise SystemExit(main())
