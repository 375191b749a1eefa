"""Whether the daemon that started this shard process still lives.

A shard process leaves when its input ends. While it waits for a server it reads no input, and the end of
everything around it would leave it waiting for ever.
"""

import os
from collections.abc import Callable

from worker.domain.errors import Fatal


class Parent:
    """The process that started this one.

    Args:
        ask: gives the parent's process id, which changes when the parent dies.
    """

    def __init__(self, ask: Callable[[], int] = os.getppid) -> None:
        self._ask = ask
        self._pid = ask()

    def must_live(self) -> None:
        """Go on only if there is somebody to answer to.

        Raises:
            Fatal: there is not; the next owner of the shard does what was being waited for.
        """
        if self._ask() != self._pid:
            msg = "the daemon of this shard process is gone"
            raise Fatal(msg)
