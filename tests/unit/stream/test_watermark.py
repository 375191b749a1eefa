"""What readers are told of a source's age is never younger than the truth."""

from datetime import timedelta

import pytest

from tests.conftest import NOW, score_event
from tests.doubles import Scene, record
from worker.domain.errors import ProjectionUnavailable
from worker.stream.watermark import EVERY, FETCHED_AHEAD

SOON = timedelta(seconds=0.1)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_records_move_it_to_the_arrival_of_the_last(scene: Scene) -> None:
    pipeline = scene.pipeline()
    arrivals = [NOW - timedelta(seconds=9), NOW - timedelta(seconds=4)]
    events = [score_event(attempt=n) for n in range(2)]
    pipeline.process(
        [record(e, sequence=n, arrived_at=at) for n, (e, at) in enumerate(zip(events, arrivals, strict=True))]
    )
    assert scene.projection.watermarks() == {"shard": arrivals[-1]}


def test_an_empty_tip_counts_from_the_start_of_a_call_that_was_before_its_fetch(scene: Scene) -> None:
    pipeline = scene.pipeline()
    for _ in range(FETCHED_AHEAD - 1):
        pipeline.process([], at_tip=True)
        scene.time.pass_by(1)
    assert scene.projection.watermarks() == {}
    pipeline.process([], at_tip=True)
    assert scene.projection.watermarks() == {"shard": NOW}
    scene.time.pass_by(1)
    pipeline.process([], at_tip=True)
    assert scene.projection.watermarks() == {"shard": NOW + timedelta(seconds=1)}


def test_an_empty_batch_behind_the_tip_says_nothing(scene: Scene) -> None:
    pipeline = scene.pipeline()
    for _ in range(9):
        pipeline.process([], at_tip=False)
    assert scene.projection.watermarks() == {}


def test_it_moves_at_most_twice_a_second_and_a_clock_set_back_does_not_stop_it(scene: Scene) -> None:
    pipeline = scene.pipeline()

    def deliver(sequence: int) -> object:
        pipeline.process(
            [record(score_event(attempt=sequence), sequence=sequence, arrived_at=scene.time.now())]
        )
        return scene.projection.watermarks()["shard"]

    assert deliver(1) == NOW
    scene.time.pass_by(SOON.total_seconds())
    assert deliver(2) == NOW
    scene.time.pass_by(EVERY.total_seconds())
    assert deliver(3) == NOW + SOON + EVERY
    scene.time.pass_by(-60)
    assert deliver(4) == scene.time.now()


def test_it_stands_still_while_commits_go_on_without_redis(scene: Scene) -> None:
    pipeline = scene.pipeline()
    pipeline.process([record(score_event(attempt=1))])
    scene.time.pass_by(1)
    scene.projection.away = True
    pipeline.process([record(score_event(attempt=2), sequence=2, arrived_at=NOW + SOON)])
    scene.projection.away = False
    assert scene.projection.watermarks() == {"shard": NOW}


def test_an_outage_while_it_is_told_harms_nothing(scene: Scene) -> None:
    pipeline = scene.pipeline()
    scene.wire.before("set_watermark", ProjectionUnavailable())
    pipeline.process([record(score_event())])
    assert pipeline.settled
    assert scene.projection.watermarks() == {}


def test_an_ended_source_is_left_out(scene: Scene) -> None:
    pipeline = scene.pipeline()
    pipeline.process([record(score_event())])
    pipeline.finish()
    assert scene.projection.watermarks() == {}
