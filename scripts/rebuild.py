"""Redis from the ledger: compare, mend what differs, or write all of it anew.

A projection that was lost comes back by itself, state by state, as people read. This makes it whole at once,
for instance after Redis was replaced and before a school day begins, and proves that it is.
"""

import argparse
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from random import uniform
from time import sleep

from scripts.frame.script import Run, Script, execute
from worker import wiring
from worker.ports import Ledger, Projection, StateKey
from worker.settings import load
from worker.stream.rebuilding import Examined, Finding, Rebuilding
from worker.stream.sweeping import lost_writes, sweep

_PAGE = 1_000
_AHEAD = 4
"""Pages that wait for each process, so that none waits for a page."""
_SHOWN = 20
_MOST_TOLD = 1_000


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
        default=os.cpu_count() or 1,
        help="processes at work (default: one a core, %(default)s)",
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
        whole = _pages(run, ledger, arguments, changes=changes)
        strangers = _strangers(run, ledger, projection, changes=changes)
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


def _pages(run: Run, ledger: Ledger, arguments: argparse.Namespace, *, changes: bool) -> Examined:
    """Every page by some process, with progress; fewer where somebody asked to stop."""
    pages = _until_asked(run, ([key for key, _ in page] for page in ledger.versions(_PAGE)))
    given = (changes, not arguments.repair)
    done: list[Examined] = []
    with run.show.progress("states", ledger.count_states()) as advance:
        for examined in (
            _one_by_one(pages, given)
            if arguments.processes <= 1
            else _side_by_side(pages, given, arguments.processes)
        ):
            done.append(examined)
            advance(examined.findings.total())
    return Examined(
        sum((one.findings for one in done), Counter()),
        sum((one.fields for one in done), Counter()),
        [key for one in done for key in one.differing],
        sum(one.written for one in done),
    )


def _one_by_one(pages: Iterator[list[StateKey]], given: tuple[bool, bool]) -> Iterator[Examined]:
    _connect(*given)
    return map(_page, pages)


def _side_by_side(
    pages: Iterator[list[StateKey]], given: tuple[bool, bool], processes: int
) -> Iterator[Examined]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=given) as pool:
        waiting = deque(pool.submit(_page, page) for page in islice(pages, _AHEAD * processes))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_page, page) for page in islice(pages, 1))


def _until_asked(run: Run, pages: Iterator[list[StateKey]]) -> Iterator[list[StateKey]]:
    for page in pages:
        if run.stopping.asked:
            return
        yield page


def _strangers(run: Run, ledger: Ledger, projection: Projection, *, changes: bool) -> int:
    """States in Redis that the ledger has not; removed where changes are wanted."""
    rebuilding = Rebuilding(ledger, projection, _pause)
    found = 0
    with run.show.progress("keys in Redis", None) as advance:
        for page in projection.residents(_PAGE):
            if run.stopping.asked:
                break
            strangers = rebuilding.strangers(page)
            found += len(strangers)
            if changes:
                projection.drop(strangers)
            advance(len(page))
    return found


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


class _Process:
    """What one process of the pool works with."""

    rebuilding: Rebuilding
    changes: bool
    absent: bool


def _begin(*given: bool) -> None:
    """Connect; Ctrl-C is for the first process, which ends the others in order. One that is killed cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    _connect(*given)


def _end_with_the_first() -> None:
    first = multiprocessing.parent_process()
    if first is not None:
        first.join()
        os._exit(1)  # a page of which a part is written is whole again with the next run


def _connect(*given: bool) -> None:
    settings = load(os.environ)
    ledger = wiring.ledger(settings)
    _Process.rebuilding = Rebuilding(ledger, wiring.projection(settings, ledger.epoch()), _pause)
    _Process.changes, _Process.absent = given


def _page(keys: list[StateKey]) -> Examined:
    if _Process.changes:
        return _Process.rebuilding.mend(keys, absent=_Process.absent)
    return _Process.rebuilding.examine(keys)


def _pause() -> None:
    sleep(uniform(0.1, 0.3))


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
