"""The one embedded stack on which everybody runs, and how a run on it is made."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers import house
from benchmarks.peers.cost import Cost, Meter, cost
from benchmarks.peers.distance import away
from benchmarks.peers.events import Call, empty
from benchmarks.peers.feeder import Feeder
from benchmarks.peers.sinks import Sinks
from worker.local.cloud import aws_client
from worker.local.process import ServerProcess, StackError
from worker.local.session import Session

_ROOT = Path(__file__).parents[2]
_PUT_RECORDS, _PUT_BYTES = 500, 4 * 1024 * 1024
_LOOK_SECONDS = 0.005
_PATIENCE_SECONDS = 120.0


class NotRun(Exception):
    """This one could not be run, or has no figure; the text says why."""


class Fed(NamedTuple):
    """A child to be fed: how it is started and what it sees."""

    command: Sequence[str]
    environment: Mapping[str, str]


class Stage:
    """Servers, folders and interpreters.

    Args:
        session: whose servers all of them use.
        sinks: the peers' own tables and keys.
        peers: the interpreter that has the peers' packages, or why there is none.
    """

    def __init__(self, session: Session, sinks: Sinks, peers: Path | house.NotInstalled) -> None:
        self.session = session
        self.sinks = sinks
        self.kinesis: Any = aws_client("kinesis", session.stack.endpoints.aws_endpoint_url)
        self._peers = peers

    def meter(self, pid: int) -> Meter:
        """The CPU of one process and of the servers."""
        return Meter(pid, self.session.stack.postgres.pid, self.session.stack.valkey.pid)

    def log(self, name: str) -> Path:
        """Where a run's process logs."""
        return self.session.directory / "log" / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """What a peer sees: the session's servers, its own sinks, and our root to import from."""
        return {
            **self.session.environment,
            **self.sinks.environment(),
            "PYTHONPATH": str(_ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def fed(self, name: str, child: Fed, calls: Sequence[Call], distance: float = 0.0) -> Cost:
        """Feed a child; the first call warms it up and is not measured.

        Args:
            name: of its log.
            child: how it is started.
            calls: what it is fed.
            distance: so many seconds away from it are the servers.
        """
        with ExitStack() as opened:
            sees = child.environment
            if distance:
                folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edu-away-")))
                sees = opened.enter_context(away(distance, sees, folder))
            feeder = opened.enter_context(Feeder(child.command, sees, self.log(name)))
            feeder.begin()
            feeder.feed(empty())
            feeder.feed(calls[0])
            meter = self.meter(feeder.pid)
            before = meter.look()
            for call in calls[1:]:
                feeder.feed(call)
            after = meter.look()
            if code := feeder.end():
                raise NotRun(f"it ended with code {code}; see {self.log(name)}")
        return cost(before, after, sum(call.events for call in calls[1:]))

    def sample(self, *options: str) -> Fed:
        """The sample of amazon_kclpy, on the product's own libraries."""
        command = (sys.executable, "-u", "-m", "benchmarks.peers.kclpy_sample", *options)
        return Fed(command, self.environment())

    @contextmanager
    def running(self, name: str, module: str, *options: str) -> Iterator[ServerProcess]:
        """A peer with packages of its own.

        Raises:
            NotRun: they could not be installed.
        """
        if isinstance(self._peers, house.NotInstalled):
            raise NotRun(str(self._peers))
        process = ServerProcess(name, self.log(name))
        command = [str(self._peers), "-m", f"benchmarks.peers.{module}", *options]
        process.launch(command, directory=self.session.directory, environment=self.environment())
        try:
            yield process
        finally:
            process.stop(grace=5)

    def until(self, ready: Callable[[], bool], process: ServerProcess, what: str) -> None:
        """Poll until something holds.

        Raises:
            NotRun: the process ended, or nothing came of it in two minutes.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not ready():
            if not process.running:
                last = process.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise NotRun(f"it ended before {what}: {' '.join(last)}")
            if time.monotonic() > deadline:
                raise NotRun(f"no {what} within {_PATIENCE_SECONDS:.0f} s; see {process.log}")
            time.sleep(_LOOK_SECONDS)

    @contextmanager
    def stream(self, name: str) -> Iterator[str]:
        """A stream of one shard, deleted at the end."""
        self.kinesis.create_stream(StreamName=name, ShardCount=1)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        try:
            yield name
        finally:
            self.kinesis.delete_stream(StreamName=name)

    def put(self, stream: str, records: Sequence[bytes]) -> None:
        """All records, in their order."""
        largest = max(map(len, records), default=1)
        each = min(_PUT_RECORDS, _PUT_BYTES // largest)
        for start in range(0, len(records), each):
            entries = [{"Data": data, "PartitionKey": "peers"} for data in records[start : start + each]]
            answer = self.kinesis.put_records(StreamName=stream, Records=entries)
            if answer["FailedRecordCount"]:
                raise StackError(f"the emulator refused {answer['FailedRecordCount']} records")


def pid_of(process: ServerProcess) -> int:
    """The id of a process that runs."""
    assert process.pid is not None
    return process.pid


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that stands still inside the context."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def dropped(path: Path, lines: Sequence[bytes]) -> None:
    """A file that appears whole."""
    part = path.with_name(f".{path.name}")
    part.write_bytes(b"\n".join(lines) + b"\n")
    part.rename(path)
