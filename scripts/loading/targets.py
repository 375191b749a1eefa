"""What is driven: the environment that the settings name, or a whole stack started for the run alone."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.frame.script import Refused
from scripts.loading.cgroups import Group, NotLimited, limited
from scripts.loading.machine import cpu_seconds
from scripts.loading.plan import Plan
from scripts.loading.sending import Way
from scripts.loading.signing import Sign, bearer
from scripts.loading.watching import Tasks
from scripts.loading.ways import by_http, by_stream
from worker import wiring
from worker.local.edges import Edges
from worker.local.process import StackError
from worker.local.session import SHARDS, Session, Task
from worker.local.watching import metrics_url
from worker.settings import Settings, load

_HELD_SECONDS = 180.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Entrance:
    """How events enter: by the stream, or by HTTP at `url` in posts of `batch` events."""

    url: str | None = None
    batch: int = 250
    connections: int = 8
    sign: Sign = lambda _method, _url, _body: {}

    def way(self, plan: Plan, edges: Edges) -> Way:
        """What puts a plan's events."""
        if self.url is None:
            return by_stream(plan, edges.producer)
        return by_http(plan, self.url, self.sign, batch=self.batch, connections=self.connections)


@dataclass(frozen=True)
class Target:
    """A system under load.

    `connect` gives ports on connections of their own; `check` raises when the system cannot go on; `cpu`
    tells the CPU seconds of its parts where we can see them, `throttled` how often a limit held it back.
    """

    name: str
    limits: str
    entrance: Entrance
    tasks: Tasks
    connect: Callable[[], Edges]
    check: Callable[[], None] = lambda: None
    cpu: Callable[[], Mapping[str, float]] = dict
    throttled: Callable[[], str] = lambda: "unknown"


def environment(settings: Settings, entrance: Entrance, metrics: Sequence[str]) -> Target:
    """The environment of these settings; `metrics` are the Prometheus endpoints of its tasks, if known."""
    name = f"stream {settings.stream_name}" if entrance.url is None else entrance.url
    told = "not limited: its tasks are not ours"
    return Target(name, told, entrance, Tasks(lambda: metrics), lambda: wiring.edges(settings), cpu=_own_cpu)


def _own_cpu() -> Mapping[str, float]:
    """What the generator itself used: one that is full measures its own lateness."""
    own = os.times()
    return {"load generator": own.user + own.system}


@contextmanager
def local(
    directory: Path, say: Callable[[str], None], *, http: Entrance | None, cpus: float, mebibytes: int
) -> Iterator[Target]:
    """A stack of this machine, empty at first and removed at the end, with one worker task.

    Args:
        directory: where it keeps its state.
        say: hears what has been reached.
        http: how to post, where events enter by HTTP; its URL and token are the stack's own.
        cpus: what the task may take of the cores; 0 for no limit.
        mebibytes: what it may take of the memory.
    """
    session = Session(directory, say)
    session.remove()
    with ExitStack() as opened:
        opened.callback(session.remove)
        group, limits = _group(opened, cpus, mebibytes)
        opened.enter_context(session)
        task = session.start_task()
        if group is not None and task.process.pid is not None:
            group.take(task.process.pid)
        entrance, api_pid = Entrance(), None
        if http is not None:
            api = session.start_api()
            api_pid = api.process.pid
            sign = bearer(session.token("load-test", "--role", "producer"))
            entrance = Entrance(api.url, http.batch, http.connections, sign)
        tasks = Tasks(lambda: [url for url in [metrics_url(task)] if url is not None])
        wait_for_shards(task, tasks)
        say(f"both shards are read; the worker task is {limits}")
        settings = load(session.environment)
        parts: dict[str, list[int | None]] = {**parts_of(session, task), "API": [api_pid]}

        def cpu() -> Mapping[str, float]:
            return {**_own_cpu(), **cpu_seconds(parts, kind)}

        yield Target(
            name=f"a stack of this machine, {SHARDS} shards, one worker task",
            limits=limits,
            entrance=entrance,
            tasks=tasks,
            connect=lambda: wiring.edges(settings),
            check=lambda: _check(task),
            cpu=cpu,
            throttled=group.throttled if group is not None else lambda: "not limited",
        )


def parts_of(session: Session, task: Task) -> Mapping[str, list[int | None]]:
    """The parts of a stack by name, each by the processes at its root."""
    return {
        "worker task": [task.process.pid],
        "PostgreSQL": [session.stack.postgres.pid],
        "Valkey": [session.stack.valkey.pid],
        "emulator of Kinesis and DynamoDB": [session.stack.emulator.pid],
    }


def kind(command: list[str]) -> str:
    """The two halves of a worker task; everything else is told as a whole."""
    if any(word.endswith("MultiLangDaemon") for word in command):
        return "KCL's Java"
    return "shard processes" if command[-1:] == ["shard"] else ""


def _group(opened: ExitStack, cpus: float, mebibytes: int) -> tuple[Group | None, str]:
    if not cpus:
        return None, "not limited: --task-cpu 0"
    try:
        group = opened.enter_context(limited(cpus, mebibytes))
    except NotLimited as reason:
        return None, f"not limited: {reason}"
    return group, f"limited to {group.told}"


def wait_for_shards(task: Task, tasks: Tasks) -> None:
    """Until the task has a process for every shard.

    Raises:
        Refused: it takes too long.
        StackError: the task has ended.
    """
    deadline = time.monotonic() + _HELD_SECONDS
    while tasks.shards_held() < SHARDS:
        _check(task)
        if time.monotonic() > deadline:
            raise Refused(f"no task holds the {SHARDS} shards; see {task.process.log}")
        time.sleep(_POLL_SECONDS)


def _check(task: Task) -> None:
    if not task.process.running:
        raise StackError(f"the worker task has ended by itself; see {task.process.log}")
