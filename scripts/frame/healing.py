"""Redis made to follow the ledger's deletions, where a run died between the two or Redis went back."""

import random

from scripts.frame.patience import patiently
from scripts.frame.script import Run
from worker.ports import Ledger, Projection
from worker.stream.deleting import behind, heal


def heal_deletions(run: Run, ledger: Ledger, projection: Projection) -> None:
    """Sweep until no deletion is behind; another process may do it instead.

    Raises:
        KeyboardInterrupt: somebody asked to stop meanwhile.
    """
    if not patiently(run, lambda: behind(ledger, projection)):
        return
    run.show.say("Redis is behind the deletions: sweeping, which the workers do too")
    chance = random.Random()
    with run.show.progress("pages swept", None) as advance:
        while not patiently(run, lambda: heal(ledger, projection, lambda: advance(1))):
            if run.stopping.wait(chance.uniform(0.1, 1.0)):
                raise KeyboardInterrupt
