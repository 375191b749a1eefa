"""`python -m benchmarks.replay`: what a replay costs the live traffic beside it.

A stream is filled with events that the ledger does not have, as after a restore, and the live worker is set
to begin behind them. Then live traffic alone, then live traffic beside a replay of those events. A probe,
one student who sends an attempt every few milliseconds, is timed from the sending until Redis shows it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from benchmarks.fullness import fullest
from benchmarks.probing import Probe, quantile
from benchmarks.restoring import begin_behind, fill
from benchmarks.result import Goal, keep
from scripts.loading.machine import cpu_seconds
from tests.faults.load import Load
from worker import wiring
from worker.local.session import Session, Task
from worker.local.watching import position, wait_for
from worker.settings import Settings, load

MOST_TIMES = 2.0
"""So many times its normal may the live p99 be beside a replay."""
_TICK_SECONDS = 0.1
"""Between two puts of the live load: with five times as many it waits for the emulator and falls behind."""
_SLACK = 0.99
"""So much of the live rate counts as all of it: the first and the last put are not whole ones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when all was replayed, live traffic at its rate, within twice its p99."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="to replay (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=1_000, help="live events a second (default: %(default)s)")
    parser.add_argument("--share", default="0.4", help="of the replay (default: %(default)s)")
    parser.add_argument("--normal", type=float, default=30, help="seconds without it (default: %(default)s)")
    parser.add_argument("--most", type=float, default=1800, help="seconds beside it (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder, ExitStack() as opened:
        session = Session(Path(folder), say)
        opened.callback(session.remove)
        opened.enter_context(session)
        settings = load(session.environment)
        begun = datetime.now(UTC) - timedelta(seconds=1)
        fill(settings, arguments.events)
        say(f"{arguments.events:,} events lie in the stream")
        ended = datetime.now(UTC)
        begin_behind(session, settings)
        return _measure(session, settings, (begun, ended), arguments)


def _measure(
    session: Session, settings: Settings, span: tuple[datetime, datetime], arguments: argparse.Namespace
) -> int:
    task: Task = session.start_task()
    edges, watching, probing = wiring.edges(settings), wiring.edges(settings), wiring.edges(settings)
    live = Load(edges, arguments.rate, tick_seconds=_TICK_SECONDS)
    live.start()
    wait_for(
        lambda: position(watching.ledger).accounting.read > 5 * arguments.rate,
        task,
        seconds=120,
        what="a steady load",
    )
    probe = Probe(probing)
    probe.start()
    time.sleep(3)
    normal = time.monotonic()
    time.sleep(arguments.normal)
    beside = time.monotonic()
    say("normal: " + told(probe.between(normal, beside)))
    cpu, sent, report = _cpu(session, task), live.sent, session.directory / "replay.json"
    command = [
        sys.executable,
        "-m",
        "scripts.replay",
        "--from",
        span[0].isoformat(),
        "--to",
        span[1].isoformat(),
    ]
    replay = subprocess.Popen(
        [*command, "--share", arguments.share, "--report", str(report)],
        env={**os.environ, **session.environment},
    )
    try:
        code: int | str = replay.wait(arguments.most)
    except subprocess.TimeoutExpired:
        replay.terminate()
        code = f"{replay.wait(60)}, stopped after {arguments.most:.0f} s"
    ended, sent = time.monotonic(), live.sent - sent
    used = {name: seconds - cpu[name] for name, seconds in _cpu(session, task).items()}
    time.sleep(2)
    probe.end()
    live.stop()
    before, meanwhile = probe.between(normal, beside), probe.between(beside, ended)
    figures = json.loads(report.read_bytes())["figures"]
    read = figures["events read"]
    say(f"replay: exit {code}, {read:,} events in {ended - beside:.1f} s, {read / (ended - beside):,.0f}/s")
    taken = sent / (ended - beside)
    say(f"live: {taken:,.0f} events/s taken beside it, late {live.late_seconds:.2f} s")
    say("normal: " + told(before))
    say("beside: " + told(meanwhile))
    for one in (edges, watching, probing):
        one.close()
    cores = {name: seconds / (ended - beside) for name, seconds in used.items()}
    goals = [
        _goal(quantile(before, 0.99), quantile(meanwhile, 0.99), cores),
        _rate(taken, arguments.rate, cores),
        Goal("replay", "events replayed meanwhile", read, arguments.events, "events", at_least=True),
    ]
    again = (
        f"python -m benchmarks.replay --events {arguments.events} --rate {arguments.rate} "
        f"--share {arguments.share} --normal {arguments.normal:g} --most {arguments.most:g}"
    )
    found = {
        "live_events_per_s": taken,
        "replayed_events_per_s": read / (ended - beside),
        "replayed": read,
        "replay_exit": code,
        "normal_ms": _millis(before),
        "beside_ms": _millis(meanwhile),
        "cores_used_beside": cores,
    }
    say(f"kept in {keep('replay', again, goals, found)}")
    return 0 if all(goal.met for goal in goals) else 1


def _goal(normal: float, beside: float, cores: Mapping[str, float]) -> Goal:
    what = "live p99 beside a replay, by its normal"
    goal = Goal("replay", what, beside / normal, MOST_TIMES, "times", at_least=False)
    return goal if goal.met else replace(goal, binds=fullest(cores, os.cpu_count() or 1))


def _rate(taken: float, wanted: int, cores: Mapping[str, float]) -> Goal:
    what = f"live events taken beside it, of {wanted:,} a second"
    goal = Goal("replay", what, taken, _SLACK * wanted, "events/s", at_least=True)
    return goal if goal.met else replace(goal, binds=fullest(cores, os.cpu_count() or 1))


def _cpu(session: Session, task: Task) -> dict[str, float]:
    """CPU seconds of each part so far; the replay counts once it has ended."""
    stack = session.stack
    roots = {
        "worker task": [task.process.pid],
        "PostgreSQL": [stack.postgres.pid],
        "Valkey": [stack.valkey.pid],
        "emulator of Kinesis and DynamoDB": [stack.emulator.pid],
    }
    own, ended = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **cpu_seconds(roots),
        "replay": ended.ru_utime + ended.ru_stime,
        "live load and probe": own.user + own.system,
    }


def _millis(ascending: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: round(quantile(ascending, share) * 1000, 1) for name, share in shares.items()}


def told(ascending: Sequence[float]) -> str:
    """Quantiles of the probe's times."""
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    quantiles = ", ".join(f"{name} {quantile(ascending, share):.3f} s" for name, share in named.items())
    return f"{len(ascending)} probes, {quantiles}, mean {statistics.mean(ascending):.3f} s"


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
