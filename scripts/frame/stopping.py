"""Ctrl-C and SIGTERM as a question that work asks at places from which it can be resumed.

Fargate stops a task by SIGTERM and kills it later; an operator presses Ctrl-C, and once more when the first
takes too long.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Whether somebody asked to stop; the second time work is broken off where it is."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether to end at the next place from which the work can be resumed."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask to stop, as a signal does."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks; whether somebody has."""
        return self._event.wait(max(0.0, seconds))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signals meanwhile; outside the main thread, which alone hears them, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [(number, signal.signal(number, self._heard)) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()
