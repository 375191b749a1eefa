"""CPU of a process to the nanosecond, as the scheduler counts it: a few batches are but some clock ticks."""

import os
from contextlib import suppress
from pathlib import Path

import psutil


def of_process(pid: int) -> float:
    """What all threads of a process have used so far."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


def of_children(pid: int) -> dict[int, float]:
    """What each living child of a process has used so far: PostgreSQL has one for each session and duty."""
    return {child.pid: of_process(child.pid) for child in psutil.Process(pid).children()}


def own() -> float:
    """What this process has used so far."""
    return of_process(os.getpid())
