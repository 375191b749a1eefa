"""What a shard process imports before it can take a record, and how long that takes.

A process of its own goes the way of `python -m worker shard` up to the finished processor; serving the daemon
is replaced by nothing, so that neither a daemon nor a server is needed. Nothing else is touched: whoever adds
an import to that way finds it here.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WAY = """
import time
begun = time.perf_counter()
from worker.cli import main
from worker.kcl import shard, warming
shard.run = lambda processor: 0
warming.Warming = lambda make: make()
code = main(["shard"])
print(code, time.perf_counter() - begun, time.process_time())
"""
_SETTINGS = {
    "MODE": "local",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "IDENTITY_KEYS_FILE": "/nothing",
    "DEAD_LETTER_KEY_FILE": "/nothing",
}
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)$")


class Took(NamedTuple):
    """Of one start: seconds of the imports, and seconds of CPU, those of the interpreter included."""

    seconds: float
    cpu_seconds: float


class Import(NamedTuple):
    """One module: milliseconds of it alone, and with everything that it was the first to import."""

    name: str
    alone_ms: float
    with_its_own_ms: float


def once() -> Took:
    """One start of a process, its imports timed."""
    code, seconds, cpu = _run().stdout.split()
    if code != "0":
        raise RuntimeError(f"the way of a shard process ends with {code}")
    return Took(float(seconds), float(cpu))


def interpreter() -> float:
    """Seconds of CPU that Python takes to do nothing."""
    done = subprocess.run(
        [sys.executable, "-c", "import time; print(time.process_time())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def listed() -> list[Import]:
    """Every import on the way, by Python's own account, which itself takes some time."""
    return parsed(_run("-X", "importtime").stderr)


def parsed(text: str) -> list[Import]:
    """The lines of `-X importtime`."""
    found = (_LINE.match(line) for line in text.splitlines())
    return [
        Import(one[4], round(int(one[1]) / 1_000, 2), round(int(one[2]) / 1_000, 2)) for one in found if one
    ]


def slowest(imports: Sequence[Import], count: int) -> Mapping[str, float]:
    """The distributions and own packages that take longest, in milliseconds of their own modules."""
    totals: dict[str, float] = {}
    for one in imports:
        root = one.name.split(".")[0]
        totals[root] = totals.get(root, 0.0) + one.alone_ms
    largest = sorted(totals.items(), key=lambda item: -item[1])[:count]
    return {name: round(took, 1) for name, took in largest}


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, *options, "-c", _WAY],
        env={**kept, **_SETTINGS},
        capture_output=True,
        text=True,
        check=True,
    )
