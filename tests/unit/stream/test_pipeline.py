"""The journey of a batch, told by the ordered log of its effects; every outage, crash and loss on the way."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NOW, minutes, score_event
from tests.doubles import Scene, garbage, key_of, record
from worker.batch import Record
from worker.domain import window
from worker.domain.accounting import Outcome
from worker.domain.errors import (
    CheckpointUnavailable,
    LeaseLost,
    LedgerBehindCheckpoint,
    LedgerUnavailable,
    PoisonBatch,
    ProjectionUnavailable,
    Reason,
)
from worker.domain.event import ScoreEvent
from worker.domain.position import ORIGIN, Position
from worker.domain.window import HEADER_SIZE, Version
from worker.ports import Write
from worker.stream.checkpointing import CheckpointPolicy
from worker.stream.decoding import Limits
from worker.stream.pipeline import Pipeline, Policy

GUARD = ["floors", "markers"]
JOURNEY = ["intern", "load_or_claim", "commit", "write"]
REBUILT = ["intern", "load_or_claim", "commit", "read", "write"]
SETTLE = ["advance_floor", "checkpoint"]
SWEEP = ["sweep_turn", "floors", "begin_sweep", "versions", "drop_stale", "versions", "erased", "end_sweep"]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def pipeline(scene: Scene) -> Pipeline:
    return scene.pipeline()


def attempts(count: int, student: str = "ada", first: int = 1) -> list[ScoreEvent]:
    """So many attempts of one student, each newer than the one before."""
    return [
        score_event(student, attempt=n, score=n, at=NOW + minutes(n / 60))
        for n in range(first, first + count)
    ]


def accounting(scene: Scene, source: str = "shard") -> dict[str, int]:
    found = scene.ledger.progress()[source].accounting
    assert found.closes
    return {"read": found.read, **{outcome.value: n for outcome, n in found.outcomes.items() if n}}


def dead_letters(scene: Scene) -> dict[str, int]:
    """What was counted, by reason."""
    return {name[1]: n for name, n in scene.metrics.counts.items() if name[0] == "dead_letters_total"}


def healthy(scene: Scene, *sources: str) -> None:
    """Nothing stale is shown, every account closes, and no floor is ahead of the ledger."""
    assert scene.stale() == []
    for source in sources or ("shard",):
        progress = scene.ledger.progress()[source]
        assert progress.accounting.closes
        assert progress.projected <= progress.committed
    assert all(p <= scene.ledger.progress()["shard"].projected for p in scene.store.positions)


# The order of truth.


def test_the_journey_of_a_batch(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(3))])
    pipeline.settle(scene.checkpointer)
    assert scene.wire.since() == [*GUARD, *JOURNEY, *SETTLE]
    assert scene.store.positions == [Position(1)]
    shown = scene.shown(score_event())
    assert shown is not None
    assert (shown.total, shown.scored, len(shown.ring)) == (3, 3, 3)
    healthy(scene)


def test_a_large_delivery_is_cut_and_settled_once(scene: Scene) -> None:
    scene.policy = Policy(limits=Limits(events=2))
    pipeline = scene.pipeline()
    pipeline.process([record(*attempts(2, first=2 * n), sequence=n) for n in range(1, 4)])
    pipeline.settle(scene.checkpointer)
    assert scene.wire.since() == [*GUARD, *JOURNEY, *JOURNEY, *JOURNEY, *SETTLE]
    assert scene.store.positions == [Position(3)]


def test_nothing_delivered_is_a_tick(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([])
    pipeline.settle(scene.checkpointer)
    assert scene.wire.since() == GUARD
    scene.time.pass_by(1)
    pipeline.process([])
    pipeline.settle(scene.checkpointer)
    assert scene.wire.since() == [], "neither the guard nor a checkpoint is due"


def test_an_unreadable_record_is_a_dead_letter_that_moves_everything_on(
    scene: Scene, pipeline: Pipeline
) -> None:
    pipeline.process([garbage(1), garbage(2, b"")])
    pipeline.settle(scene.checkpointer)
    assert scene.wire.since() == [*GUARD, *JOURNEY, *SETTLE]
    assert accounting(scene) == {"read": 2, "dead_lettered": 2}
    assert dead_letters(scene) == {"not_json": 1, "empty_record": 1}
    assert [letter.reason for letter in scene.ledger.dead_letters.values()] == [
        Reason.NOT_JSON,
        Reason.EMPTY_RECORD,
    ]
    assert scene.store.positions == [Position(2)]


# Fold, rebuild, assert: what the final script is given.


def test_a_new_state_is_folded_from_nothing(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(30))])
    assert "read" not in scene.wire.since()
    healthy(scene)


def test_a_known_state_is_folded_on(scene: Scene, pipeline: Pipeline) -> None:
    for n in range(1, 6):
        pipeline.process([record(*attempts(9, first=9 * n), sequence=n)])
    assert "read" not in scene.wire.since()
    healthy(scene)


def test_activity_and_late_attempts_are_folded_too(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(5, first=100))])
    late = [score_event(attempt=900, at=NOW - timedelta(days=3)), score_event(attempt=901, score=None)]
    pipeline.process([record(*late, sequence=2)])
    assert "read" not in scene.wire.since()
    healthy(scene)


@pytest.mark.parametrize(
    "event",
    [
        score_event(attempt=1, score=3, graded=NOW + minutes(3)),
        score_event(attempt=1, void=True, graded=NOW + minutes(3)),
        score_event(attempt=77, void=True),
    ],
    ids=["regrade", "void", "void before its target"],
)
def test_what_is_not_an_insert_is_rebuilt(scene: Scene, pipeline: Pipeline, event: ScoreEvent) -> None:
    pipeline.process([record(*attempts(3))])
    scene.wire.since()
    pipeline.process([record(event, *attempts(1, "ben"), sequence=2)])
    assert scene.wire.since() == REBUILT
    assert scene.metrics.counts["states_rebuilt_total",] == 1
    healthy(scene)


def test_a_duplicate_only_asserts(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(3))])
    scene.wire.since()
    pipeline.process([record(*attempts(3), sequence=2)])
    assert scene.wire.since() == JOURNEY
    assert accounting(scene) == {"read": 6, "applied": 3, "duplicate": 3}


def test_a_state_that_was_lost_is_rebuilt_and_not_begun_anew(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(3))])
    del scene.projection.values[key_of(score_event())]
    scene.wire.since()
    pipeline.process([record(*attempts(1, first=9), sequence=2)])
    assert scene.wire.since() == REBUILT
    healthy(scene)


def test_a_state_behind_by_another_writers_commit_is_rebuilt(scene: Scene, pipeline: Pipeline) -> None:
    """Another source died between its commit and its projection; whoever sees the key next heals it."""
    pipeline.process([record(*attempts(3))])
    dead = scene.pipeline("other")
    scene.wire.before("write", SystemExit())
    with pytest.raises(SystemExit):
        dead.process([record(*attempts(1, first=50))])
    assert scene.stale() == [key_of(score_event())]
    scene.wire.since()
    pipeline.process([record(*attempts(1), sequence=2)])
    assert scene.wire.since() == REBUILT
    healthy(scene, "shard", "other")


def test_a_duplicate_heals_what_a_dead_writer_left(scene: Scene, pipeline: Pipeline) -> None:
    scene.wire.before("write", SystemExit())
    with pytest.raises(SystemExit):
        pipeline.process([record(*attempts(2))])
    owner = scene.pipeline()
    owner.process([record(*attempts(2))])
    assert scene.wire.since() == [*GUARD, *REBUILT]
    assert accounting(scene) == {"read": 4, "applied": 2, "redelivered": 2}
    healthy(scene)


def test_nothing_is_skipped_by_position(scene: Scene, pipeline: Pipeline) -> None:
    """A stream that was made anew counts from its beginning; its records are new all the same."""
    pipeline.process([record(*attempts(1), sequence=900)])
    pipeline.process([record(*attempts(1, first=2), sequence=1), record(*attempts(1), sequence=2)])
    assert accounting(scene) == {"read": 3, "applied": 2, "redelivered": 1}
    assert scene.projection.marks == {"shard": Position(900)}
    healthy(scene)


# Two writers at one state.


def test_a_claim_stolen_between_load_and_write_is_looked_at_again(scene: Scene, pipeline: Pipeline) -> None:
    other = scene.pipeline("other")
    scene.wire.after("commit", lambda: other.process([record(*attempts(1, first=9))]))
    pipeline.process([record(*attempts(3))])
    assert scene.wire.since() == [
        *GUARD,
        *("intern", "load_or_claim", "commit"),
        *(*GUARD, *REBUILT),  # the other's journey: its version was not born in its own transaction
        *("write", "load_or_claim", "read", "write"),
    ]
    assert scene.metrics.counts["projection_retries_total",] == 1
    healthy(scene, "shard", "other")


def test_a_state_that_moved_between_load_and_write_is_looked_at_again(
    scene: Scene, pipeline: Pipeline
) -> None:
    pipeline.process([record(*attempts(3))])
    other = scene.pipeline("other")
    scene.wire.after("load_or_claim", lambda: other.process([record(*attempts(1, first=9))]))
    pipeline.process([record(*attempts(1, first=4), *attempts(2, "ben"), sequence=2)])
    assert scene.wire.since()[-4:] == ["write", "load_or_claim", "read", "write"]
    healthy(scene, "shard", "other")


def test_writers_that_keep_meeting_step_aside_with_jitter(scene: Scene, pipeline: Pipeline) -> None:
    def steal() -> None:
        scene.projection.load_or_claim("other", [key_of(score_event())])

    scene.wire.before("write", *[steal] * 6)
    pipeline.process([record(*attempts(1))])
    assert scene.wire.since().count("write") == 7
    waits = [pause.seconds for pause in scene.time.pauses]
    assert len(waits) == 6
    assert len(set(waits)) == 6
    assert 0 < max(waits) <= scene.policy.backoff.maximum
    healthy(scene)


def test_an_eviction_between_load_and_write_is_not_taken_for_new(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(3))])
    scene.wire.after("commit", scene.projection.values.clear)
    pipeline.process([record(*attempts(1, first=4), sequence=2)])
    assert scene.wire.since()[-4:] == ["write", "load_or_claim", "read", "write"]
    healthy(scene)


def test_a_former_owner_that_does_not_know_it_yet_harms_nothing(scene: Scene, pipeline: Pipeline) -> None:
    deliveries = [record(*attempts(1, first=n), sequence=n) for n in range(1, 8)]
    pipeline.process(deliveries[:2])
    scene.settle(pipeline)
    owner = scene.pipeline(checkpoint=Position(2))
    owner.process(deliveries[2:6])
    pipeline.process(deliveries[2:4])
    owner.process(deliveries[6:])
    scene.settle(owner)
    assert scene.store.positions == [Position(2), Position(7)]
    assert scene.projection.marks == {"shard": Position(7)}
    assert accounting(scene)["applied"] == 7
    healthy(scene)


# PostgreSQL away.


def test_an_outage_of_the_ledger_is_waited_out_however_long(scene: Scene, pipeline: Pipeline) -> None:
    scene.ledger.away = True
    scene.time.then(500, lambda: setattr(scene.ledger, "away", False))
    pipeline.process([record(*attempts(3))])
    scene.settle(pipeline)
    assert scene.time.reasons == ["LedgerUnavailable"] * 500
    assert scene.time.present - NOW > timedelta(minutes=15)
    assert max(pause.seconds for pause in scene.time.pauses) <= scene.policy.backoff.maximum
    assert accounting(scene) == {"read": 3, "applied": 3}
    assert scene.metrics.counts["waits_total", "ledger"] == 500
    assert scene.metrics.gauges["degraded"] == 0
    healthy(scene)


@pytest.mark.parametrize("call", ["intern", "commit", "advance_floor", "floors", "read"])
@pytest.mark.parametrize("heard", ["before", "after"])
def test_every_call_to_the_ledger_may_fail(scene: Scene, pipeline: Pipeline, call: str, heard: str) -> None:
    pipeline.process([record(*attempts(3))])
    scene.tick(pipeline)
    getattr(scene.wire, heard)(call, LedgerUnavailable("gone"), LedgerUnavailable("still gone"))
    scene.time.pass_by(10)
    pipeline.process([record(score_event(score=1, graded=NOW + minutes(1)), sequence=2)])
    scene.settle(pipeline)
    assert scene.time.reasons == ["LedgerUnavailable"] * 2
    assert scene.store.positions == [Position(2)]
    assert accounting(scene)["applied"] == 3
    assert accounting(scene)["revised"] == 1
    healthy(scene)


def test_opening_waits_for_the_ledger(scene: Scene) -> None:
    scene.ledger.away = True
    scene.time.then(3, lambda: setattr(scene.ledger, "away", False))
    scene.pipeline()
    assert scene.time.reasons == ["LedgerUnavailable"] * 3


def test_a_commit_of_unknown_outcome_is_made_again_as_a_redelivery(scene: Scene, pipeline: Pipeline) -> None:
    scene.wire.after("commit", LedgerUnavailable("the connection broke after COMMIT was sent"))
    pipeline.process([record(*attempts(3))])
    assert scene.wire.since() == [*GUARD, *JOURNEY[:3], *REBUILT]
    assert accounting(scene) == {"read": 6, "applied": 3, "redelivered": 3}
    healthy(scene)


def test_the_ledger_away_while_a_rebuild_reads_commits_nothing_twice(
    scene: Scene, pipeline: Pipeline
) -> None:
    pipeline.process([record(*attempts(3))])
    scene.wire.before("read", LedgerUnavailable("gone"))
    pipeline.process([record(score_event(attempt=1, void=True, graded=NOW + minutes(2)), sequence=2)])
    assert scene.wire.since()[-6:] == ["intern", "load_or_claim", "commit", "read", "read", "write"]
    healthy(scene)


# Redis away.


def test_redis_away_within_patience_is_waited_for(scene: Scene, pipeline: Pipeline) -> None:
    scene.projection.away = True
    scene.time.then(4, lambda: setattr(scene.projection, "away", False))
    pipeline.process([record(*attempts(3))])
    scene.settle(pipeline)
    assert scene.time.reasons == ["ProjectionUnavailable"] * 4
    assert scene.metrics.counts["waits_total", "projection"] == 4
    assert scene.metrics.gauges["degraded"] == 0
    assert scene.store.positions == [Position(1)]
    healthy(scene)


@pytest.mark.parametrize("heard", ["before", "after"])
def test_a_final_script_of_unknown_outcome_is_looked_at_afresh(
    scene: Scene, pipeline: Pipeline, heard: str
) -> None:
    pipeline.process([record(*attempts(3))])
    scene.wire.since()
    getattr(scene.wire, heard)("write", ProjectionUnavailable("timeout"))
    pipeline.process([record(*attempts(1, first=9), sequence=2)])
    assert scene.wire.since() == [*JOURNEY, "load_or_claim", "read", "write"]
    assert scene.projection.marks == {"shard": Position(2)}
    healthy(scene)


def adrift(scene: Scene, pipeline: Pipeline, *deliveries: Record) -> None:
    """Redis stays away for longer than the patience, and these are delivered meanwhile."""
    scene.projection.away = True
    for delivery in deliveries:
        pipeline.process([delivery])
        pipeline.settle(scene.checkpointer)


def test_redis_away_beyond_patience_leaves_the_ledger_going_on_alone(
    scene: Scene, pipeline: Pipeline
) -> None:
    pipeline.process([record(*attempts(1))])
    scene.settle(pipeline)
    scene.time.pass_by(60)
    adrift(scene, pipeline, record(*attempts(1, first=2), sequence=2))
    waited = scene.time.present - NOW - timedelta(seconds=60)
    patience = scene.policy.redis_patience
    assert patience <= waited <= patience + timedelta(seconds=scene.policy.backoff.maximum)
    scene.wire.since()
    adrift(scene, pipeline, record(*attempts(1, first=3), sequence=3))
    assert scene.wire.since() == [*SWEEP[:3], "intern", "commit"], "one look whether Redis is back"
    scene.time.pass_by(1)
    adrift(scene, pipeline, record(*attempts(1, first=4), sequence=4))
    assert scene.wire.since() == ["intern", "commit"], "and none before the guard's next tick"
    assert scene.time.present - NOW == timedelta(seconds=61) + waited
    assert scene.ledger.progress()["shard"].committed == Position(4)
    assert scene.ledger.progress()["shard"].projected == Position(1)
    assert scene.store.positions == [Position(1)]
    assert scene.metrics.gauges["degraded"] == 1
    assert not pipeline.settled


def test_redis_back_is_swept_before_anything_advances(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1), *attempts(1, "ben"))])
    scene.settle(pipeline)
    scene.time.pass_by(60)
    adrift(scene, pipeline, record(*attempts(1, first=2), sequence=2))
    adrift(scene, pipeline, record(*attempts(1, first=3), sequence=3))
    scene.projection.away = False
    assert scene.stale() == [key_of(score_event())], "adrift, Redis shows what it had"
    scene.tick(pipeline)
    scene.wire.since()
    scene.tick(pipeline)
    scene.settle(pipeline)
    assert scene.wire.since() == [*GUARD, *SETTLE]
    assert scene.store.positions == [Position(1), Position(3)]
    assert scene.projection.marks == {"shard": Position(3)}
    assert key_of(score_event("ben")) in scene.projection.values, "what was right stays"
    assert pipeline.settled
    assert scene.metrics.gauges["degraded"] == 0
    pipeline.process([record(*attempts(1, first=4), sequence=4)])
    healthy(scene)


def test_the_sweep_of_a_returned_redis(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.time.pass_by(60)
    adrift(scene, pipeline, record(*attempts(1, first=2), sequence=2))
    scene.projection.away = False
    scene.wire.since()
    scene.tick(pipeline)
    assert scene.wire.since() == SWEEP


def test_a_redis_that_is_still_away_does_not_hold_the_ledger_up(scene: Scene, pipeline: Pipeline) -> None:
    adrift(scene, pipeline, record(*attempts(1)))
    pauses = len(scene.time.pauses)
    for n in range(2, 9):
        scene.time.pass_by(10)
        adrift(scene, pipeline, record(*attempts(1, first=n), sequence=n))
    assert len(scene.time.pauses) == pauses
    assert scene.store.positions == []
    assert accounting(scene) == {"read": 8, "applied": 8}


def test_a_redis_lost_again_during_the_landing_leaves_it_adrift(scene: Scene, pipeline: Pipeline) -> None:
    adrift(scene, pipeline, record(*attempts(1)))
    scene.projection.away = False
    scene.wire.before("end_sweep", ProjectionUnavailable("gone again"))
    scene.tick(pipeline)
    scene.settle(pipeline)
    assert not pipeline.settled
    assert scene.store.positions == []
    assert scene.metrics.gauges["degraded"] == 1
    scene.tick(pipeline)
    scene.settle(pipeline)
    assert scene.store.positions == [Position(1)]
    healthy(scene)


def test_a_landing_waits_for_its_turn(scene: Scene, pipeline: Pipeline) -> None:
    adrift(scene, pipeline, record(*attempts(1)))
    scene.projection.away = False
    with scene.ledger.sweep_turn():
        scene.tick(pipeline)
        assert not pipeline.settled
    scene.tick(pipeline)
    assert pipeline.settled


def test_redis_lost_after_the_commit_counts_the_batch_once(scene: Scene, pipeline: Pipeline) -> None:
    scene.wire.before("write", lambda: setattr(scene.projection, "away", True), ProjectionUnavailable())
    scene.wire.after("commit", lambda: setattr(scene.projection, "away", True))
    pipeline.process([record(*attempts(2))])
    assert accounting(scene) == {"read": 2, "applied": 2}
    assert scene.metrics.counts["events_read_total",] == 2
    assert not pipeline.settled


def test_adrift_through_a_crash_heals_by_redelivery(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.settle(pipeline)
    adrift(scene, pipeline, record(*attempts(1, first=2), sequence=2))
    scene.projection.away = False
    owner = scene.pipeline(checkpoint=Position(1))
    owner.process([record(*attempts(1, first=2), sequence=2)])
    scene.settle(owner)
    assert scene.store.positions == [Position(1), Position(2)]
    healthy(scene)


# A clock that is set back.


def test_a_clock_set_back_does_not_put_the_guard_off(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.time.pass_by(-3_600)
    scene.projection.restore(({}, {}, None))
    pipeline.process([])
    assert scene.metrics.counts["sweeps_total",] == 1
    scene.wire.since()
    pipeline.process([])
    assert scene.wire.since() == [], "and from then on it looks at its usual pace"


def test_a_clock_set_back_does_not_lengthen_the_patience_with_redis(scene: Scene, pipeline: Pipeline) -> None:
    scene.projection.away = True
    scene.time.then(3, lambda: scene.time.pass_by(-3_600))
    pipeline.process([record(*attempts(1))])
    assert len(scene.time.pauses) == 3
    assert accounting(scene)["applied"] == 1
    scene.projection.away = False
    scene.tick(pipeline)
    assert pipeline.settled
    healthy(scene)


# Redis loses acknowledged writes.


def test_an_empty_restart_is_noticed_by_the_guard(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.projection.restore(({}, {}, None))
    scene.wire.since()
    scene.tick(pipeline)
    assert scene.wire.since() == [*GUARD, *SWEEP]
    assert scene.projection.marks == {"shard": Position(1)}
    assert scene.metrics.counts["sweeps_total",] == 1


def test_a_stale_replica_is_noticed_by_the_guard(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1), *attempts(1, "ben"))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    scene.projection.restore(replica)
    assert scene.stale() == [key_of(score_event())]
    scene.tick(pipeline)
    healthy(scene)
    assert key_of(score_event("ben")) in scene.projection.values
    assert scene.projection.marks == {"shard": Position(2)}
    assert scene.metrics.counts["states_dropped_total",] == 1


def test_a_stale_replica_is_noticed_by_the_next_load(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1), *attempts(1, "ben"))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, first=2), *attempts(1, "ben", first=2), sequence=2)])
    scene.projection.restore(replica)
    scene.wire.since()
    pipeline.process([record(*attempts(1, first=3), sequence=3)])
    assert scene.wire.since() == [
        "intern",
        "load_or_claim",
        *SWEEP,
        "load_or_claim",
        "commit",
        "read",
        "write",
    ]
    healthy(scene)


def test_a_stale_replica_between_load_and_write_moves_no_marker(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1), *attempts(1, "ben"))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, "ben", first=2), sequence=2)])
    scene.wire.after("commit", lambda: scene.projection.restore(replica))
    scene.wire.since()
    pipeline.process([record(*attempts(1, first=2), sequence=3)])
    assert scene.wire.since() == [
        *("intern", "load_or_claim", "commit", "write", "load_or_claim"),
        *(*SWEEP, "load_or_claim", "read", "write"),
    ]
    assert scene.projection.marks == {"shard": Position(3)}
    healthy(scene)


def test_another_sources_loss_is_noticed_by_anyone(scene: Scene, pipeline: Pipeline) -> None:
    replica = scene.projection.snapshot()
    other = scene.pipeline("other")
    other.process([record(*attempts(1, "ben"))])
    scene.ledger.advance_floor("other", Position(1))
    del other  # its shard has ended: nobody else looks
    pipeline.process([record(*attempts(1))])
    scene.projection.restore(replica)
    fresh = scene.pipeline("third")
    scene.tick(fresh)
    assert scene.metrics.counts["sweeps_total",] == 1
    assert scene.projection.marks["other"] == Position(1)
    scene.tick(pipeline)
    healthy(scene, "other")


def test_a_fresh_owner_notices_by_the_ledgers_floor(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    scene.settle(pipeline)
    scene.projection.restore(replica)
    owner = scene.pipeline(checkpoint=Position(2))
    owner.process([record(*attempts(1, "ben"), sequence=3)])
    assert "begin_sweep" in scene.wire.since()
    healthy(scene)


def test_a_fresh_owner_knows_the_floor_before_it_wrote_anything(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    scene.settle(pipeline)
    owner = scene.pipeline(checkpoint=Position(2))
    owner.process([])
    scene.projection.restore(replica)
    scene.wire.since()
    owner.process([record(*attempts(1, "ben"), sequence=3)])
    assert scene.wire.since() == ["intern", "load_or_claim", *SWEEP, *JOURNEY[1:]], "before the guard looks"
    healthy(scene)


def test_a_sweep_that_is_broken_is_begun_again(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(2))])
    replica = scene.projection.snapshot()
    pipeline.process([record(*attempts(1, first=3), sequence=2)])
    scene.projection.restore(replica)
    scene.wire.before("drop_stale", scene.projection.begin_sweep)
    scene.tick(pipeline)
    assert scene.projection.marks == {"shard": Position(1)}, "a broken sweep has promised nothing"
    pipeline.process([record(*attempts(1, first=9), sequence=3)])
    assert scene.projection.marks == {"shard": Position(3)}
    healthy(scene)


def test_a_load_waits_while_another_worker_sweeps(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.projection.restore(({}, {}, None))
    turn = scene.ledger.sweep_turn()
    turn.__enter__()
    scene.time.then(5, lambda: turn.__exit__(None, None, None))
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    assert scene.time.reasons == ["ProjectionUnavailable"] * 5
    assert all(0.1 <= pause.seconds <= 0.5 for pause in scene.time.pauses)
    healthy(scene)


def test_the_guard_waits_for_nothing_when_redis_is_away(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.projection.away = True
    scene.tick(pipeline)
    assert scene.time.pauses == []
    scene.projection.away = False
    scene.tick(pipeline)
    healthy(scene)


# Poison.


def test_a_poisoned_batch_loses_only_its_culprit(scene: Scene, pipeline: Pipeline) -> None:
    scene.ledger.refused = {"evil"}
    events = attempts(7)
    events[4] = score_event(item="evil")
    pipeline.process([record(*events)])
    scene.settle(pipeline)
    assert accounting(scene) == {"read": 7, "applied": 6, "dead_lettered": 1}
    ((_, position, number),) = scene.ledger.dead_letters
    assert (position, number) == (Position(1), 4)
    (letter,) = scene.ledger.dead_letters.values()
    assert letter.reason is Reason.REFUSED_BY_DATABASE
    assert scene.store.positions == [Position(1)]
    healthy(scene)


def test_a_batch_of_nothing_but_poison_goes_through(scene: Scene, pipeline: Pipeline) -> None:
    scene.ledger.refused = {"evil"}
    pipeline.process([record(score_event(item="evil"), score_event("ben", item="evil")), garbage(2)])
    scene.settle(pipeline)
    assert accounting(scene) == {"read": 3, "dead_lettered": 3}
    assert dead_letters(scene) == {"refused_by_database": 2, "not_json": 1}
    assert scene.store.positions == [Position(2)]


def test_poison_that_is_refused_before_the_merge_is_found_too(scene: Scene, pipeline: Pipeline) -> None:
    scene.wire.before("intern", PoisonBatch("a course that PostgreSQL cannot hold"))
    scene.ledger.refused = {"evil"}
    pipeline.process([record(score_event(item="evil"), *attempts(2))])
    assert accounting(scene) == {"read": 3, "applied": 2, "dead_lettered": 1}


def test_an_outage_while_poison_is_looked_for_is_an_outage(scene: Scene, pipeline: Pipeline) -> None:
    scene.ledger.refused = {"evil"}
    scene.wire.before("probe", LedgerUnavailable("gone"), LedgerUnavailable("still gone"))
    pipeline.process([record(score_event(item="evil"), *attempts(3))])
    assert scene.time.reasons == ["LedgerUnavailable"] * 2
    assert accounting(scene) == {"read": 4, "applied": 3, "dead_lettered": 1}
    healthy(scene)


def test_poison_that_no_event_explains_is_not_swallowed(scene: Scene, pipeline: Pipeline) -> None:
    scene.wire.before("commit", PoisonBatch(), PoisonBatch())
    with pytest.raises(PoisonBatch):
        pipeline.process([record(*attempts(3))])
    scene.settle(pipeline)
    assert scene.store.positions == []


# Floor and checkpoint.


def test_a_ledger_behind_the_checkpoint_halts(scene: Scene) -> None:
    pipeline = scene.pipeline()
    pipeline.process([record(*attempts(1))])
    scene.pipeline(checkpoint=Position(1))
    with pytest.raises(LedgerBehindCheckpoint):
        scene.pipeline(checkpoint=Position(1, 1))
    with pytest.raises(LedgerBehindCheckpoint):
        scene.pipeline("never seen", checkpoint=Position(0))
    scene.pipeline("at its start", checkpoint=None)


def test_a_lost_lease_is_told(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.wire.before("checkpoint", LeaseLost())
    with pytest.raises(LeaseLost):
        scene.settle(pipeline)
    assert scene.ledger.progress()["shard"].projected == Position(1), "the floor is true all the same"


def test_a_checkpoint_that_is_not_stored_is_covered_by_a_later_one(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.store.away = True
    pipeline.settle(scene.checkpointer)
    scene.store.away = False
    pipeline.settle(scene.checkpointer)
    assert scene.store.positions == [], "not due yet"
    scene.time.pass_by(3)
    pipeline.settle(scene.checkpointer)
    assert scene.store.positions == [Position(1)]
    assert scene.metrics.counts["checkpoints_total", "unavailable"] == 1
    assert scene.metrics.counts["checkpoints_total", "stored"] == 1


def test_a_later_checkpoint_covers_more(scene: Scene, pipeline: Pipeline) -> None:
    pipeline.process([record(*attempts(1))])
    scene.wire.before("checkpoint", CheckpointUnavailable())
    pipeline.settle(scene.checkpointer)
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    scene.time.pass_by(3)
    pipeline.settle(scene.checkpointer)
    assert scene.store.positions == [Position(2)]


def test_checkpoints_are_debounced_unless_asked_for_at_once(scene: Scene) -> None:
    scene.policy = Policy(checkpoint=CheckpointPolicy(timedelta(seconds=3)))
    pipeline = scene.pipeline()
    for n in range(1, 9):
        pipeline.process([record(*attempts(1, first=n), sequence=n)])
        pipeline.settle(scene.checkpointer)
        scene.time.pass_by(1)
    assert scene.store.positions == [Position(1), Position(4), Position(7)]
    pipeline.settle(scene.checkpointer, at_once=True)
    pipeline.settle(scene.checkpointer, at_once=True)
    assert scene.store.positions == [Position(1), Position(4), Position(7), Position(8)]


def test_a_process_that_did_nothing_stores_nothing(scene: Scene, pipeline: Pipeline) -> None:
    scene.settle(pipeline)
    assert scene.wire.since() == []
    assert pipeline.settled


# Records too large for one transaction.


def parts(scene: Scene) -> Pipeline:
    scene.policy = Policy(limits=Limits(events=3))
    return scene.pipeline()


def test_the_parts_of_a_large_record_keep_the_position_before_it_and_move_the_marker(scene: Scene) -> None:
    pipeline = parts(scene)
    positions: list[tuple[Position, Position]] = []

    def note() -> None:
        positions.append((scene.ledger.progress()["shard"].committed, scene.projection.marks["shard"]))

    scene.wire.after("write", *[note] * 9)
    pipeline.process([record(*attempts(2)), record(*attempts(8, first=3), sequence=2)])
    pipeline.settle(scene.checkpointer)
    assert positions == [
        (Position(1), Position(2, events=1)),
        (Position(1), Position(2, events=4)),
        (Position(1), Position(2, events=7)),
        (Position(2), Position(2)),
    ]
    assert scene.store.positions == [Position(2)]
    assert accounting(scene) == {"read": 10, "applied": 10}
    healthy(scene)


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_failover_between_the_parts_of_a_record_hides_nothing(scene: Scene, part: int) -> None:
    """The replica lacks what one part wrote; the next part must not move the marker over that."""
    scene.policy = Policy(limits=Limits(keys=1))
    pipeline = scene.pipeline()
    students = [score_event(f"s{n}") for n in range(4)]
    pipeline.process([record(*students)])
    again = [score_event(f"s{n}", attempt=2) for n in range(4)]
    replica: list[Any] = []
    nothing = [lambda: None] * (part - 1)
    scene.wire.before("write", *nothing, lambda: replica.append(scene.projection.snapshot()))
    scene.wire.after("write", *nothing, lambda: scene.projection.restore(replica[0]))
    pipeline.process([record(*again, sequence=2)])
    scene.settle(pipeline)
    assert scene.store.positions == [Position(2)]
    assert scene.stale() == []
    assert scene.projection.marks == {"shard": Position(2)}


def test_a_large_first_record_promises_nothing_before_its_end(scene: Scene) -> None:
    pipeline = parts(scene)
    scene.wire.before("commit", lambda: None, lambda: None, SystemExit())
    with pytest.raises(SystemExit):
        pipeline.process([record(*attempts(8), sequence=5)])
    scene.settle(pipeline)
    assert scene.store.positions == []
    assert scene.ledger.progress()["shard"].committed == ORIGIN
    assert scene.projection.marks == {"shard": Position(5, events=6)}
    owner = scene.pipeline()
    owner.process([record(*attempts(8), sequence=5)])
    scene.settle(owner)
    assert scene.store.positions == [Position(5)]
    assert accounting(scene) == {"read": 14, "applied": 8, "duplicate": 6}
    healthy(scene)


def test_a_large_record_of_bad_events_is_cut_too(scene: Scene) -> None:
    """Dead letters are sealed and stored in the transaction: none of it may be larger than the limit."""
    pipeline = parts(scene)
    bad = b"\n".join([b"{bad}"] * 8)
    scene.wire.before("commit", lambda: None, SystemExit())
    with pytest.raises(SystemExit):
        pipeline.process([garbage(1, bad)])
    scene.settle(pipeline)
    assert scene.metrics.observations["batch_events"] == [3]
    assert scene.store.positions == []
    owner = scene.pipeline()
    owner.process([garbage(1, bad)])
    scene.settle(owner)
    assert scene.metrics.observations["batch_events"] == [3, 3, 3, 2]
    assert len(scene.ledger.dead_letters) == 8
    assert scene.store.positions == [Position(1)]
    healthy(scene)


def test_a_large_record_after_others_of_the_call_before(scene: Scene) -> None:
    """Its parts must not take floor and marker back to where the call before had not yet been."""
    pipeline = parts(scene)
    pipeline.process([record(*attempts(1), sequence=1)])
    pipeline.process([record(*attempts(8, first=2), sequence=2)])
    scene.settle(pipeline)
    assert scene.projection.marks == {"shard": Position(2)}
    assert scene.store.positions == [Position(2)]
    healthy(scene)


# Crashes, at every step.


@pytest.mark.parametrize("heard", ["before", "after"])
@pytest.mark.parametrize("call", [*GUARD, *JOURNEY, "read", *SETTLE])
def test_a_crash_at_any_step_is_healed_by_the_next_owner(scene: Scene, call: str, heard: str) -> None:
    deliveries = [
        record(*attempts(3), *attempts(2, "ben")),
        record(score_event(attempt=2, score=9, graded=NOW + minutes(2)), *attempts(1, "eve"), sequence=2),
        record(*attempts(2, first=8), sequence=3),
    ]
    pipeline = scene.pipeline()
    pipeline.process(deliveries[:1])
    scene.settle(pipeline)
    scene.time.pass_by(60)
    getattr(scene.wire, heard)(call, SystemExit())

    def serve() -> None:
        pipeline.process(deliveries[1:2])
        scene.settle(pipeline)

    with pytest.raises(SystemExit):
        serve()
    at = scene.store.positions[-1]
    owner = scene.pipeline(checkpoint=at)
    owner.process([delivery for delivery in deliveries if delivery.position > at])
    scene.settle(owner)
    assert scene.store.positions[-1] == Position(3)
    assert accounting(scene)["applied"] == 8
    assert accounting(scene)["revised"] == 1
    healthy(scene)


# What it tells.


def test_what_is_counted(scene: Scene, pipeline: Pipeline) -> None:
    arrived = NOW - timedelta(seconds=2)
    pipeline.process([record(*attempts(3), arrived_at=arrived), garbage(2)])
    counts = scene.metrics.counts
    assert counts["events_read_total",] == 4
    assert counts["events_total", "applied"] == 3
    assert counts["events_total", "dead_lettered"] == 1
    assert sum(counts["events_total", outcome.value] for outcome in Outcome) == 4
    assert counts["transactions_total",] == 1
    assert counts["states_touched_total",] == 1
    assert scene.metrics.observations["batch_events"] == [4]
    assert scene.metrics.observations["arrival_to_projected_seconds"] == [2]
    assert len(scene.metrics.observations["stage_seconds"]) == 3


def test_an_unreadable_state_is_rebuilt(scene: Scene, pipeline: Pipeline) -> None:
    """Another release wrote it, in a format of its own under a header of ours."""
    pipeline.process([record(*attempts(1))])
    key = key_of(score_event())
    value = scene.projection.values[key]
    scene.projection.values[key] = value[:HEADER_SIZE] + b"\xff" + value[HEADER_SIZE + 1 :]
    scene.wire.since()
    pipeline.process([record(*attempts(1, first=2), sequence=2)])
    assert scene.wire.since() == REBUILT
    healthy(scene)


def test_a_state_of_a_row_that_is_gone_is_removed(scene: Scene, pipeline: Pipeline) -> None:
    event = score_event()
    scene.projection.values[key_of(event)] = window.header(Version(1, 1)) + window.EMPTY
    scene.ledger.tombstones = {event.student_key: {"algebra"}}
    pipeline.process([record(event)])
    assert scene.projection.values == {}
    assert accounting(scene) == {"read": 1, "erased": 1}
    assert scene.projection.install([Write(key_of(event), b"", None)])[0]
