"""Where a drill plays: a session with its tasks, a load, and someone who watches."""

import dataclasses
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import psutil

from tests.faults import kinesis_local
from tests.faults.load import TICK_SECONDS, Load, Say
from tests.faults.observer import Observer
from worker import wiring
from worker.adapters.kinesis import KinesisProducer
from worker.local.edges import Edges
from worker.local.session import SHARDS, Session, Task
from worker.local.watching import position, wait_for
from worker.settings import load

_PATIENCE = 240.0
_SLOW_TICK_SECONDS = 0.1
_JAVA = "software.amazon.kinesis.multilang.MultiLangDaemon"


@dataclasses.dataclass
class Stage:
    """A running product at load; `stream` is for looking at it, the load has its own way into it."""

    session: Session
    edges: Edges
    stream: KinesisProducer
    load: Load
    observer: Observer
    tasks: dict[str, Task]
    say: Say

    def hold(self, seconds: float) -> None:
        """Let the fault last."""
        threading.Event().wait(seconds)

    def any_task(self) -> Task:
        return next(iter(self.tasks.values()))

    def shards_of(self, name: str) -> list[psutil.Process]:
        """The shard processes of a task."""
        return family(self.tasks[name])["shard"]

    def readiness(self, name: str) -> dict[str, dict[str, str]]:
        """What `/readyz` of a task says of its shards."""
        ports = self.tasks[name].ports
        if ports is None:
            return {}
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['health']}/readyz", timeout=2) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        shards: dict[str, dict[str, str]] = orjson.loads(body).get("shards", {})
        return shards

    def await_recovery(self) -> None:
        """Until every open shard is held and the load is caught up with, after the fault."""
        wait_for(
            lambda: (
                self.observer.recovered_after is not None
                and held(self.tasks.values()) == len(self.stream.open_shards())
            ),
            self.any_task(),
            seconds=_PATIENCE,
            what="recovery",
        )


def family(task: Task) -> dict[str, list[psutil.Process]]:
    """The processes of a task by kind: `java` and `shard`."""
    found: dict[str, list[psutil.Process]] = {"java": [], "shard": []}
    if task.process.pid is None:
        return found
    for process in psutil.Process(task.process.pid).children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if _JAVA in command:
            found["java"].append(process)
        elif command[-1:] == ["shard"]:
            found["shard"].append(process)
    return found


def held(tasks: Iterable[Task]) -> int:
    """How many shards have a process in these tasks."""
    return sum(len(family(task)["shard"]) for task in tasks)


def kill(process: psutil.Process) -> None:
    """SIGKILL to one process of ours."""
    os.kill(process.pid, signal.SIGKILL)


@contextmanager
def staged(
    directory: Path,
    say: Say,
    *,
    tasks: int = 1,
    per_second: int = 1_000,
    settings: Mapping[str, str],
    reshards: bool = False,
) -> Iterator[Stage]:
    """Everything up, both shards held, the load steady for some seconds.

    With `reshards` the stream is one whose shards end, which is slow: it is called less often, with more.

    Raises:
        CannotRun: such a stream cannot be had on this machine.
    """
    with ExitStack() as opened:
        elsewhere: dict[str, str] = {}
        if reshards:
            program = kinesis_local.installed()
            url = opened.enter_context(kinesis_local.serving(program, directory / "kinesis"))
            elsewhere = {"KINESIS_ENDPOINT_URL": url, "CBOR_ENABLED": "true"}
        session = opened.enter_context(Session(directory, lambda _line: None, elsewhere))
        try:
            names = [chr(ord("a") + n) for n in range(tasks)]
            running = {name: session.start_task(name, settings) for name in names}
            first = next(iter(running.values()))
            wait_for(
                lambda: held(running.values()) == SHARDS,
                first,
                seconds=90,
                what="both shards held",
            )
            wired = load(session.environment)
            edges, watching = wiring.edges(wired), wiring.edges(wired)
            tick_seconds = _SLOW_TICK_SECONDS if reshards else TICK_SECONDS
            producing = Load(edges, per_second, tick_seconds=tick_seconds)
            observer = Observer(watching.ledger, lambda: producing.sent, backlog=per_second)
            stage = Stage(session, edges, wiring.producer(wired), producing, observer, running, say)
            observer.start()
            producing.start()
            wait_for(
                lambda: position(edges.ledger).accounting.read > 2 * per_second,
                first,
                seconds=60,
                what="a steady load",
            )
            try:
                yield stage
            finally:
                producing.stop()
                observer.stop()
                edges.close()
                watching.close()
        finally:
            session.remove()
