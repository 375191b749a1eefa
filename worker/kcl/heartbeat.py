"""How a shard process tells the supervisor that it lives, what it waits for, and what it counted.

One Unix datagram per beat: message borders come free, a dead supervisor cannot block a shard, and a shard
that dies mid-write leaves nothing half-read. Counters travel as deltas and are cleared only when the kernel
took the datagram, so a full queue or a missing supervisor delays them and loses none. Every shard process
loads this module: it imports nothing heavy. The other end is `listener.py`.
"""

import contextlib
import dataclasses
import errno
import os
import signal
import socket
import struct
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from worker.metrics import HISTOGRAMS, CounterName, GaugeName, HistogramName

_LONGEST_DETAIL = 200
_GOODBYE_MICROSECONDS = 500_000

LEAVE = signal.SIGUSR1
"""The only word in the other direction: the supervisor asks a shard process to checkpoint and say goodbye."""

Status: TypeAlias = Literal["working", "idle", "waiting", "halted"]
_Word: TypeAlias = Literal["working", "idle", "waiting", "halted", "goodbye"]
_Labels: TypeAlias = tuple[tuple[str, str], ...]


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """One datagram: who speaks, how it fares, and what was counted since the last one.

    `at` is the machine's monotonic time in seconds, so that a beat that lay in the queue is not taken for
    fresh. A histogram carries the observations per bucket (not cumulative, the last one open) and their sum.
    """

    shard: str
    pid: int
    at: float
    status: _Word
    detail: str = ""
    counters: list[tuple[str, dict[str, str], float]] = []
    gauges: list[tuple[str, float]] = []
    histograms: list[tuple[str, dict[str, str], list[int], float]] = []


@dataclasses.dataclass
class Tally:
    """What was counted and not yet sent; its size depends on the names and labels, not on how often."""

    counters: dict[tuple[str, _Labels], float] = dataclasses.field(default_factory=dict)
    gauges: dict[str, float] = dataclasses.field(default_factory=dict)
    buckets: dict[tuple[str, _Labels], list[int]] = dataclasses.field(default_factory=dict)
    sums: dict[tuple[str, _Labels], float] = dataclasses.field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything, once it was handed over."""
        for kind in (self.counters, self.gauges, self.buckets, self.sums):
            kind.clear()


class HeartbeatSender:
    """The shard process's end; also its `Metrics` port. Safe to use from several threads.

    Args:
        path: the supervisor's socket; None counts in memory only.
        shard_id: the shard this process owns.
        clock: monotonic seconds, comparable between processes of the machine.
    """

    def __init__(self, path: str | None, shard_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.tally = Tally()
        self._path = path
        self._shard = shard_id
        self._clock = clock
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        patience = struct.pack("@ll", 0, _GOODBYE_MICROSECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:
        """Add to a counter."""
        series = (name, _sorted(labels))
        with self._lock:
            self.tally.counters[series] = self.tally.counters.get(series, 0) + value

    def gauge(self, name: GaugeName, value: float) -> None:
        """Set a gauge; the last value wins."""
        with self._lock:
            self.tally.gauges[name] = value

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        series = (name, _sorted(labels))
        bounds = HISTOGRAMS[name].buckets
        with self._lock:
            counts = self.tally.buckets.setdefault(series, [0] * (len(bounds) + 1))
            counts[bisect_left(bounds, value)] += 1
            self.tally.sums[series] = self.tally.sums.get(series, 0) + value

    def beat(self, status: Status, detail: str = "") -> None:
        """Tell the supervisor; never blocks and never raises.

        Args:
            status: `waiting` for a dependency, `halted` for a person, `idle` when the daemon asks nothing,
                else `working`.
            detail: why, in words without any value of a record.
        """
        self._send(status, detail, socket.MSG_DONTWAIT)

    def goodbye(self) -> None:
        """Say that this process gives the shard up in good order; waits at most half a second for room.

        It is worth that wait: a shard whose goodbye is lost counts as held, and soon as silent.
        """
        self._send("goodbye", "", 0)

    def close(self) -> None:
        """Give the socket back; what is counted afterwards stays in memory."""
        self._socket.close()

    def _send(self, status: _Word, detail: str, flags: int) -> None:
        if self._path is None:
            return
        # a lone surrogate in somebody's error text must not cost the beat
        words = detail[:_LONGEST_DETAIL].encode("utf-8", "replace").decode()
        head = Beat(self._shard, os.getpid(), self._clock(), status, words)
        with self._lock, contextlib.suppress(OSError):
            try:
                self._socket.sendto(msgspec.json.encode(_loaded(head, self.tally)), flags, self._path)
            except OSError as error:
                # EMSGSIZE: a beat without its counters is still a beat
                if error.errno != errno.EMSGSIZE:
                    raise
                self._socket.sendto(msgspec.json.encode(head), flags, self._path)
            else:
                self.tally.clear()


def _sorted(labels: Mapping[str, str]) -> _Labels:
    return tuple(sorted(labels.items()))


def _loaded(head: Beat, tally: Tally) -> Beat:
    return msgspec.structs.replace(
        head,
        counters=[(name, dict(labels), value) for (name, labels), value in tally.counters.items()],
        gauges=list(tally.gauges.items()),
        histograms=[
            (name, dict(labels), counts, tally.sums[name, labels])
            for (name, labels), counts in tally.buckets.items()
        ],
    )
