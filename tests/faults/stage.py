"""Where a drill plays: a session with its tasks, a load, and someone who watches."""

import dataclasses
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.faults import kinesis_local
from tests.faults.load import TICK_SECONDS, Crowd, Load, Say
from tests.faults.observer import BACKLOG, Observer
from worker import wiring
from worker.adapters.kinesis import KinesisProducer
from worker.adapters.leases import DynamoLeases
from worker.local.cloud import aws_client
from worker.local.edges import Edges
from worker.local.session import APPLICATION, SHARDS, Session, Task
from worker.local.watching import position, wait_for
from worker.settings import load

_PATIENCE = 240.0
_SLOW_TICK_SECONDS = 0.1
_JAVA = "software.amazon.kinesis.multilang.MultiLangDaemon"


@dataclasses.dataclass
class Stage:
    """A running product at load; `undo` is done after its servers have ended, before their data go.

    `stream` is for looking at it: the load has its own way into it.
    """

    session: Session
    edges: Edges
    stream: KinesisProducer
    load: Load
    observer: Observer
    tasks: dict[str, Task]
    say: Say
    undo: ExitStack
    broken: list[str] = dataclasses.field(default_factory=list)
    """What a drill promised beside the proof and did not hold."""

    def promise(self, held: bool, what: str) -> None:
        """Note what should have held and did not."""
        if not held and what not in self.broken:
            self.broken.append(what)

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
        _, body = self._get(name, "health", "/readyz")
        shards: dict[str, dict[str, str]] = orjson.loads(body or b"{}").get("shards", {})
        return shards

    def healthy(self, name: str) -> bool:
        """What `/healthz` of a task says."""
        return self._get(name, "health", "/healthz")[0] == 200

    def metric(self, name: str, metric: str) -> float:
        """One metric of a task, summed over its labels."""
        _, body = self._get(name, "metrics", "/metrics")
        families = text_string_to_metric_families(body.decode())
        return sum(sample.value for family in families for sample in family.samples if sample.name == metric)

    def leader(self) -> str:
        """The task whose worker leads by KCL's own record."""
        table = DynamoLeases(
            aws_client("dynamodb", self.session.stack.endpoints.aws_endpoint_url), APPLICATION
        )

        def leads(task: Task) -> bool:
            leader = table.leader()
            return leader is not None and leader.owner == worker_id(task)

        wait_for(
            lambda: any(map(leads, self.tasks.values())), self.any_task(), seconds=_PATIENCE, what="a leader"
        )
        return next(name for name, task in self.tasks.items() if leads(task))

    def _get(self, name: str, server: str, path: str) -> tuple[int, bytes]:
        ports = self.tasks[name].ports
        if ports is None:
            return 0, b""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[server]}{path}", timeout=2) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

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


def worker_id(task: Task) -> str:
    """The id under which a task holds leases, "" before it has one."""
    file = task.state_dir / "worker-id"
    return file.read_text().strip() if file.exists() else ""


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
    settings: Mapping[str, str] | Callable[[Session], Mapping[str, str]],
    crowd: Crowd = Crowd(),  # noqa: B008 - a value
    tick_seconds: float = TICK_SECONDS,
    backlog: int = BACKLOG,
    reshards: bool = False,
) -> Iterator[Stage]:
    """Everything up, both shards held, the load steady for some seconds.

    The settings of the tasks may depend on the session. With `reshards` the stream is one whose shards end,
    which is slow: it is called less often, with more.
    """
    with ExitStack() as undo, ExitStack() as opened:
        elsewhere: dict[str, str] = {}
        if reshards:
            program = kinesis_local.installed()
            url = opened.enter_context(kinesis_local.serving(program, directory / "kinesis"))
            elsewhere = {"KINESIS_ENDPOINT_URL": url, "CBOR_ENABLED": "true"}
            tick_seconds, backlog = _SLOW_TICK_SECONDS, per_second
        session = opened.enter_context(Session(directory, lambda _line: None, elsewhere))
        try:
            names = [chr(ord("a") + n) for n in range(tasks)]
            told = settings(session) if callable(settings) else settings
            running = {name: session.start_task(name, told) for name in names}
            first = next(iter(running.values()))
            wait_for(
                lambda: held(running.values()) == SHARDS,
                first,
                seconds=90,
                what="both shards held",
            )
            wired = load(session.environment)
            edges, watching = wiring.edges(wired), wiring.edges(wired)
            producing = Load(edges, per_second, tick_seconds=tick_seconds, crowd=crowd)
            observer = Observer(watching.ledger, lambda: producing.sent, backlog)
            stage = Stage(session, edges, wiring.producer(wired), producing, observer, running, say, undo)
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
            try:
                session.stop()
            finally:
                undo.close()
            session.remove()
