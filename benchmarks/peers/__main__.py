"""`python -m benchmarks.peers`: our worker beside what people would use instead, in one run on one stack.

The sample of amazon_kclpy, async-kinesis and Pathway read the same events as our shard process and write to
the same PostgreSQL and Valkey. Each round runs all of them, in another order; the median of the rounds is
kept. What cannot be run is told with its reason.
"""

import argparse
import fcntl
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks.peers import house, ours, telling
from benchmarks.peers.cost import Cost
from benchmarks.peers.feeder import ChildFailed
from benchmarks.peers.guarantees import GUARANTEES, INPUT
from benchmarks.peers.latency import Latencies, Latency
from benchmarks.peers.sinks import Sinks
from benchmarks.peers.stage import NotRun, Stage
from benchmarks.peers.throughput import KINESIS, Throughput
from benchmarks.result import keep
from worker.local.process import StackError
from worker.local.session import Session

_FOLDER = Path(".local/peers")
FAILED = 1

T = TypeVar("T")
Say = Callable[[str], None]


class Outcome:
    """What was found so far."""

    def __init__(self) -> None:
        self.costs: dict[str, list[Cost]] = {}
        self.latencies: dict[str, Latency] = {}
        self.stages: Mapping[str, float] = {}
        self.not_run: dict[str, str] = {}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when all was run and every goal is met, 1 when not, 2 wrong arguments."""
    arguments = _parser().parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 140, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    outcome = Outcome()
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="edu-peers-"))
        stage, ledger = _stage(opened, Path(folder), arguments.folder, say)
        _measure(stage, ledger, arguments, outcome, say)
    found = telling.goals(outcome.costs, outcome.latencies, outcome.stages)
    console.print(telling.throughput_table(outcome.costs))
    console.print(telling.latency_table(outcome.latencies))
    for name, reason in outcome.not_run.items():
        say(f"not run: {name}: {reason}")
    for goal in found:
        told = f"{goal.what}: {goal.value:g} of {goal.limit:g} {goal.unit}"
        say(f"{'met   ' if goal.met else 'missed'} {told}{goal.binds and f'; binds: {goal.binds}'}")
    if arguments.only:
        say("only some were run: nothing is kept")
    else:
        figures = {
            **telling.figures(outcome.costs, outcome.latencies),
            "ours_stages_us_per_event": {name: round(us, 1) for name, us in outcome.stages.items()},
            "not_run": outcome.not_run,
            "input": INPUT,
            "guarantees": GUARANTEES,
        }
        options = f" --rounds {arguments.rounds} --events {arguments.events} --few {arguments.few}"
        say(f"kept in {keep('peers', f'python -m benchmarks.peers{options}', found, figures)}")
    asked_for_a_key = {KINESIS}
    return 0 if all(goal.met for goal in found) and set(outcome.not_run) <= asked_for_a_key else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    number = {"type": int, "help": "(default: %(default)s)"}
    parser.add_argument("--rounds", default=3, **number)  # type: ignore[arg-type]
    parser.add_argument("--events", type=int, default=50_000, help="for batches (default: %(default)s)")
    parser.add_argument("--few", type=int, default=5_000, help="for single records (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of each latency (default: %(default)s)")
    parser.add_argument("--only", action="append", default=[], help="names that hold this; repeatable")
    parser.add_argument(
        "--folder", type=Path, default=_FOLDER, help="keeps the peers' packages (default: %(default)s)"
    )
    parser.add_argument(
        "--lock", type=Path, action="append", default=[], help="locked while measuring; repeatable"
    )
    return parser


def _stage(opened: ExitStack, folder: Path, peers: Path, say: Say) -> tuple[Stage, ours.Ledger]:
    python: Path | house.NotInstalled
    try:
        python = house.python_of(peers.resolve(), say)
    except house.NotInstalled as reason:
        python = reason
    session = Session(folder, say)
    opened.callback(session.remove)
    opened.enter_context(session)
    where = session.stack.endpoints
    sinks = opened.enter_context(Sinks(where.database_url, where.redis_url))
    ledger = ours.Ledger(session.environment)
    opened.callback(ledger.close)
    return Stage(session, sinks, python), ledger


def _measure(
    stage: Stage, ledger: ours.Ledger, arguments: argparse.Namespace, outcome: Outcome, say: Say
) -> None:
    def asked(name: str) -> bool:
        return not arguments.only or any(part in name for part in arguments.only)

    throughput = Throughput(stage, ledger, arguments.events, arguments.few)
    throughput.introduce()
    runs = [(name, run) for name, run in throughput.runs().items() if asked(name)]
    for number in range(arguments.rounds):
        turn = number * len(runs) // arguments.rounds
        with locked(arguments.lock):
            for name, run in runs[turn:] + runs[:turn]:
                cost = _tried(name, run, outcome, say)
                if cost is not None:
                    outcome.costs.setdefault(name, []).append(cost)
                    say(
                        f"round {number + 1}: {name}: {cost.rate:,.0f}/s, {cost.process_us:.1f} us of its CPU"
                    )
    outcome.costs = {name: outcome.costs[name] for name, _ in runs if name in outcome.costs}
    stages = throughput.stages
    outcome.stages = {
        name: statistics.median(one.get(name, 0.0) for one in stages)
        for name in (stages[0] if stages else ())
    }
    latencies = Latencies(stage, ledger, arguments.seconds)
    with locked(arguments.lock):
        for name, look in latencies.runs().items():
            told = f"latency, {name}"
            if asked(told) and (latency := _tried(told, look, outcome, say)) is not None:
                outcome.latencies[name] = latency
                say(f"{name}: p50 {latency.p50:,.0f} ms, p99 {latency.p99:,.0f} ms")


def _tried(name: str, run: Callable[[], T], outcome: Outcome, say: Say) -> T | None:
    if name in outcome.not_run:
        return None
    try:
        return run()
    except (NotRun, ChildFailed, StackError) as reason:
        outcome.not_run[name] = str(reason)
        outcome.costs.pop(name, None)
        say(f"{name}: not run: {reason}")
        return None


@contextmanager
def locked(paths: Sequence[Path]) -> Iterator[None]:
    """Keep others away who lock the same files, in this order."""
    with ExitStack() as opened:
        for path in paths:
            fcntl.flock(opened.enter_context(path.open("a")), fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
