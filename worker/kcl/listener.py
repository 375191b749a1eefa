"""The supervisor's end of the heartbeat socket: who holds which shard, and when it was last heard."""

import contextlib
import dataclasses
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import msgspec

from worker.kcl.heartbeat import Beat, Status

_log = logging.getLogger(__name__)
_LARGEST = 1 << 18
_LONGEST_PATH = 108


@dataclasses.dataclass(frozen=True)
class Heard:
    """The last word of the process that holds a shard, and how it gets on.

    `at` in monotonic seconds; `read` counts the events read by this process, `age` is the iterator age of its
    last batch in seconds.
    """

    pid: int
    at: float
    status: Status
    detail: str
    read: float = 0.0
    age: float = 0.0


class Totals(Protocol):
    """Where the listener adds up what the shard processes count."""

    def add(self, beat: Beat) -> None:
        """Add a beat's deltas."""

    def forget(self, shard: str) -> None:
        """The shard is held no more: drop what describes its present state."""


@contextlib.contextmanager
def socket_folder(preferred: Path, name: str) -> Iterator[Path]:
    """Where a socket of this name can be bound: the preferred folder, unless the whole path is too long.

    Unix socket paths end at 108 bytes, and state folders of tests and home directories lie deep.
    """
    if len(os.fsencode(preferred / name)) < _LONGEST_PATH:
        yield preferred
        return
    with tempfile.TemporaryDirectory(prefix="edu-analytics-") as short:
        yield Path(short)


class HeartbeatListener:
    """The supervisor's end: who holds which shard, and when it was last heard.

    A shard is held from its process's first beat to its goodbye, or until the daemon has ended. `heard` may
    be read from any thread; all else belongs to the supervisor's.

    Args:
        path: where to bind; a socket left by a dead supervisor is replaced.
        totals: takes the deltas.
        clock: monotonic seconds, the same as the senders'.
        on_goodbye: told the shard that a process gave up in good order.

    Raises:
        OSError: the path is too long or not writable.
    """

    def __init__(
        self,
        path: Path,
        totals: Totals,
        clock: Callable[[], float] = time.monotonic,
        on_goodbye: Callable[[str], None] = lambda _shard: None,
    ) -> None:
        self._path = path
        self._totals = totals
        self._clock = clock
        self._on_goodbye = on_goodbye
        self._heard: Mapping[str, Heard] = {}
        self._decoder = msgspec.json.Decoder(Beat)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(path))
        except OSError:
            self._socket.close()
            raise

    @property
    def heard(self) -> Mapping[str, Heard]:
        """By held shard, the last beat of its process; a snapshot."""
        return MappingProxyType(self._heard)

    def fileno(self) -> int:
        """The socket, for a selector."""
        return self._socket.fileno()

    def receive(self) -> None:
        """Take every datagram that waits."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(self._socket.recv(_LARGEST))

    def forget_all(self) -> None:
        """The daemon and all its shard processes have ended."""
        for shard in self._heard:
            self._totals.forget(shard)
        self._heard = {}

    def close(self) -> None:
        """Unbind."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _take(self, datagram: bytes) -> None:
        try:
            beat = self._decoder.decode(datagram)
        except msgspec.DecodeError:
            _log.warning("heartbeat not understood", extra={"bytes": len(datagram)})
            return
        self._totals.add(beat)
        # replaced, never changed: the health threads read it without a lock
        others = {shard: heard for shard, heard in self._heard.items() if shard != beat.shard}
        known = self._heard.get(beat.shard)
        if beat.status != "goodbye":
            self._heard = {**others, beat.shard: self._word(beat, beat.status, known)}
        elif known is not None and known.pid == beat.pid:
            self._heard = others
            self._totals.forget(beat.shard)
            self._on_goodbye(beat.shard)

    def _word(self, beat: Beat, status: Status, known: Heard | None) -> Heard:
        before = known if known is not None and known.pid == beat.pid else Heard(beat.pid, 0.0, status, "")
        read = sum(value for name, _, value in beat.counters if name == "events_read_total")
        age = dict(beat.gauges).get("iterator_age_seconds", before.age)
        return Heard(beat.pid, min(beat.at, self._clock()), status, beat.detail, before.read + read, age)
