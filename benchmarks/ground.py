"""PostgreSQL and Valkey with the schema, and scripts run on them as an operator runs them.

A script is a process of its own, so its CPU is told apart from the servers', and it costs what it costs with
its interpreter started anew.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from scripts.loading.machine import cpu_seconds
from worker.local.keys import ensure_keys
from worker.local.stack import Stack

SCRIPT = "the script"


class Round(NamedTuple):
    """One run of a script.

    Attributes:
        done: how many rows or states.
        seconds: from its first step to its last, without the start of the interpreter.
        whole: the same with it.
        cpu: seconds of each part over `whole`.
    """

    done: int
    seconds: float
    whole: float
    cpu: Mapping[str, float]

    @property
    def per_second(self) -> float:
        return self.done / self.seconds

    @property
    def cores(self) -> dict[str, float]:
        return {name: used / self.whole for name, used in self.cpu.items()}

    @property
    def micros(self) -> dict[str, float]:
        """CPU of one row or state."""
        return {name: used / self.done * 1e6 for name, used in self.cpu.items()}


class Ground:
    """The servers of a stack, emptied and filled by scripts.

    Args:
        stack: started.
        folder: for keys and reports.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._report = folder / "report.json"
        self._environment = {
            **os.environ,
            **stack.endpoints.environment(),
            **ensure_keys(folder / "keys"),
            "MODE": "local",
            "STREAM_NAME": "none",
            "STATE_DIR": str(folder / "state"),
        }
        subprocess.run([sys.executable, "-m", "worker", "migrate"], env=self._environment, check=True)

    def run(self, script: str, *arguments: str, counts: str) -> tuple[Round, dict[str, Any]]:
        """Run a script to its end; what it cost, and the figures of its report; `counts` names the count.

        Raises:
            RuntimeError: it failed, or one of its claims does not hold.
        """
        command = [sys.executable, "-m", f"scripts.{script}", *arguments, "--report", str(self._report)]
        before, begun = self._cpu(), time.monotonic()
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        whole = time.monotonic() - begun
        used = {name: seconds - before[name] for name, seconds in self._cpu().items()}
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        report = json.loads(self._report.read_bytes())
        figures: dict[str, Any] = report["figures"]
        return Round(figures[counts], report["seconds"], whole, used), figures

    def attempts(self) -> int:
        """How many attempts the ledger holds."""
        with psycopg.connect(self._stack.endpoints.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM attempts").fetchone()
        assert row is not None
        return int(row[0])

    def replace_redis(self) -> None:
        """A new server at the same address; one that is only flushed pays for a heap in pieces."""
        valkey = self._stack.valkey
        valkey.stop()
        shutil.rmtree(valkey.folder)
        valkey.start()

    def _cpu(self) -> dict[str, float]:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        servers = {"PostgreSQL": [self._stack.postgres.pid], "Valkey": [self._stack.valkey.pid]}
        return {SCRIPT: ended.ru_utime + ended.ru_stime, **cpu_seconds(servers)}
