"""What a pipeline is given: its ports, and when it does what it need not do at once.

Apart from the pipeline, because waiting and healing are given the same.
"""

import dataclasses
import random
from collections.abc import Callable
from datetime import timedelta

from worker.domain.poison import PoisonLimit
from worker.ports import Clock, Ledger, Metrics, Pause, Projection
from worker.stream.checkpointing import CheckpointPolicy
from worker.stream.decoding import Limits
from worker.stream.retrying import Backoff


@dataclasses.dataclass(frozen=True)
class Policy:
    """When the pipeline does what it need not do at once; durations, told the time by the clock."""

    limits: Limits = dataclasses.field(default_factory=Limits)
    checkpoint: CheckpointPolicy = dataclasses.field(default_factory=CheckpointPolicy)
    guard_every: timedelta = timedelta(seconds=5)
    redis_patience: timedelta = timedelta(seconds=30)
    backoff: Backoff = dataclasses.field(default_factory=Backoff)
    poison: PoisonLimit = dataclasses.field(default_factory=PoisonLimit)


@dataclasses.dataclass(frozen=True)
class World:
    """The ports of one pipeline; `alive` is told after every batch and page, however long a call takes."""

    ledger: Ledger
    projection: Projection
    metrics: Metrics
    now: Clock
    pause: Pause
    alive: Callable[[], None] = lambda: None
    chance: random.Random = dataclasses.field(default_factory=random.Random)
