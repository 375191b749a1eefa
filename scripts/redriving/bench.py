"""Everything that one run of a redrive holds, given back at its end."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.frame.patience import Patience
from scripts.frame.script import Run
from scripts.jobs.tally import Tally
from worker import wiring, wiring_jobs
from worker.letters import DeadLetters
from worker.settings import Settings
from worker.stream.pipeline import World
from worker.stream.redriving import Judge
from worker.stream.waiting import Waiting


@dataclasses.dataclass(frozen=True)
class Bench:
    """The ports of one run, and how it waits for them."""

    run: Run
    settings: Settings
    world: World
    letters: DeadLetters
    judge: Judge
    waiting: Waiting
    patience: Patience


@contextmanager
def opened(run: Run) -> Iterator[Bench]:
    """A bench over the servers of the environment."""
    settings = run.settings()
    patience = Patience(run.stopping, run.show)
    world = wiring_jobs.world(settings, Tally(), patience)
    letters, registers = wiring_jobs.letters(settings), wiring_jobs.registers(settings)
    judge = Judge(wiring.vault(settings), wiring_jobs.decoder(settings), registers)
    waiting = Waiting(world, wiring.policy(settings))
    try:
        yield Bench(run, settings, world, letters, judge, waiting, patience)
    finally:
        letters.close()
        registers.close()
        world.ledger.close()
        world.projection.close()
