"""When to checkpoint: a decision about times, apart from the act."""

import dataclasses
from datetime import datetime, timedelta


@dataclasses.dataclass(frozen=True)
class CheckpointPolicy:
    """At most one checkpoint every `interval`: each is a write to DynamoDB and one to PostgreSQL."""

    interval: timedelta = timedelta(seconds=3)

    def due(self, last: datetime | None, now: datetime) -> bool:
        """Whether a checkpoint may be made now, the last one having been made at `last`."""
        return last is None or now - last >= self.interval
