"""The product on one machine: the stack, the stream, the schema, and worker tasks as real processes.

The demo, `make up` and the end-to-end tests all run this, so that what they show is one code path: the same
`python -m worker` verbs that a container runs.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from worker.local.cloud import Cloud
from worker.local.java import find_java
from worker.local.keys import ensure_keys
from worker.local.platform import PLATFORM
from worker.local.process import ServerProcess, StackError, reserved_port
from worker.local.stack import Stack

_SUFFIX = "local"
STREAM = PLATFORM.stream_name(_SUFFIX)
APPLICATION = PLATFORM.application_name(_SUFFIX)
SHARDS = PLATFORM.shards
_STOP_SECONDS = 60.0
_START_SECONDS = 60.0

# Timers of a fleet of one on a laptop; production keeps KCL's patience.
_FAST = {
    "FAILOVER_MILLIS": "5000",
    "LEASE_ASSIGNMENT_MILLIS": "1000",
    "SHARD_SYNC_MILLIS": "1000",
    "SHUTDOWN_GRACE_MILLIS": "15000",
    "CHECKPOINT_SECONDS": "1",
}


class Task:
    """One worker task: the supervisor's process and what it says of itself."""

    def __init__(self, process: ServerProcess, state_dir: Path) -> None:
        self.process = process
        self.state_dir = state_dir

    @property
    def ports(self) -> dict[str, int] | None:
        """Ports of health and metrics, once the supervisor of this task listens."""
        try:
            ports: dict[str, int] = orjson.loads((self.state_dir / "ports.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        return ports if ports.get("pid") == self.process.pid else None

    def stop(self) -> None:
        """SIGTERM, as a deploy sends it; returns when the task has drained and ended."""
        self.process.stop(by=signal.SIGTERM, grace=_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the whole task."""
        self.process.kill()


class Api:
    """The API: its process, and where it listens."""

    def __init__(self, process: ServerProcess, url: str, metrics_url: str) -> None:
        self.process = process
        self.url = url
        self.metrics_url = metrics_url

    def wait_until_ready(self) -> None:
        """Until it answers.

        Raises:
            StackError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not self.process.running or time.monotonic() > deadline:
                raise StackError(f"the API did not come up; see {self.process.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM; returns when it has answered what it had taken and ended."""
        self.process.stop(by=signal.SIGTERM, grace=_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        self.process.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2):  # noqa: S310 - our own loopback
                return True
        except OSError:
            return False


class Session:
    """Starts everything with its state in `directory`; a context manager that leaves nothing running.

    Args:
        directory: where servers and tasks keep their state and logs.
        report: hears in one line what has been reached.
        settings: variables of the environment that differ from this session's own; with
            `KINESIS_ENDPOINT_URL` the stream is made there.
    """

    def __init__(
        self,
        directory: Path,
        report: Callable[[str], None] = lambda _line: None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self._report = report
        self._settings = settings or {}
        self.stack = Stack(self.directory / "stack", report=report)
        self._tasks: list[Task] = []
        self._apis: list[Api] = []
        self.environment: Mapping[str, str] = {}

    def start(self) -> None:
        """Start the servers, make stream, tables and leases, migrate.

        Raises:
            StackError: something did not come up; nothing runs then.
        """
        try:
            self.stack.start()
            self.environment = self._environment()
            kinesis_url = self.environment.get("KINESIS_ENDPOINT_URL")
            cloud = Cloud.at(self.stack.endpoints.aws_endpoint_url, kinesis_url)
            cloud.create_stream(STREAM, shards=SHARDS)
            cloud.create_kcl_tables(APPLICATION)
            cloud.seed_leases(APPLICATION, STREAM)
            self.run("migrate")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the tasks, then the servers."""
        try:
            for api in self._apis:
                api.stop()
            for task in self._tasks:
                task.stop()
        finally:
            self._apis.clear()
            self._tasks.clear()
            self.stack.stop()

    def remove(self) -> None:
        """Stop everything and delete its data."""
        self.stop()
        self.stack.remove()

    def start_task(self, name: str = "worker", settings: Mapping[str, str] | None = None) -> Task:
        """Start a worker task of its own state folder; does not wait for its first record."""
        state_dir = self.directory / "tasks" / name
        state_dir.mkdir(parents=True, exist_ok=True)
        process = ServerProcess(name, self.directory / "log" / f"{name}.log")
        environment = {**self.environment, "STATE_DIR": str(state_dir), **(settings or {})}
        process.launch(
            [sys.executable, "-m", "worker", "daemon"], directory=state_dir, environment=environment
        )
        task = Task(process, state_dir)
        self._tasks.append(task)
        self._report(f"worker task {name!r} started, log in {process.log}")
        return task

    def start_api(self, settings: Mapping[str, str] | None = None, name: str = "api") -> "Api":
        """Start the API on a free port; returns when it answers.

        Raises:
            StackError: it did not come up.
        """
        with reserved_port() as port:
            pass
        with reserved_port() as metrics_port:
            pass
        environment = {
            **self.environment,
            "API_HOST": "127.0.0.1",
            "API_PORT": str(port),
            "METRICS_PORT": str(metrics_port),
            **(settings or {}),
        }
        process = ServerProcess(name, self.directory / "log" / f"{name}.log")
        process.launch(
            [sys.executable, "-m", "worker", "api"], directory=self.directory, environment=environment
        )
        api = Api(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics")
        self._apis.append(api)
        api.wait_until_ready()
        self._report(f"the API answers at {api.url}")
        return api

    def token(self, subject: str, *arguments: str) -> str:
        """A token of this stack; the arguments are those of `python -m worker token`."""
        return self.run("token", subject, *arguments).strip()

    def run(self, *verb: str, module: str = "worker", settings: Mapping[str, str] | None = None) -> str:
        """Run one verb of `python -m worker`, or a script, to its end; what it printed.

        Args:
            verb: with its arguments.
            module: what is run.
            settings: variables that differ from the session's.

        Raises:
            StackError: it failed; the message holds what it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", module, *verb],
            env={**self.environment, **(settings or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"python -m {' '.join((module, *verb))} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _environment(self) -> dict[str, str]:
        kept: dict[str, Any] = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ
        }
        return {
            **kept,
            **self.stack.endpoints.environment(),
            **ensure_keys(self.directory / "keys"),
            **_FAST,
            "MODE": "local",
            "STREAM_NAME": STREAM,
            "APPLICATION_NAME": APPLICATION,
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": "0",
            "METRICS_PORT": "0",
            "JAVA_BIN": str(find_java()),
            **self._settings,
        }
