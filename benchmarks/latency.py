"""`python -m benchmarks.latency`: how long after its time readers find an event, at the promised rate (P2).

It is the load test that measures and proves; here its report becomes a result like that of every other suite.
`--from` takes a report that was made before, with the date and commit that stand in it.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.fullness import fullest
from benchmarks.result import FOLDER, Goal, Machine, Result, commit, machine, write
from scripts.loading.figures import Trial, per_event

RATE = 5_000
P50_MS = 250.0
P99_MS = 500.0
_REPORT = Path("docs/load-test/report.json")
_STATE = Path(".local/load-test")
_AS_LONG = ("--minutes", "10", "--warm-up", "30", "--find-limit")
_QUICK = ("--minutes", "0.5", "--warm-up", "5", "--students", "5000")
_BINS = 48


class Found(msgspec.Struct):
    """The highest rate with a p99 under 1 s, None where none had it."""

    rate: float | None


class Report(msgspec.Struct):
    """What is read of a load test's report; one that was refused at its start tells no more than when."""

    started: str
    commit: str = ""
    command: str = ""
    machine: str = ""
    target: dict[str, str] = {}
    trials: list[Trial] = []
    limit: Found | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure or read, and keep; 0 when all goals are met, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--from", dest="made", type=Path, metavar="REPORT", help="of a load test made before")
    parser.add_argument("--report", type=Path, default=_REPORT, help="where it goes (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="half a minute, and no search for the limit")
    given = parser.parse_args(argv)
    measured = commit()  # before the report, which is committed too, is another one
    made = _measured(given.report, quick=given.quick) if given.made is None else _read(given.made)
    if made is None or not made.trials:
        print("the load test has measured nothing, so nothing is kept")
        return 1
    kept = of(made)
    if given.made is None:
        command = f"python -m benchmarks.latency{' --quick' if given.quick else ''}"
        kept = msgspec.structs.replace(kept, command=command, machine=machine(), commit=measured)
    print(f"kept in {write(kept, FOLDER)}")
    return 0 if all(goal.met for goal in kept.goals) else 1


def _measured(report: Path, *, quick: bool) -> Report | None:
    """The load test as `make load-test` runs it; None where it broke off."""
    path = _STATE / "quick.json" if quick else report
    begun = datetime.now(UTC)
    command = [
        *(sys.executable, "-m", "scripts.load_test", "--local", "--directory", str(_STATE)),
        *("--rate", str(RATE), "--require-rate", str(RATE), "--require-p99", str(P99_MS / 1000)),
        *("--require-loss", "0", "--report", str(path), *(_QUICK if quick else _AS_LONG)),
    ]
    code = subprocess.run(command, check=False).returncode
    made = _read(path) if code <= 1 and path.exists() else None
    return made if made is not None and datetime.fromisoformat(made.started) >= begun else None


def _read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def of(report: Report) -> Result:
    """A load test as a result: its first trial is the one that was promised."""
    return Result(
        suite="latency",
        command=report.command,
        date=report.started[:10],
        commit=report.commit.replace("-dirty", "+"),
        machine=_machine(report.machine),
        goals=_goals(report.trials[0]),
        figures=_figures(report),
    )


def _goals(trial: Trial) -> list[Goal]:
    at = f"at {trial.peak_rate:,.0f} events a second for {trial.seconds / 60:.3g} minutes"
    p50, p99 = trial.latency.quantiles.get("p50"), trial.latency.p99
    found = [
        Goal("P2", f"put → visible, p50 {at}", 1e3 * (p50 or trial.seconds), P50_MS, "ms", at_least=False),
        Goal("P2", f"put → visible, p99 {at}", 1e3 * (p99 or trial.seconds), P99_MS, "ms", at_least=False),
        Goal("P2", f"taken when due {at}", round(trial.rate), RATE, "events/s", at_least=True),
        Goal("P2", f"lost or double {at}", trial.lost + trial.double, 0, "attempts", at_least=False),
    ]
    return [goal if goal.met else msgspec.structs.replace(goal, binds=_binds(trial)) for goal in found]


def _binds(trial: Trial) -> str:
    """The fullest part over the whole run, and in how much of the run it was late at all."""
    cores = {name: used / trial.cpu_over for name, used in trial.cpu_seconds.items()}
    late = sum(window.p99 * 1000 > P99_MS for window in trial.windows)
    behind = sum(window.p50 * 1000 > P99_MS for window in trial.windows)
    return (
        f"{fullest(cores, os.cpu_count() or 1)}; in {late} of {len(trial.windows)} windows of 5 s the p99 "
        f"was above {P99_MS:g} ms, in {behind} the median; the task was held back in {trial.throttled}"
    )


def _figures(report: Report) -> Mapping[str, object]:
    trial = report.trials[0]
    return {
        "target": report.target["name"],
        "limits": report.target["limits"],
        "events": trial.sent,
        "samples": trial.latency.samples,
        "latency_ms": {name: round(took * 1000, 1) for name, took in trial.latency.quantiles.items()},
        "longest_ms": None if trial.latency.most is None else round(trial.latency.most * 1000, 1),
        "histogram": _histogram(trial.latencies),
        "windows_5s_p99_ms": [round(window.p99 * 1000) for window in trial.windows],
        "windows_5s_p50_ms": [round(window.p50 * 1000) for window in trial.windows],
        "cpu_us_per_event": {
            name: round(used, 1) for name, used in per_event(trial.cpu_seconds, trial.sent).items()
        },
        "cores_used": {name: round(used / trial.cpu_over, 3) for name, used in trial.cpu_seconds.items()},
        "throttled": trial.throttled,
        "highest_rate_p99_under_1s": None if report.limit is None else report.limit.rate,
        "lost": trial.lost,
        "double": trial.double,
    }


def _histogram(seconds: Sequence[float]) -> Mapping[str, list[float]]:
    """Every sample, in bins that grow by the same factor; of an empty run nothing."""
    if not seconds:
        return {"edges_ms": [], "samples": []}
    millis = np.maximum(np.asarray(seconds) * 1000, 1.0)
    edges = np.geomspace(millis.min() * 0.999, millis.max() * 1.001, _BINS + 1)
    counts, _ = np.histogram(millis, edges)
    return {"edges_ms": [round(float(edge), 2) for edge in edges], "samples": counts.tolist()}


def _machine(told: str) -> Machine:
    """What a report says of its machine: `2 cores, x86_64, Python 3.11.7`; the rest it does not know."""
    found = re.fullmatch(r"(\d+) cores?, (\S+), Python (\S+)", told)
    cores, processor, python = found.groups() if found else ("0", told, "")
    return Machine(processor, int(cores), 0.0, "", python)


if __name__ == "__main__":
    sys.exit(main())
