"""The limit on dead-lettering: a bad deploy must halt a shard, not empty the stream into the dead letters.

The window over the last events is kept in the ledger beside the progress of its source, so that a restart,
which is what a crash loop does all day, does not forget it.
"""

from collections.abc import Sequence
from typing import NamedTuple

_BUCKETS = 20


class PoisonLimit(NamedTuple):
    """When to halt: more than `share` of the last `window` events, or `streak` in a row."""

    share: float = 0.05
    window: int = 10_000
    streak: int = 500


class PoisonWindow(NamedTuple):
    """How the last events of a source ended: (events, poison) per bucket, and the streak at the end.

    A bucket takes at least a twentieth of the limit's window, so the value stays a few dozen numbers however
    small the batches are; the window is therefore exact to one bucket.
    """

    buckets: tuple[tuple[int, int], ...] = ()
    streak: int = 0

    @property
    def poison(self) -> int:
        """Poisoned events in the window."""
        return sum(poison for _, poison in self.buckets)

    def after(self, poisoned: Sequence[bool], limit: PoisonLimit) -> tuple["PoisonWindow", bool]:
        """The window after these events in their order, and whether the limit is passed."""
        streak = longest = self.streak
        for bad in poisoned:
            streak = streak + 1 if bad else 0
            longest = max(longest, streak)
        buckets = list(self.buckets)
        if buckets and buckets[-1][0] < limit.window // _BUCKETS:
            events, poison = buckets.pop()
        else:
            events = poison = 0
        buckets.append((events + len(poisoned), poison + sum(poisoned)))
        while sum(events for events, _ in buckets[1:]) >= limit.window:
            del buckets[0]
        window = PoisonWindow(tuple(buckets), streak)
        return window, window.poison > limit.share * limit.window or longest >= limit.streak
