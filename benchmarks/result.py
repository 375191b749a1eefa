"""What a suite found, in the form that is kept: the figures, the goals they answer and where they were taken.

Times depend on the machine and its neighbours, so a goal that compares is a ratio of two figures of one run.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

FOLDER = Path(os.environ.get("BENCH_RESULTS") or Path(__file__).parent / "results")
"""Where results are kept; a quick look of `python -m benchmarks --quick` keeps its own elsewhere."""


class Goal(msgspec.Struct, frozen=True):
    """One promise and what was measured.

    Attributes:
        name: which, e.g. "P5".
        what: the measure, e.g. "GET /metrics, p99 at 1,000 reads a second".
        value: what was measured, in `unit`.
        limit: what was promised, in `unit`.
        unit: of both, e.g. "ms", "events/s", "times".
        at_least: whether more is better.
        binds: where the goal is missed, the resource that binds; else empty.
    """

    name: str
    what: str
    value: float
    limit: float
    unit: str
    at_least: bool
    binds: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


class Machine(msgspec.Struct, frozen=True):
    """Where the figures were taken; `memory` in GiB."""

    processor: str
    cores: int
    memory: float
    kernel: str
    python: str


class Result(msgspec.Struct, frozen=True):
    """Everything one run of a suite found.

    Attributes:
        suite: its name, and the file's.
        command: how to take the figures again.
        date: of the run, UTC, as YYYY-MM-DD.
        commit: that was measured; "+" behind it tells that the checkout had changes.
        machine: where.
        goals: the promises it answers.
        figures: everything measured; the unit stands in each key ("p99_ms", "child_us_per_event").
    """

    suite: str
    command: str
    date: str
    commit: str
    machine: Machine
    goals: Sequence[Goal]
    figures: Mapping[str, object]


def keep(
    suite: str, command: str, goals: Sequence[Goal], figures: Mapping[str, object], folder: Path = FOLDER
) -> Path:
    """Write what a suite found; the file."""
    result = Result(
        suite=suite,
        command=command,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=commit(),
        machine=machine(),
        goals=goals,
        figures=figures,
    )
    return write(result, folder)


def write(result: Result, folder: Path = FOLDER) -> Path:
    """Write a result that somebody else has taken; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.suite}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def kept(suite: str, folder: Path = FOLDER) -> Result:
    """What a suite found last.

    Raises:
        FileNotFoundError: it was never run.
    """
    return msgspec.json.decode((folder / f"{suite}.json").read_bytes(), type=Result)


def machine() -> Machine:
    """This machine."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
    )


def commit() -> str:
    """The short name of what is checked out, or "" where that is unknown."""
    name = _git("rev-parse", "--short", "HEAD")
    return f"{name}+" if name and _git("status", "--porcelain", "--untracked-files=no") else name


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
