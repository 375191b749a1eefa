"""A worker task on the embedded stack as Fargate would run it: held to its share, both shards read."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.draining import Cpu
from scripts.loading import cgroups
from scripts.loading.machine import cpu_seconds
from scripts.loading.targets import kind, parts_of, wait_for_shards
from scripts.loading.watching import Tasks
from worker.local.session import Session, Task
from worker.local.watching import metrics_url

CPUS, MEBIBYTES = 0.5, 1_024
"""Of one worker task, as the platform's configuration has it."""
_AS_DEPLOYED = {"CHECKPOINT_SECONDS": "3"}
"""A local session checkpoints more often than the product does by default."""


class Running(NamedTuple):
    """A worker task, what limits it in words, and what each part of the system has used."""

    task: Task
    limits: str
    cpu: Cpu


@contextmanager
def held(
    session: Session, name: str, *, limited: bool, settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A worker task that has just been started, held to its share; stopped as a deploy would at the end.

    Raises:
        NotLimited: it cannot be held to its share here.
    """
    with ExitStack() as opened:
        group = opened.enter_context(cgroups.limited(CPUS, MEBIBYTES)) if limited else None
        task = session.start_task(name, {**_AS_DEPLOYED, **(settings or {})})
        opened.callback(task.stop)
        if group is not None and task.process.pid is not None:
            group.take(task.process.pid)
        roots = parts_of(session, task)
        limits = "without limits" if group is None else f"held to {group.told}"
        yield Running(task, limits, lambda: cpu_seconds(roots, kind))


@contextmanager
def running(session: Session, name: str, *, limited: bool) -> Iterator[Running]:
    """The same, once every shard has its process.

    Raises:
        NotLimited: it cannot be held to its share here.
    """
    with held(session, name, limited=limited) as run:
        tasks = Tasks(lambda: [url for url in [metrics_url(run.task)] if url is not None])
        wait_for_shards(run.task, tasks)
        say(f"both shards are read; the worker task is {run.limits}")
        yield run


@contextmanager
def stack(told: Callable[[str], None]) -> Iterator[Session]:
    """An embedded stack of its own, empty at first and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder, ExitStack() as opened:
        session = Session(Path(folder), told)
        opened.callback(session.remove)
        yield opened.enter_context(session)


def backfill(session: Session, path: Path, columns: str = "") -> None:
    """A file of attempts into ledger and projection, as an operator brings it in."""
    mapping = ("--columns", columns) if columns else ()
    kept = ("--report", f"{path}.json", "--rejects", str(session.directory))
    session.run(str(path), *kept, *mapping, module="scripts.backfill")


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)
