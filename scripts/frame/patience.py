"""How a script waits: through any outage, but never longer than its operator wants.

A shard process halts for good on a flood of poison and waits for ever on an outage, because a fleet watches
it. A script has one operator, who is told once about each kind of trouble, and who can run it again.
"""

import random
from collections.abc import Callable
from typing import TypeVar

from scripts.frame.script import Refused, Run
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from worker.domain.errors import PoisonFlood, Unavailable
from worker.stream.replaying import Resting
from worker.stream.retrying import Backoff

T = TypeVar("T")


def patiently(run: Run, step: Callable[[], T]) -> T:
    """Repeat a step until its server answers.

    Raises:
        KeyboardInterrupt: somebody asked to stop meanwhile.
    """
    delays, patience = Backoff().delays(random.Random()), Patience(run.stopping, run.show)
    while True:
        try:
            return step()
        except Unavailable as outage:
            patience(next(delays), outage)


class Patience:
    """The pause of a job's pipeline.

    Args:
        stopping: whether the operator has asked to stop.
        show: told once about each kind of trouble.
    """

    def __init__(self, stopping: Stopping, show: Show) -> None:
        self._stopping = stopping
        self._show = show
        self._told: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None
        """What is done after each wait."""

    def __call__(self, seconds: float, because: Exception) -> None:
        """Wait.

        Raises:
            KeyboardInterrupt: the operator has asked to stop; what is unfinished is done by the next run.
            Refused: too much of what the job sends is poison.
        """
        if isinstance(because, PoisonFlood):
            msg = (
                f"too much of this cannot be decoded ({because}); what came before is done. Mend the decoder,"
                " or raise POISON_SHARE and POISON_STREAK, and run the same command again"
            )
            raise Refused(msg)
        if isinstance(because, Resting):
            self._stopping.wait(seconds)
            return
        if type(because).__name__ not in self._told:
            self._told.add(type(because).__name__)
            self._show.say(f"waiting: {str(because) or type(because).__doc__}")
        if self._stopping.wait(seconds):
            raise KeyboardInterrupt
        self.meanwhile()
