"""Whether Kinesis itself is away, asked only when it matters.

A shard process that is given nothing cannot tell an outage of Kinesis from a daemon that stands still. The
answers differ: a restart mends the second, and during the first it makes a daemon that would go on by itself
into one that cannot even start.
"""

import threading
from collections.abc import Callable

from worker.domain.errors import StreamUnavailable

_CLOSE_SECONDS = 1.0


class StreamProbe:
    """Asks on a thread of its own, so that nothing waits for the answer.

    Args:
        ask: any call to the stream; raises StreamUnavailable where it does not answer.
        matters: whether somebody wants to know just now; from any thread.
        seconds: time between questions.
    """

    def __init__(self, ask: Callable[[], object], matters: Callable[[], bool], seconds: float) -> None:
        self._ask = ask
        self._matters = matters
        self._seconds = seconds
        self._away = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="stream-probe", daemon=True)

    @property
    def away(self) -> bool:
        """Whether the stream did not answer the last time; False where it does not matter."""
        return self._away

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the question at hand."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _serve(self) -> None:
        while not self._closing.wait(self._seconds):
            self._away = self._matters() and self._silent()

    def _silent(self) -> bool:
        try:
            self._ask()
        except StreamUnavailable:
            return True
        return False
