"""How long to wait, as a value that is told the time; whoever waits stays alive and says why."""

import dataclasses
import random
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter, in seconds: a fleet that lost one database returns spread out."""

    initial: float = 0.1
    maximum: float = 5.0

    def delays(self, chance: random.Random) -> Iterator[float]:
        """Endless delays, each uniform between nothing and a bound that doubles up to the maximum."""
        bound = min(self.initial, self.maximum)
        while True:
            yield chance.uniform(0, bound)
            bound = min(bound * 2, self.maximum)
