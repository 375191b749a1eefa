"""A worker task held to what Fargate would give it, where this kernel and our rights allow.

A load test on a machine with cores to spare says little about a task of half a core. Both versions of control
groups are known; where neither can be used the run goes on and says so.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PREFIX = "edu-load-test-"
_PERIOD_MICROS = 100_000
_PATIENCE_SECONDS = 5.0


class NotLimited(Exception):
    """No group can be made here; the text says why."""


class Group(NamedTuple):
    """A control group of ours: its folders, one for each hierarchy it stands in."""

    folders: tuple[Path, ...]
    told: str

    def take(self, pid: int) -> None:
        """Move a process in; what it starts from now on is in as well."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def throttled(self) -> str:
        """How often the group was held back, in the kernel's words."""
        for folder in self.folders:
            with suppress(OSError, ValueError):
                found = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
                return f"{int(found['nr_throttled']):,} of {int(found['nr_periods']):,} periods of 100 ms"
        return "unknown"


@contextmanager
def limited(
    cpus: float, mebibytes: int, *, mounts: Path = Path("/proc/self/mounts"), own: Path | None = None
) -> Iterator[Group]:
    """A group of so much CPU and memory, removed at the end; its processes must have ended by then.

    Raises:
        NotLimited: it cannot be made.
    """
    groups = _own_groups(own or Path("/proc/self/cgroup"))
    folders: list[Path] = []
    try:
        try:
            _make(folders, _hierarchies(mounts), groups, cpus, mebibytes * 1024 * 1024)
        except OSError as error:
            raise NotLimited(f"{error.strerror}: {error.filename}") from None
        yield Group(tuple(folders), f"{cpus:g} CPU and {mebibytes:,} MiB by cgroup")
    finally:
        for folder in folders:
            _remove(folder)


def _make(
    folders: list[Path],
    found: Mapping[str, Path],
    groups: Mapping[str, str],
    cpus: float,
    size: int,
) -> None:
    quota = int(cpus * _PERIOD_MICROS)
    if "cpu" in found and "memory" in found:
        cpu = _child(folders, found["cpu"], groups.get("cpu", "/"))
        (cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROS))
        (cpu / "cpu.cfs_quota_us").write_text(str(quota))
        memory = _child(folders, found["memory"], groups.get("memory", "/"))
        (memory / "memory.limit_in_bytes").write_text(str(size))
        return
    if "" not in found:
        raise NotLimited("no control groups are mounted here")
    group = _child(folders, found[""], groups.get("", "/"))
    if not (group / "cpu.max").exists() or not (group / "memory.max").exists():
        raise NotLimited(f"{group.parent} does not pass the cpu and memory controllers on")
    (group / "cpu.max").write_text(f"{quota} {_PERIOD_MICROS}")
    (group / "memory.max").write_text(str(size))


def _child(folders: list[Path], root: Path, group: str) -> Path:
    """A new group below our own, so that every limit above it holds as well."""
    inside = root / group.lstrip("/")
    parent = inside if inside.is_dir() else root
    _clear_leftovers(parent)
    folder = parent / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    folders.append(folder)
    return folder


def _clear_leftovers(parent: Path) -> None:
    """End what a run left behind that was killed: its task may wait for its servers for ever."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if Path(f"/proc/{folder.name.removeprefix(_PREFIX)}").exists():
            continue
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _remove(folder)


def _hierarchies(mounts: Path) -> dict[str, Path]:
    """Where the controllers cpu and memory (version 1) and the hierarchy of version 2 ("") are mounted."""
    found: dict[str, Path] = {}
    for line in mounts.read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found[""] = Path(where)
        elif kind == "cgroup":
            found |= {name: Path(where) for name in ("cpu", "memory") if name in options.split(",")}
    return found


def _own_groups(file: Path) -> dict[str, str]:
    """Our own group in each hierarchy."""
    found: dict[str, str] = {}
    for line in file.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _remove(folder: Path) -> None:
    """The kernel lets a group go a moment after its last process."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        else:
            return
