"""`python -m tests.faults`: run the drills and print one table; exit code 0 when no proof failed.

A drill that this machine cannot run stands in the table and in the JSON as not run, with the reason.
"""

import argparse
import functools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.drills import DRILLS, Drill
from tests.faults.load import Say
from tests.faults.proof import Proof, prove, wait_until_quiet
from tests.faults.soak import soak, told
from tests.faults.stage import staged
from worker.domain.accounting import Outcome


class Result(NamedTuple):
    """One drill's line in the table; times in seconds. Without a proof, `not_run` says why."""

    number: int
    name: str
    proof: Proof | None = None
    longest_pause: float = 0.0
    recovered_after: float | None = None
    not_run: str | None = None
    per_second: float = 0.0
    """Events a second that the stream has really taken."""

    @property
    def bad(self) -> bool:
        return self.proof is not None and not self.proof.good


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen drills; 0 no proof failed, 1 a proof failed, 2 wrong arguments, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    chosen = [drill for drill in DRILLS if not arguments.drills or drill.number in arguments.drills]
    console = Console(width=None if sys.stdout.isatty() else 130)
    if arguments.soak:
        return _soak(arguments, console)
    results: list[Result] = []
    try:
        for drill in chosen:
            console.print(f"drill {drill.number}: {drill.name}", style="bold", highlight=False)
            say = functools.partial(console.print, style="dim")
            results.append(run(drill, arguments.rate or 1_000, say, arguments.logs))
            console.print(_table(results[-1:]))
    except KeyboardInterrupt:
        return 130
    console.print(_table(results))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    return 1 if any(result.bad for result in results) else 0


def _soak(arguments: argparse.Namespace, console: Console) -> int:
    try:
        result = soak(
            arguments.soak,
            arguments.rate or 5_000,
            arguments.seed,
            lambda line: console.print(line, style="dim"),
        )
    except KeyboardInterrupt:
        return 130
    console.print(told(result), highlight=False)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2))
    return 0 if result.good else 1


def run(drill: Drill, per_second: int, say: Say, logs: Path | None = None) -> Result:
    """One drill from an empty stack to its proof, or why it cannot be run here; `logs` keeps its logs."""
    reason = drill.unavailable()
    if reason is not None:
        return Result(drill.number, drill.name, not_run=reason)
    if drill.most_per_second is not None and per_second > drill.most_per_second:
        per_second = drill.most_per_second
        say(f"at {per_second} events a second: its stream is an emulator that takes no more")
    with (
        tempfile.TemporaryDirectory(prefix="edu-drill-") as folder,
        _kept(Path(folder) / "log", logs and logs / str(drill.number)),
        staged(
            Path(folder),
            say,
            tasks=drill.tasks,
            per_second=per_second,
            settings=drill.settings,
            reshards=drill.reshards,
        ) as stage,
    ):
        drill.act(stage)
        stage.hold(3)  # time for the fault to show
        stage.await_recovery()
        stage.hold(8)  # the load goes on: what the fault has spoilt must show
        pause, recovered = stage.observer.longest_pause, stage.observer.recovered_after
        stage.load.stop()
        wait_until_quiet(stage.edges, stage.any_task(), stage.load.sent + drill.poison)
        proof = prove(stage.edges, stage.session.stack.endpoints.database_url, stage.load, drill.poison)
        drill.check(stage)
        proof = proof.but(stage.broken)
        return Result(drill.number, drill.name, proof, pause, recovered, per_second=stage.load.rate)


@contextmanager
def _kept(log: Path, where: Path | None) -> Iterator[None]:
    """Copy the logs of a drill away, also when it fails: its folder goes with it."""
    try:
        yield
    finally:
        if where is not None and log.exists():
            shutil.copytree(log, where, dirs_exist_ok=True)


def _table(results: Sequence[Result]) -> Table:
    table = Table(title=time.strftime("drills, %Y-%m-%d"))
    table.add_column("#", justify="right")
    table.add_column("drill", overflow="fold")
    for name in ("per second", "sent", "lost", "double", "longest pause", "recovered", "redelivered"):
        table.add_column(name, justify="right")
    table.add_column("proof")
    for result in results:
        table.add_row(str(result.number), result.name, *_cells(result))
    return table


def _cells(result: Result) -> list[str]:
    proof, recovered = result.proof, result.recovered_after
    if proof is None:
        return ["-"] * 7 + [f"not run: {result.not_run}"]
    return [
        f"{result.per_second:,.0f}",
        f"{proof.sent:,}",
        str(proof.lost),
        str(proof.double),
        f"{result.longest_pause:.1f} s",
        "-" if recovered is None else f"{recovered:.1f} s",
        f"{proof.accounting[Outcome.REDELIVERED]:,}",
        "good" if proof.good else f"BAD {'; '.join([proof.states, proof.scores, *proof.broken])}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Cause every failure a fleet meets, at load, and prove that nothing is lost or double.",
        epilog="example: python -m tests.faults 1 2 9 --rate 1000 --json drills.json",
    )
    parser.add_argument("drills", type=int, nargs="*", help="their numbers (default: all)")
    parser.add_argument("--rate", type=int, help="events a second (default: 1000, of a soak 5000)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="a failure each minute, 3 or more")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the soak's failures")
    parser.add_argument("--logs", type=Path, help="keep the logs of each drill in a folder there")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    return parser


def _told_to_end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _told_to_end)  # what a drill has mounted or started must end with it
    sys.exit(main())
