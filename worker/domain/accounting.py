"""Every event read ends in exactly one outcome; the sum is a metric and is asserted wherever it is shown."""

import dataclasses
import enum
from collections.abc import Mapping


class Outcome(enum.StrEnum):
    """What became of one event."""

    APPLIED = "applied"
    REVISED = "revised"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REDELIVERED = "redelivered"
    ERASED = "erased"
    DEAD_LETTERED = "dead_lettered"


@dataclasses.dataclass(frozen=True)
class Accounting:
    """Counts of events: how many were read, and how each of them ended."""

    read: int = 0
    outcomes: Mapping[Outcome, int] = dataclasses.field(default_factory=dict)

    @property
    def accounted(self) -> int:
        return sum(self.outcomes.values())

    @property
    def closes(self) -> bool:
        """Whether every event read has exactly one outcome."""
        return self.read == self.accounted

    def __getitem__(self, outcome: Outcome) -> int:
        return self.outcomes.get(outcome, 0)

    def __add__(self, other: "Accounting") -> "Accounting":
        return Accounting(self.read + other.read, {o: self[o] + other[o] for o in Outcome})

    def __sub__(self, other: "Accounting") -> "Accounting":
        return Accounting(self.read - other.read, {o: self[o] - other[o] for o in Outcome})
