"""The daemon's messages as kclpy reads them, with a word to the supervisor while none comes.

KCL calls a shard process several times a second, but not once while Kinesis is away, and then silence is no
sign of a fault in the process. So whoever waits for the next message says every few seconds that it waits. It
is the main thread itself that does, between two looks at the pipe: a process that hangs in a call cannot.
"""

import os
import select
from collections.abc import Callable

IDLE_SECONDS = 10.0
"""A third of the silence after which a shard counts as stuck; with enhanced fan-out KCL calls every 5 s."""
_CHUNK = 1 << 16


class Inbox:
    """A pipe read line by line.

    Args:
        descriptor: the pipe; nobody else may read it.
        idle: called again and again while no message comes.
        idle_seconds: how often.
    """

    def __init__(self, descriptor: int, idle: Callable[[], None], idle_seconds: float = IDLE_SECONDS) -> None:
        self._descriptor = descriptor
        self._idle = idle
        self._millis = round(idle_seconds * 1000)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._waiting = bytearray()

    def readline(self) -> str:
        """The next line with its end; "" once the daemon has closed the pipe."""
        searched = 0
        while (end := self._waiting.find(b"\n", searched) + 1) == 0:
            searched = len(self._waiting)
            if not self._poll.poll(self._millis):
                self._idle()
                continue
            chunk = os.read(self._descriptor, _CHUNK)
            if not chunk:
                end = len(self._waiting)
                break
            self._waiting += chunk
        line = self._waiting[:end].decode("utf-8", "surrogateescape")
        del self._waiting[:end]
        return line
