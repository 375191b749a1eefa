"""A lean HTTP load: requests made beforehand, sent at fixed times over connections that stay open.

Open loop: a request is due whether or not earlier ones were answered, and its latency counts from when it was
due. It runs in a process of its own, so that its CPU is told apart from the service's.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import uvloop


class Plan(msgspec.Struct):
    """What to send: whole requests, taken in turn; how many a second and for how long.

    `per_second` 0 sends the next as soon as an answer is there, on every connection.
    """

    host: str
    port: int
    requests: list[bytes]
    connections: int
    per_second: float
    seconds: float


class Outcome(msgspec.Struct):
    """Latencies in seconds, ascending; answers by status; the load's own CPU in seconds."""

    latencies: list[float]
    statuses: dict[str, int]
    cpu_seconds: float
    wall_seconds: float

    def quantile(self, share: float) -> float:
        """The latency that this share of requests does not exceed."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


class Ask(Protocol):
    """Sends one request that is due at a moment."""

    async def __call__(self, request: bytes, due: float) -> None: ...


class _Line(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def run(plan: Plan) -> Outcome:
    """Carry out a plan."""
    lines: asyncio.Queue[_Line] = asyncio.Queue()
    for _ in range(plan.connections):
        lines.put_nowait(_Line(*await asyncio.open_connection(plan.host, plan.port)))
    latencies: list[float] = []
    statuses: dict[str, int] = {}

    async def ask(request: bytes, due: float) -> None:
        line = await lines.get()
        line.writer.write(request)
        status = await _answer(line.reader)
        lines.put_nowait(line)
        latencies.append(time.perf_counter() - due)
        statuses[status] = statuses.get(status, 0) + 1

    begun = time.perf_counter()
    if plan.per_second:
        await _paced(plan, begun, ask)
    else:
        await _as_fast_as_answered(plan, begun, ask)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - begun
    return Outcome(sorted(latencies), statuses, usage.ru_utime + usage.ru_stime, wall)


async def _paced(plan: Plan, begun: float, ask: Ask) -> None:
    pending: set[asyncio.Task[None]] = set()
    for number in range(int(plan.per_second * plan.seconds)):
        due = begun + number / plan.per_second
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(ask(plan.requests[number % len(plan.requests)], due))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)


async def _as_fast_as_answered(plan: Plan, begun: float, ask: Ask) -> None:
    async def one(offset: int) -> None:
        number = offset
        while time.perf_counter() - begun < plan.seconds:
            await ask(plan.requests[number % len(plan.requests)], time.perf_counter())
            number += plan.connections

    await asyncio.gather(*map(one, range(plan.connections)))


async def _answer(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length:
        await reader.readexactly(length)
    return head.split(b" ", 2)[1].decode()


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One whole HTTP/1.1 request."""
    told = {"Host": "localhost", **headers}
    if body:
        told["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def main(argv: Sequence[str] | None = None) -> int:
    """Read a plan from stdin, write the outcome to stdout."""
    del argv
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.msgpack.encode(uvloop.run(run(plan))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
