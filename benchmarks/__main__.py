"""`python -m benchmarks`: every suite in turn, or those that are named, and what has become of the goals.

A suite that fails does not stop the others. A goal that is missed as before is told and is no failure: what
must not happen unseen is that one which was met is missed. `--quick` shows within minutes that every suite
still runs; its figures are of no use and are kept apart, in `.local/bench`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.result import FOLDER, Result, kept
from benchmarks.suites import BESIDE_OTHERS, SUITES, Suite

QUICK = Path(".local") / "bench"
DONE, FAILED, INTERRUPTED = 0, 1, 130


class Ran(NamedTuple):
    """How one suite went: what it found, None where it broke off; the goals it met before and misses now."""

    suite: Suite
    seconds: float
    found: Result | None
    lost: Sequence[str]

    @property
    def good(self) -> bool:
        return self.found is not None and not self.lost


Start = Callable[[Suite, Mapping[str, str], Sequence[str]], int]
"""Runs a suite to its end, given more variables and its arguments; its exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suites; 0 when all ran and no goal was lost, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [suite.name for suite in SUITES]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a look of minutes; judges no goal")
    given = parser.parse_args(argv)
    if unknown := [name for name in given.suites if name not in names]:
        parser.error(f"no suite is called {', '.join(unknown)}; there are {', '.join(names)}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    wanted = [suite for suite in SUITES if suite.name in given.suites or not given.suites]
    ran: list[Ran] = []
    code = DONE
    try:
        for number, suite in enumerate(wanted):
            place = f"{number + 1} of {len(wanted)}"
            about = "" if given.quick else f", about {suite.minutes} min"
            console.rule(f"{place}: {suite.goal} {suite.name}{about}", align="left")
            more = BESIDE_OTHERS.get(suite.name, ()) if not given.suites else ()
            ran.append(run(suite, QUICK if given.quick else FOLDER, _started, quick=given.quick, usual=more))
    except KeyboardInterrupt:
        code = INTERRUPTED
    console.print(_table(ran, quick=given.quick))
    return code or (DONE if all(one.good for one in ran) else FAILED)


def run(suite: Suite, folder: Path, start: Start, *, quick: bool, usual: Sequence[str] = ()) -> Ran:
    """One suite; what it found counts only if it was written now, whatever it exits with."""
    before, stamp = _kept(suite, folder), _stamp(suite, folder)
    begun = time.monotonic()
    start(suite, {"BENCH_RESULTS": str(folder.resolve())}, suite.quick if quick else usual)
    seconds = time.monotonic() - begun
    found = _kept(suite, folder) if _stamp(suite, folder) != stamp else None
    judged = not quick and before is not None and found is not None
    return Ran(suite, seconds, found, lost(before, found) if judged and before and found else ())


def lost(before: Result, now: Result) -> list[str]:
    """The goals that were met and are missed; a suite tells its goals always in the same order."""
    pairs = zip(before.goals, now.goals, strict=False)
    return [new.what for old, new in pairs if old.name == new.name and old.met and not new.met]


def _started(suite: Suite, more: Mapping[str, str], arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", f"benchmarks.{suite.name}", *arguments]
    return subprocess.run(command, env={**os.environ, **more}, check=False).returncode


def _kept(suite: Suite, folder: Path) -> Result | None:
    try:
        return kept(suite.name, folder)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _stamp(suite: Suite, folder: Path) -> int:
    """When its file was written last, 0 where there is none."""
    path = folder / f"{suite.name}.json"
    return path.stat().st_mtime_ns if path.exists() else 0


def _table(ran: Sequence[Ran], *, quick: bool) -> Table:
    table = Table(title="a quick look: no goal is judged" if quick else "what has become of the goals")
    for name in ("", "suite", "minutes", "outcome"):
        table.add_column(name, justify="right" if name == "minutes" else "left")
    for one in ran:
        table.add_row(
            one.suite.goal,
            one.suite.name,
            f"{one.seconds / 60:.1f}",
            _outcome(one, quick=quick),
            style="" if one.good else "bold red",
        )
    return table


def _outcome(one: Ran, *, quick: bool) -> str:
    if one.found is None:
        return "failed: it left no result"
    if quick:
        return "ran"
    if one.lost:
        return f"missed, and was met before: {'; '.join(one.lost)}"
    missed = [goal.what for goal in one.found.goals if not goal.met]
    met = f"{len(one.found.goals) - len(missed)} of {len(one.found.goals)} goals met"
    return f"{met}; missed as before, or for the first time: {'; '.join(missed)}" if missed else met


if __name__ == "__main__":
    sys.exit(main())
