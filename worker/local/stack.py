"""The whole stack as one object, so that a demo, a test and a drill start and stop everything in one line.

Each of them needs the same promise: what was started is stopped, also if only half of it came up.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.local.cloud import ANY_KEY, REGION
from worker.local.emulator import Emulator
from worker.local.postgres import Postgres
from worker.local.process import StackError, reserved_port
from worker.local.valkey import Valkey


@dataclass(frozen=True)
class Endpoints:
    """Where the servers listen: on the loopback interface or a Unix socket, never for another machine."""

    database_url: str
    redis_url: str
    aws_endpoint_url: str

    def environment(self) -> dict[str, str]:
        """The variables with which the worker, the API and the KCL daemon find this stack."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "AWS_ENDPOINT_URL": self.aws_endpoint_url,
            "AWS_ACCESS_KEY_ID": ANY_KEY,
            "AWS_SECRET_ACCESS_KEY": ANY_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CBOR_ENABLED": "false",  # moto reads and writes JSON only
        }


class Stack:
    """PostgreSQL, Valkey and the AWS emulator with their data in `directory`, which one stack uses at a time.

    `postgres`, `valkey`, `emulator` and `endpoints` are there once started. Each server has start(), stop()
    and kill() and comes back at the same address with what it held; only the emulator comes back empty.
    `report` hears in one line what has been reached.
    """

    endpoints: Endpoints
    postgres: Postgres
    valkey: Valkey
    emulator: Emulator

    def __init__(self, directory: Path, *, report: Callable[[str], None] = lambda _line: None) -> None:
        self._directory = directory.resolve()
        self._report = report
        self._undo = ExitStack()
        self._started = False

    def start(self) -> None:
        """Starts all servers and returns when all answer; nothing happens if they run already.

        Raises:
            StackError: a server does not come up, or another stack runs in the directory. Nothing runs then.
        """
        if self._started:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            undo.enter_context(_only_one(self._directory))
            self._build(undo)
            # It takes as long to import moto as to start the other two, so it does so meanwhile.
            self.emulator.launch()
            self.valkey.start()
            self._report(f"Valkey answers at {self.valkey.url}")
            self.postgres.start()
            self._report(f"PostgreSQL answers at {self.postgres.url}")
            self.emulator.wait_until_ready()
            self._report(f"The AWS emulator answers at {self.emulator.url}")
            self.endpoints = Endpoints(self.postgres.url, self.valkey.url, self.emulator.url)
            self._undo = undo.pop_all()
        self._started = True

    def stop(self) -> None:
        """Stops every server that runs; the data stay. May be repeated."""
        self._started = False
        self._undo.close()

    def remove(self) -> None:
        """Stops everything and deletes the stack's data, also those that live outside the directory."""
        self.stop()
        if not self._directory.exists():
            return
        with _only_one(self._directory):
            Postgres(self._directory / "postgres", self._log("postgres")).remove()
            for name in ("valkey", "emulator", "log"):
                shutil.rmtree(self._directory / name, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _build(self, undo: ExitStack) -> None:
        """Makes the three servers; `undo` stops them, and then gives their ports back."""
        ports = [undo.enter_context(reserved_port()) for _ in range(2)]
        self.postgres = Postgres(self._directory / "postgres", self._log("postgres"))
        self.valkey = Valkey(self._directory / "valkey", self._log("valkey"), port=ports[0])
        self.emulator = Emulator(self._directory / "emulator", self._log("emulator"), port=ports[1])
        for server in (self.postgres, self.valkey, self.emulator):
            undo.callback(server.stop)

    def _log(self, name: str) -> Path:
        return self._directory / "log" / f"{name}.log"


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Holds the directory's lock, which the system takes back if we are killed."""
    with (directory / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StackError(
                f"A stack already runs in {directory} (process {holder}); stop it or use another directory"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
