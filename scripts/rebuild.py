"""Redis from the ledger: compare, mend what differs, or write all of it anew.

A projection that was lost comes back by itself, state by state, as people read. This makes it whole at once,
for instance after Redis was replaced and before a school day begins, and proves that it is.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

from scripts.frame.script import Run, Script, execute
from scripts.rebuilding.crew import Crew, crew
from scripts.rebuilding.pages import Residents, States, begin, counted, examined
from worker import wiring
from worker.ports import Ledger, Projection
from worker.stream.rebuilding import Examined, Finding
from worker.stream.sweeping import lost_writes, sweep

_PAGE = 1_000
_SHOWN = 20
_MOST_TOLD = 1_000

Page = TypeVar("Page")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--verify", action="store_true", help="only compare, field by field; what --dry-run does too"
    )
    what.add_argument(
        "--repair", action="store_true", help="mend what differs, leave what is missing to its next reader"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=(os.cpu_count() or 1) + 1,
        help="processes at work (default: one more than cores, as each waits for servers: %(default)s)",
    )


def _work(run: Run, arguments: argparse.Namespace) -> None:
    settings = run.settings()
    ledger = wiring.ledger(settings)
    projection = wiring.projection(settings, ledger.epoch())
    changes = not (arguments.verify or run.dry_run)
    try:
        if changes and lost_writes(floors := ledger.floors(), projection.markers(list(floors))):
            run.show.say("Redis has lost writes: removing every state that is not current")
            sweep(ledger, projection, {})
        with crew(arguments.processes, begin, changes, not arguments.repair) as every:
            # first, because what is written here is the ledger's: an empty Redis is looked through in no time
            strangers = _strangers(run, projection, every)
            whole = _pages(run, ledger, every)
        _tell(run, whole, strangers, changes=changes)
        if run.stopping.asked:
            return
        _judge(run, whole, strangers, changes=changes)
        floors = ledger.floors()
        behind = lost_writes(floors, projection.markers(list(floors)))
        run.report.verdict("no marker in Redis is behind its floor in the ledger", good=not behind)
    finally:
        ledger.close()
        projection.close()


def _pages(run: Run, ledger: Ledger, every: Crew) -> Examined:
    """Every page of the ledger, with progress; fewer where somebody asked to stop."""
    pages = (States.of(key for key, _ in page) for page in ledger.versions(_PAGE))
    done: list[Examined] = []
    with run.show.progress("states", ledger.count_states()) as advance:
        for found in every(examined, _until_asked(run, pages)):
            done.append(found)
            advance(found.findings.total())
    return Examined(
        sum((one.findings for one in done), Counter()),
        sum((one.fields for one in done), Counter()),
        [key for one in done for key in one.differing],
        sum(one.written for one in done),
    )


def _strangers(run: Run, projection: Projection, every: Crew) -> int:
    """States in Redis that the ledger has not; removed where changes are wanted."""
    pages = (Residents.of(page) for page in projection.residents(_PAGE))
    strangers = 0
    with run.show.progress("keys in Redis", None) as advance:
        for found in every(counted, _until_asked(run, pages)):
            strangers += found.strangers
            advance(found.residents)
    return strangers


def _until_asked(run: Run, pages: Iterator[Page]) -> Iterator[Page]:
    for page in pages:
        if run.stopping.asked:
            return
        yield page


def _tell(run: Run, whole: Examined, strangers: int, *, changes: bool) -> None:
    states = whole.findings.total()
    run.report.figure("states in the ledger", states)
    for finding in Finding:
        if finding is not Finding.GONE:
            run.report.figure(f"found {finding.value}", whole.findings[finding])
    run.report.figure("found in Redis alone", strangers)
    if changes:
        run.report.figure("written", whole.written)
    for field, count in sorted(whole.fields.items()):
        run.report.figure(f"differing in {field}", count)
    differing = [{"student_key": str(key.student_key), "course_id": key.course_id} for key in whole.differing]
    run.report.detail("differing", differing[:_MOST_TOLD])
    for one in differing[:_SHOWN]:
        run.show.say(f"differs: {one['student_key']} in {one['course_id']}")


def _judge(run: Run, whole: Examined, strangers: int, *, changes: bool) -> None:
    """Of a run that has seen everything."""
    states, differing = whole.findings.total(), len(whole.differing)
    run.report.verdict(
        "every state in Redis is the ledger's",
        good=not differing,
        detail=f"{states - differing:,} of {states:,}",
    )
    run.report.verdict("nothing stands in Redis that the ledger does not know", good=changes or not strangers)


SCRIPT = Script(
    name="rebuild",
    summary="Makes Redis equal to the ledger, or compares the two. Safe beside live traffic, and to repeat.",
    examples=[
        "python -m scripts.rebuild --verify    # compare every state; exit code 1 where one differs",
        "python -m scripts.rebuild --repair    # mend only what differs",
        "python -m scripts.rebuild             # write every state that is missing or differs",
    ],
    arguments=_arguments,
    work=_work,
)

if __name__ == "__main__":
    raise SystemExit(main())
