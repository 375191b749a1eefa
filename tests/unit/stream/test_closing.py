"""When a job's source leaves the guard: not before no replica can lack its end."""

from datetime import timedelta

import pytest

from tests.conftest import score_event
from tests.doubles import Scene, record
from worker.domain.errors import ProjectionUnavailable
from worker.domain.position import Position
from worker.stream.closing import Closing, close_finished, finished

HOUR = timedelta(hours=1)
JOB = "file:abc:1of2"


@pytest.fixture
def scene() -> Scene:
    """A job that has done all its work and settled, beside a shard."""
    scene = Scene()
    scene.ledger.now = scene.time.now
    for source in (JOB, "kinesis:stream:shard"):
        pipeline = scene.pipeline(source)
        pipeline.process([record(score_event(source), sequence=5)])
        scene.settle(pipeline)
    return scene


def close(scene: Scene) -> Closing:
    return close_finished(scene.wire.connect(scene.ledger), scene.wire.connect(scene.projection))


def test_a_job_is_closed_an_hour_after_its_last_write(scene: Scene) -> None:
    scene.time.pass_by(3599)
    assert close(scene) == ([], [])
    scene.time.pass_by(1)
    assert close(scene) == ([JOB], [])
    assert scene.ledger.progress()[JOB].closed
    assert set(scene.projection.marks) == {"kinesis:stream:shard"}
    assert set(scene.ledger.floors()) == {"kinesis:stream:shard"}
    assert close(scene) == ([], [])


def test_the_row_is_closed_before_the_marker_goes(scene: Scene) -> None:
    """The other way round everybody's guard would find an open source without a marker, and sweep."""
    scene.time.pass_by(3600)
    scene.wire.since()
    close(scene)
    assert scene.wire.since() == ["idle", "markers", "close_source", "forget_marker"]


def test_a_job_that_died_before_its_last_projection_stays_guarded(scene: Scene) -> None:
    scene.projection.marks[JOB] = Position(4)
    scene.time.pass_by(3600)
    assert close(scene) == ([], [JOB])
    assert JOB in scene.ledger.floors()


def test_a_marker_that_redis_lost_closes_nothing(scene: Scene) -> None:
    del scene.projection.marks[JOB]
    scene.time.pass_by(3600)
    assert close(scene) == ([], [JOB])


def test_a_floor_that_its_job_did_not_store_begins_the_hour_again(scene: Scene) -> None:
    pipeline = scene.pipeline(JOB)
    pipeline.process([record(score_event(attempt=2), sequence=6)])
    scene.time.pass_by(3600)
    assert close(scene) == ([], [])
    assert scene.ledger.floors()[JOB] == Position(6)
    scene.time.pass_by(3600)
    assert close(scene) == ([JOB], [])


def test_a_job_that_writes_meanwhile_is_not_closed(scene: Scene) -> None:
    scene.time.pass_by(3600)
    pipeline = scene.pipeline(JOB)
    scene.wire.before("close_source", lambda: pipeline.process([record(score_event(attempt=2), sequence=6)]))
    assert close(scene) == ([], [])
    assert scene.ledger.floors()[JOB] == Position(5)
    assert scene.projection.marks[JOB] == Position(6)


def test_a_job_opened_again_before_its_marker_went_goes_on_without_a_sweep(scene: Scene) -> None:
    scene.time.pass_by(3600)
    scene.wire.after("close_source", lambda: scene.pipeline(JOB))
    assert close(scene) == ([JOB], [])
    pipeline = scene.pipeline(JOB)
    pipeline.process([record(score_event(attempt=2), sequence=6)])
    assert scene.projection.marks[JOB] == Position(6)
    assert scene.metrics.counts["sweeps_total",] == 0


def test_an_outage_between_row_and_marker_leaves_only_the_marker(scene: Scene) -> None:
    scene.time.pass_by(3600)
    scene.wire.before("forget_marker", ProjectionUnavailable())
    with pytest.raises(ProjectionUnavailable):
        close(scene)
    assert close(scene) == ([], [])
    assert JOB not in scene.ledger.floors()


def test_a_look_tells_what_would_be_closed_and_touches_nothing(scene: Scene) -> None:
    def look() -> Closing:
        return finished(scene.wire.connect(scene.ledger), scene.wire.connect(scene.projection))

    scene.time.pass_by(3599)
    assert look() == ([], [])
    scene.time.pass_by(1)
    scene.wire.since()
    assert look() == look() == ([JOB], [])
    assert scene.wire.since() == ["idle", "markers"] * 2
    assert look() == close(scene)
    scene.pipeline(JOB).process([record(score_event(attempt=2), sequence=6)])
    scene.time.pass_by(3600)
    assert look() == ([], []), "its floor was not stored: the hour begins again"
    scene.projection.marks[JOB] = Position(5)
    assert look() == close(scene) == ([], [JOB])
