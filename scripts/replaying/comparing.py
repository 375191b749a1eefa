"""What a replay would change, told and not done."""

from collections import defaultdict
from contextlib import closing
from functools import partial

from scripts.frame.script import Run
from scripts.jobs.differing import tell
from scripts.replaying.course import Course, seconds
from worker import wiring, wiring_jobs
from worker.batch import Batch
from worker.domain.poison import PoisonLimit, PoisonWindow
from worker.settings import Settings
from worker.stream.decoding import batches
from worker.stream.difference import Difference
from worker.stream.failures import poisoned
from worker.stream.pipeline import World
from worker.stream.replaying import Replay
from worker.stream.waiting import Waiting

_LARGEST = 10


def compare(run: Run, settings: Settings, world: World, replay: Replay) -> None:
    """Hold the range against the ledger and report the difference."""
    policy = wiring.policy(settings)
    waiting, decoder = Waiting(world, policy), wiring_jobs.decoder(settings)
    flood = _Flood(policy.poison)
    with closing(wiring_jobs.registers(settings)) as registers:
        difference = Difference(registers)
        with run.show.progress("seconds of shards", seconds(replay.span) * len(replay.shards)) as advance:
            course = Course(replay.span, advance)
            for turn in replay.turns():
                if run.stopping.asked:
                    return
                for batch in batches(turn.shard_id, turn.records, decoder, policy.limits):
                    flood.take(batch)
                    waiting.until_ledger(partial(difference.take, batch.events, batch.dead_letters))
                course.take(turn)
        with run.show.progress("states compared", difference.states) as advance:
            found = waiting.until_ledger(lambda: difference.conclude(wiring.now(), _LARGEST, advance))
    tell(run, found)
    run.report.verdict(
        "no shard has more that cannot be decoded than a run bears",
        good=not flood.ends,
        detail=", ".join(flood.ends),
    )


class _Flood:
    """Where a run would end, because too much of what it reads is poison; its limit is a live shard's."""

    def __init__(self, limit: PoisonLimit) -> None:
        self._limit = limit
        self._windows: defaultdict[str, PoisonWindow] = defaultdict(PoisonWindow)
        self.ends: dict[str, None] = {}
        """The shards at which it would, in the order of reading."""

    def take(self, batch: Batch) -> None:
        """One more batch of a shard, which is its source."""
        window, too_much = self._windows[batch.source].after(poisoned(batch), self._limit)
        self._windows[batch.source] = window
        if too_much:
            self.ends[batch.source] = None
