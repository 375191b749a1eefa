"""When to checkpoint: a decision about times, apart from the act."""

import dataclasses
from datetime import datetime, timedelta

from worker.domain.position import Position


@dataclasses.dataclass(frozen=True)
class CheckpointPolicy:
    """At most one checkpoint every `interval`: each is a write to DynamoDB and one to PostgreSQL."""

    interval: timedelta = timedelta(seconds=3)

    def due(self, last: datetime | None, now: datetime) -> bool:
        """Whether a checkpoint may be made now, the last one having been made at `last`.

        A clock that was set back says nothing about how long ago that was, so one is due then: a checkpoint
        too many costs a write, none until the clock has caught up costs as long a redelivery.
        """
        return last is None or not timedelta(0) <= now - last < self.interval


class Nowhere:
    """The checkpointer of a job: its place is the floor in the ledger, and no lease is touched."""

    def checkpoint(self, position: Position) -> None:
        """There is nothing beside the floor."""
