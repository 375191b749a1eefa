"""Kinesis, DynamoDB and the other AWS services on this machine: moto behind granian.

moto's own server speaks HTTP/1.1 only, and KCL opens HTTP/2 with prior knowledge even on plain http://.
granian answers both. One worker process with one thread, because moto's state lives in its memory.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from worker.local.cloud import aws_client
from worker.local.process import CLEAN_ENVIRONMENT, ServerProcess, packaged_file
from worker.local.recording import VARIABLE
from worker.local.refusals import order

_OPTIONS = "--interface wsgi --http auto --no-ws --workers 1 --blocking-threads 1 --workers-kill-timeout 1s"


class Emulator:
    """The AWS services at `url`. A restart keeps the port and nothing else: make stream and tables anew."""

    def __init__(self, folder: Path, log: Path, *, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._process = ServerProcess("The AWS emulator", log)
        self._clients: list[Any] = []

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while it is stopped."""
        return self._process.pid

    def start(self) -> None:
        """Starts the emulator and returns when both services answer; nothing happens if it runs."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """The first half of start(): it takes a second, in which another server can start."""
        if self._process.running:
            return
        packaged_file("moto", "server.py")
        packaged_file("granian", "__main__.py")
        self._folder.mkdir(parents=True, exist_ok=True)
        order(self._folder, {})
        where = ["--host", "127.0.0.1", "--port", str(self._port), "worker.local.emulator_app:app"]
        # It must be able to import what we can, however this process came by its import path.
        importable = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        self._process.launch(
            [sys.executable, "-m", "granian", *_OPTIONS.split(), *where],
            directory=self._folder,
            environment={**CLEAN_ENVIRONMENT, "PYTHONPATH": importable, **_recording()},
        )

    def wait_until_ready(self) -> None:
        """The second half of start()."""
        self._process.wait_until(self._answers, seconds=60)

    def refuse(self, shares: Mapping[str, float]) -> None:
        """Throttle these shares (0 to 1) of the calls to `kinesis` and `dynamodb`; {} ends it."""
        order(self._folder, shares)

    def stop(self) -> None:
        self._process.stop(grace=5)

    def kill(self) -> None:
        """Ends the emulator as a crash would."""
        self._process.kill()

    def _answers(self) -> bool:
        if not self._clients:
            self._clients = [aws_client(service, self.url, attempts=1) for service in ("kinesis", "dynamodb")]
        kinesis, dynamodb = self._clients
        try:
            kinesis.list_streams(Limit=1)
            dynamodb.list_tables(Limit=1)
        except (BotoCoreError, ClientError):
            return False
        return True


def _recording() -> dict[str, str]:
    asked = os.environ.get(VARIABLE)
    return {VARIABLE: str(Path(asked).absolute())} if asked else {}
