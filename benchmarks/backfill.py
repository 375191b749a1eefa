"""`python -m benchmarks.backfill`: how fast files become ledger and projection, and Redis is made anew (P6).

Each round brings an export of another term, so the ledger grows as it would; then Redis is replaced and made
from the ledger again, and at last every state in it is compared with the ledger's.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.exports import Export, write
from benchmarks.fullness import fullest
from benchmarks.ground import Ground, Round
from benchmarks.result import Goal, keep
from worker.local.stack import Stack

EVENTS_A_SECOND = 40_000
STATES_A_SECOND = 20_000
_QUICK_ROWS = 20_000
_OULAD = "OULAD_SCORES"
_OULAD_COLUMNS = (
    "student_id=id_student, course_id={code_module}-{code_presentation}, item_id=id_assessment,"
    "max_score=100, occurred_at={presentation_start}+{submitted_day}d"
)

Found = dict[str, list[Round]]
"""The rounds of each kind: `csv`, `ndjson`, `oulad` where it is there, `rebuild`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, prove, print and keep; 0 when both goals are met, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backfill", description=__doc__)
    parser.add_argument("--rows", type=int, default=250_000, help="of each file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind (default: %(default)s)")
    parser.add_argument("--transaction", type=int, default=4_000, help="events of one (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"one round of {_QUICK_ROWS:,} rows")
    given = parser.parse_args(argv)
    if given.quick:
        given.rows, given.rounds = _QUICK_ROWS, 1
    console = Console(width=None if sys.stdout.isatty() else 110)
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder:
        stack = Stack(Path(folder) / "stack", report=console.print)
        try:
            with stack:
                found = _measured(Ground(stack, Path(folder)), Path(folder), given, console)
        finally:
            stack.remove()
    goals = _goals(found, given.rows)
    console.print(_table(found))
    command = f"python -m benchmarks.backfill --rows {given.rows} --rounds {given.rounds}"
    kept = keep("backfill", f"{command} --transaction {given.transaction}", goals, _figures(found))
    console.print(f"kept in {kept}")
    return 0 if all(goal.met for goal in goals) else 1


def _measured(ground: Ground, folder: Path, given: argparse.Namespace, console: Console) -> Found:
    found: Found = {"csv": [], "ndjson": []}
    size = ("--transaction", str(given.transaction))
    attempts = 0
    for number in range(given.rounds):
        for kind, term in (("csv", 2 * number), ("ndjson", 2 * number + 1)):
            console.print(f"round {number + 1} of {given.rounds}: {given.rows:,} rows of {kind}")
            export = write(folder / f"term-{term}.{kind}", given.rows, term)
            attempts += export.attempts
            found[kind].append(_backfilled(ground, export, attempts, size))
            export.path.unlink()
    if table := os.environ.get(_OULAD):
        console.print("the Open University's table")
        columns = ("--columns", _OULAD_COLUMNS, "--rejects", str(folder))
        found["oulad"] = [ground.run("backfill", table, *columns, *size, counts="rows read")[0]]
    found["rebuild"] = []
    for number in range(given.rounds):
        console.print(f"round {number + 1} of {given.rounds}: Redis is replaced, and made from the ledger")
        ground.replace_redis()
        found["rebuild"].append(ground.run("rebuild", counts="written")[0])
    console.print("every state is compared")
    ground.run("rebuild", "--verify", counts="states in the ledger")
    return found


def _backfilled(ground: Ground, export: Export, attempts: int, size: Sequence[str]) -> Round:
    """One file all the way, and the proof of it; `attempts` are all that the ledger must hold then."""
    done, figures = ground.run("backfill", str(export.path), *size, counts="rows read")
    told = tuple(figures[f"rows {name}"] for name in ("read", "accepted", "rejected"))
    if told != (export.rows, export.events, export.rows - export.events):
        raise RuntimeError(f"{told} rows were read, accepted and rejected of {export}")
    if (held := ground.attempts()) != attempts:
        raise RuntimeError(f"the ledger holds {held:,} attempts, not {attempts:,}")
    return done


def _middle(rounds: Sequence[Round]) -> Round:
    """The round of the median rate."""
    return sorted(rounds, key=lambda one: one.per_second)[(len(rounds) - 1) // 2]


def _goals(found: Found, rows: int) -> list[Goal]:
    cores = os.cpu_count() or 1
    filled, rebuilt = _middle(found["csv"]), _middle(found["rebuild"])
    goals = [
        Goal(
            "P6",
            f"backfill of a CSV of {rows:,} rows into ledger and projection, one command",
            filled.per_second,
            EVENTS_A_SECOND,
            "events/s",
            at_least=True,
            binds=fullest(filled.cores, cores),
        ),
        Goal(
            "P6",
            f"rebuild of {rebuilt.done:,} states into an empty Redis, a process a core and one more",
            rebuilt.per_second,
            STATES_A_SECOND,
            "states/s",
            at_least=True,
            binds=fullest(rebuilt.cores, cores),
        ),
    ]
    return [goal if not goal.met else msgspec.structs.replace(goal, binds="") for goal in goals]


def _figures(found: Found) -> Mapping[str, object]:
    return {
        kind: {
            "per_second": _middle(rounds).per_second,
            "per_second_of_each_round": [round(one.per_second, 1) for one in rounds],
            "done": _middle(rounds).done,
            "cpu_us_each": _middle(rounds).micros,
            "cores_used": _middle(rounds).cores,
        }
        for kind, rounds in found.items()
    }


def _table(found: Found) -> Table:
    table = Table(title="the median round of each kind")
    table.add_column("kind")
    for name in ("rows or states", "a second", *(f"{part}, µs each" for part in found["csv"][0].cpu)):
        table.add_column(name, justify="right")
    for kind, rounds in found.items():
        one = _middle(rounds)
        micros = (f"{used:.1f}" for used in one.micros.values())
        table.add_row(kind, f"{one.done:,}", f"{one.per_second:,.0f}", *micros)
    return table


if __name__ == "__main__":
    sys.exit(main())
