"""Waiting out an outage in a script: as long as it lasts, but never longer than the operator wants."""

import random
from collections.abc import Callable
from typing import TypeVar

from scripts.frame.script import Run
from worker.domain.errors import Unavailable
from worker.stream.retrying import Backoff

T = TypeVar("T")


def patiently(run: Run, step: Callable[[], T]) -> T:
    """Repeat a step until its server answers.

    Raises:
        KeyboardInterrupt: somebody asked to stop meanwhile.
    """
    delays = Backoff().delays(random.Random())
    told = False
    while True:
        try:
            return step()
        except Unavailable as outage:
            if not told:
                run.show.say(f"waiting: {str(outage) or type(outage).__name__}")
                told = True
            if run.stopping.wait(next(delays)):
                raise KeyboardInterrupt from None
