"""What a stretch of work costs: the time it took, and the CPU of whoever took part."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from scripts.loading.machine import cpu_seconds


class Cost(msgspec.Struct, frozen=True):
    """So many events in so many seconds; CPU in microseconds an event."""

    events: int
    seconds: float
    process_us: float
    postgresql_us: float
    valkey_us: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def per_cpu(self) -> float:
        """Events a second of the process's own CPU."""
        return 1e6 / self.process_us

    @property
    def all_us(self) -> float:
        """CPU an event of process and servers."""
        return self.process_us + self.postgresql_us + self.valkey_us


class Look(NamedTuple):
    """The clock and the CPU used so far."""

    at: float
    cpu: Mapping[str, float]


class Meter:
    """Reads the CPU of one process and of the servers.

    Args:
        process: its id; its children count as well.
        postgres: the id of the postmaster.
        valkey: the id of the server.
    """

    def __init__(self, process: int, postgres: int | None, valkey: int | None) -> None:
        self._roots: dict[str, list[int | None]] = {
            "process": [process],
            "postgresql": [postgres],
            "valkey": [valkey],
        }

    def look(self) -> Look:
        """Now."""
        return Look(time.perf_counter(), cpu_seconds(self._roots))


def cost(before: Look, after: Look, events: int) -> Cost:
    """Of what lay between two looks."""
    used = {part: (after.cpu[part] - before.cpu.get(part, 0.0)) * 1e6 / events for part in after.cpu}
    return Cost(events, after.at - before.at, used["process"], used["postgresql"], used["valkey"])
