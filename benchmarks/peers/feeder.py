"""The daemon's part of the conversation with a child: so that the child is measured, and Java is not.

It speaks what KCL's MultiLangDaemon speaks: one JSON message a line on the child's stdin, one in flight;
each is answered by a status on the child's stdout, and checkpoints in between are answered as the daemon
would.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from benchmarks.peers.events import Call
from worker.domain.position import Position

_END_SECONDS = 30.0
SHARD = "shardId-000000000000"


class ChildFailed(Exception):
    """The child ended, or answered what the daemon does not understand."""


class Checkpoints:
    """What the daemon keeps of a child's checkpoints."""

    def __init__(self) -> None:
        self.delivered = Position(-1, 0)
        self.kept: Position | None = None
        self.count = 0

    def take(self, sequence: str | None, sub_sequence: int | None) -> str | None:
        """Keep one, or the name of the error that the daemon answers; without a number the last delivered."""
        at = self.delivered if sequence is None else Position(int(sequence), sub_sequence or 0)
        if at > self.delivered or (self.kept is not None and at < self.kept):
            return "IllegalArgumentException"
        self.kept = at
        self.count += 1
        return None


class Feeder:
    """One child, fed; a context manager that leaves no process behind.

    Args:
        command: starts the child.
        environment: all that it sees.
        log: takes its stderr.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self.checkpoints = Checkpoints()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def begin(self) -> None:
        """Hand the shard over, from its beginning."""
        self._ask("initialize", {"shardId": SHARD, "sequenceNumber": "TRIM_HORIZON", "subSequenceNumber": 0})

    def feed(self, call: Call) -> None:
        """One call; returns with its status."""
        self.checkpoints.delivered = max(self.checkpoints.delivered, call.high)
        self._send(call.line)
        self._until_done("processRecords")

    def end(self) -> int:
        """Ask for the last checkpoint, take the lease, close; the child's exit code."""
        self._ask("shutdownRequested", {})
        self._ask("leaseLost", {})
        self._stdin.close()
        return self._child.wait(_END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._stdout.close()
        if not self._stdin.closed:
            with suppress(BrokenPipeError):  # of what a child did not read that has ended
                self._stdin.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._child.stdin is not None
        return self._child.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    def _ask(self, action: str, fields: Mapping[str, Any]) -> None:
        self._send(json.dumps({"action": action, **fields}).encode() + b"\n")
        self._until_done(action)

    def _send(self, line: bytes) -> None:
        try:
            self._stdin.write(line)
            self._stdin.flush()
        except BrokenPipeError:
            raise self._failed("does not read any more") from None

    def _until_done(self, action: str) -> None:
        while True:
            line = self._stdout.readline()
            if not line:
                raise self._failed(f"ended before it answered {action}")
            message = parsed(line)
            if message is None:
                continue
            if message["action"] == "checkpoint":
                at = message.get("sequenceNumber"), message.get("subSequenceNumber")
                answer = {"action": "checkpoint", "sequenceNumber": at[0], "subSequenceNumber": at[1]}
                self._send(json.dumps({**answer, "error": self.checkpoints.take(*at)}).encode() + b"\n")
            elif message["action"] == "status" and message.get("responseFor") == action:
                return
            else:
                raise self._failed(f"answered {action} with {line!r}")

    def _failed(self, what: str) -> ChildFailed:
        end = self._log.read_text(errors="replace").splitlines()[-12:]
        return ChildFailed("\n".join((f"the child {what}; the end of {self._log}:", *end)))


def parsed(line: bytes) -> dict[str, Any] | None:
    """A child's message; None for a line that the daemon skips, such as a stray print."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "action" in message else None
