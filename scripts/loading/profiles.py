"""When each event is due: a schedule fixed before the first is sent.

The load is open loop. A learner who submits does not wait for the system to be ready, so neither does the
schedule: whatever stands in the way of an event shows in its latency, which counts from its moment here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Knot = tuple[float, float]
"""A share of the time, and the share of the peak rate that is offered then; straight lines between them."""

PROFILES: Mapping[str, Sequence[Knot]] = {
    "steady": ((0, 1), (1, 1)),
    "ramp": ((0, 0.1), (0.8, 1), (1, 1)),
    # a quiet day, then everybody submits before the deadline and nobody after it
    "exam": ((0, 0.05), (0.3, 0.1), (0.7, 1), (0.85, 1), (0.87, 0.05), (1, 0.05)),
    "spike": ((0, 0.2), (0.45, 0.2), (0.46, 1), (0.56, 1), (0.57, 0.2), (1, 0.2)),
}

_STEPS = 100_000


class Schedule:
    """The moments of all events, in whole microseconds from the start, no two alike.

    Args:
        profile: the name of one of PROFILES.
        peak: events a second at its highest.
        seconds: how long it lasts.
    """

    def __init__(self, profile: str, peak: float, seconds: float) -> None:
        self.profile = profile
        self.peak = peak
        self.seconds = seconds
        at, rate = zip(*PROFILES[profile], strict=True)
        grid = np.linspace(0, 1, _STEPS + 1)
        rates = np.interp(grid, at, rate) * peak
        offered = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2) * seconds / _STEPS])
        count = max(1, int(offered[-1] + 1e-6))
        due = np.interp(np.arange(count), offered, grid * seconds * 1_000_000).astype(np.int64)
        # two events of one microsecond would be two gradings nobody can order
        numbers = np.arange(count, dtype=np.int64)
        self.due: npt.NDArray[np.int64] = np.maximum.accumulate(due - numbers) + numbers

    def __len__(self) -> int:
        return len(self.due)

    def due_by(self, seconds: float) -> int:
        """How many events are due so long after the start."""
        return int(np.searchsorted(self.due, int(seconds * 1_000_000), side="right"))

    def per_second(self) -> list[int]:
        """How many events are due in each second."""
        return [int(n) for n in np.bincount(self.due // 1_000_000)]
