"""What the first process of a container owes the others: it takes signals, and it sees the dead off.

A parent that dies leaves its children to the nearest subreaper. As one, the supervisor inherits every process
the daemon leaves behind, on a laptop as in a container, and can wait until the last of them is gone.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

_log = logging.getLogger(__name__)
_SET_CHILD_SUBREAPER = 36


class Signals:
    """SIGTERM and SIGINT as the flag `stop`; these and SIGCHLD as bytes for which a selector wakes.

    A handler that set a `threading.Event` could deadlock with the very wait it interrupts. A context manager,
    for the main thread only.
    """

    def __init__(self) -> None:
        self.stop = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """The socket, for a selector."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Wake the selector; from any thread."""
        # full is as good as written, and after the end nobody waits
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def drain(self) -> None:
        """Take the bytes that woke the selector."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def __enter__(self) -> Self:
        self._old_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old_handlers = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's signature
        if number != signal.SIGCHLD:
            self.stop = True


def gone(pid: int) -> bool:
    """Whether a process has ended, collected by its parent or not (Linux; elsewhere nobody is gone)."""
    if sys.platform != "linux":
        return False
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    # the name before the state may hold anything, a bracket too
    return told.rpartition(")")[2].split()[0] in ("Z", "X")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, so that `reap` can collect them (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - only here and only on Linux

    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        _log.warning("orphans cannot be adopted", extra={"errno": ctypes.get_errno()})


def reap(group: int | None = None, keep: int | None = None) -> None:
    """Collect children that have ended: those of a process group, or, without one, all.

    Args:
        group: a process group.
        keep: a child for whose exit code somebody else waits; who ended after it is collected the next time.
    """
    if sys.platform != "linux":
        return
    kind, number = (os.P_ALL, 0) if group is None else (os.P_PGID, group)
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == keep:
                return
            os.waitpid(ended.si_pid, 0)
