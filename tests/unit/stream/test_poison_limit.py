"""A flood of poison halts the shard: nothing of the flood is committed, and a restart does not forget it."""

import pytest

from tests.conftest import score_event
from tests.doubles import Scene, garbage, record
from worker.batch import Record
from worker.domain.accounting import Outcome
from worker.domain.poison import PoisonLimit
from worker.stream.pipeline import Pipeline, Policy

LIMIT = PoisonLimit(share=0.05, window=100, streak=4)


class Halted(Exception):
    """The test's way out of a halt, which has none."""


@pytest.fixture
def scene() -> Scene:
    return Scene(Policy(poison=LIMIT))


def halts(scene: Scene, records: list[Record], pipeline: Pipeline | None = None) -> bool:
    """Whether the pipeline waits over these records, and for a person."""
    scene.time.then(1, _leave)
    with pytest.raises(Halted):
        (pipeline or scene.pipeline()).process(records)
    return scene.time.reasons[-1] == "PoisonFlood"


def _leave() -> None:
    raise Halted


def test_a_streak_halts_before_it_is_committed(scene: Scene) -> None:
    pipeline = scene.pipeline()
    pipeline.process([record(score_event(attempt=1), sequence=1), garbage(2), garbage(3)])
    flood = [garbage(4), garbage(5), record(score_event(attempt=2), sequence=6)]
    assert halts(scene, flood, pipeline)
    accounting = scene.ledger.progress()["shard"].accounting
    assert accounting[Outcome.DEAD_LETTERED] == 2
    assert accounting.read == 3
    assert scene.metrics.gauges["halted"] == 1


def test_a_restart_remembers_the_streak(scene: Scene) -> None:
    scene.pipeline().process([garbage(n) for n in range(1, 4)])
    assert halts(scene, [garbage(4)])


def test_after_the_fix_the_same_records_go_through(scene: Scene) -> None:
    scene.pipeline().process([garbage(n) for n in range(1, 4)])
    flood = [garbage(4), garbage(5), record(score_event(), sequence=6)]
    assert halts(scene, flood)
    scene.policy = Policy(poison=LIMIT._replace(share=1.0, streak=100))
    scene.pipeline().process(flood)
    accounting = scene.ledger.progress()["shard"].accounting
    assert accounting.closes
    assert (accounting[Outcome.DEAD_LETTERED], accounting[Outcome.APPLIED]) == (5, 1)


def test_the_share_halts_too(scene: Scene) -> None:
    pipeline = scene.pipeline()
    for sequence in range(1, 11, 2):
        pipeline.process([garbage(sequence), record(score_event(attempt=sequence), sequence=sequence + 1)])
    assert halts(scene, [garbage(11)], pipeline)
