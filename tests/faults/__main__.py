"""`python -m tests.faults`: run the drills and print one table; exit code 0 when every proof is good."""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.drills import DRILLS, Drill
from tests.faults.kinesis_local import CannotRun
from tests.faults.load import Say
from tests.faults.proof import Proof, prove, wait_until_quiet
from tests.faults.stage import staged
from worker.domain.accounting import Outcome


@dataclasses.dataclass(frozen=True)
class Result:
    """One drill's line in the table; times in seconds, `per_second` as the stream has taken it.

    `complaints` are what is wrong besides the proof; where the drill could not be run, `not_run` says why.
    """

    number: int
    name: str
    proof: Proof | None = None
    per_second: float | None = None
    longest_pause: float | None = None
    recovered_after: float | None = None
    complaints: Sequence[str] = ()
    not_run: str | None = None

    @property
    def verdict(self) -> str:
        """`good`, or what is wrong."""
        if self.proof is None:
            return f"not run: {self.not_run}"
        wrong = [*self.complaints]
        if not self.proof.good:
            wrong = [self.proof.states, self.proof.scores, *wrong]
        return f"BAD {'; '.join(wrong)}" if wrong else "good"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen drills; 0 all good, 1 a proof failed, 2 wrong arguments, 3 one not run, 130 stopped."""
    arguments = _parser().parse_args(argv)
    chosen = [drill for drill in DRILLS if not arguments.drills or drill.number in arguments.drills]
    console = Console(width=None if sys.stdout.isatty() else 130)
    results: list[Result] = []
    try:
        for drill in chosen:
            console.print(f"drill {drill.number}: {drill.name}", style="bold", highlight=False)
            results.append(run(drill, arguments.rate, lambda line: console.print(line, style="dim")))
            console.print(_table(results[-1:]))
    except KeyboardInterrupt:
        return 130
    console.print(_table(results))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    if any(result.proof is not None and result.verdict != "good" for result in results):
        return 1
    return 3 if any(result.not_run for result in results) else 0


def run(drill: Drill, per_second: int, say: Say) -> Result:
    """One drill from an empty stack to its proof, or the reason why this machine cannot run it."""
    if drill.most_per_second is not None and per_second > drill.most_per_second:
        per_second = drill.most_per_second
        say(f"at {per_second} events a second: its stream is an emulator that takes no more")
    try:
        return _run(drill, per_second, say)
    except CannotRun as reason:
        return Result(drill.number, drill.name, not_run=str(reason))


def _run(drill: Drill, per_second: int, say: Say) -> Result:
    with (
        tempfile.TemporaryDirectory(prefix="edu-drill-") as folder,
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
        rate, wrong = stage.load.rate, drill.complaints(stage)
        return Result(drill.number, drill.name, proof, rate, pause, recovered, wrong)


def _table(results: Sequence[Result]) -> Table:
    table = Table(title=time.strftime("drills, %Y-%m-%d"))
    table.add_column("#", justify="right")
    table.add_column("drill", overflow="fold")
    for name in ("per second", "sent", "lost", "double", "longest pause", "recovered", "redelivered"):
        table.add_column(name, justify="right")
    table.add_column("proof")
    for result in results:
        table.add_row(str(result.number), result.name, *_figures(result), result.verdict)
    return table


def _figures(result: Result) -> list[str]:
    proof = result.proof
    if proof is None:
        return ["-"] * 7
    return [
        f"{result.per_second:,.0f}",
        f"{proof.sent:,}",
        str(proof.lost),
        str(proof.double),
        f"{result.longest_pause:.1f} s",
        "-" if result.recovered_after is None else f"{result.recovered_after:.1f} s",
        f"{proof.accounting[Outcome.REDELIVERED]:,}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Cause every failure a fleet meets, at load, and prove that nothing is lost or double.",
        epilog="example: python -m tests.faults 1 2 9 --rate 1000 --json drills.json",
    )
    parser.add_argument("drills", type=int, nargs="*", help="their numbers (default: all)")
    parser.add_argument("--rate", type=int, default=1_000, help="events a second (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
