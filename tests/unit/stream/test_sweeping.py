"""Healing after lost writes: what is proof of a loss, and what a sweep may promise."""

from collections.abc import Callable

import pytest

from tests.conftest import batch, score_event
from tests.doubles import Scene, key_of
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable
from worker.domain.position import ORIGIN, Position
from worker.domain.window import EMPTY, Version, header
from worker.ports import Ledger, Projection
from worker.stream import sweeping
from worker.stream.projecting import state_value
from worker.stream.sweeping import Swept, lost_writes, sweep

ADA, BEN, EVE = (score_event(student) for student in ("ada", "ben", "eve"))


@pytest.fixture
def scene() -> Scene:
    """Three states, all of them right."""
    scene = Scene()
    scene.ledger.open_source("test")
    scene.ledger.commit(batch(ADA, BEN, EVE))
    states = scene.ledger.read([key_of(event) for event in (ADA, BEN, EVE)])
    scene.projection.values = {key: state_value(state) for key, state in states.items()}
    return scene


def run(scene: Scene, **own: Position) -> Swept | None:
    return sweep(scene.wire.connect(scene.ledger), scene.wire.connect(scene.projection), own)


@pytest.mark.parametrize(
    ("floors", "markers", "lost"),
    [
        ({}, {}, False),
        ({"a": ORIGIN}, {}, False),
        ({"a": Position(1)}, {}, True),
        ({"a": Position(1)}, {"a": Position(1)}, False),
        ({"a": Position(1)}, {"a": Position(2)}, False),
        ({"a": Position(2)}, {"a": Position(1, 9)}, True),
        ({"a": Position(2, 1)}, {"a": Position(2)}, True),
        ({"a": Position(10)}, {"a": Position(9)}, True),
        ({"a": Position(9)}, {"a": Position(10)}, False),
        ({"a": Position(10**55 + 1)}, {"a": Position(10**55)}, True),
        ({"a": Position(1), "b": Position(1)}, {"a": Position(1)}, True),
        ({"a": Position(1)}, {"a": Position(1), "closed": Position(0)}, False),
        ({"a": Position(0)}, {"a": ORIGIN}, True),
    ],
)
def test_a_marker_behind_its_floor_is_proof_of_a_loss(
    floors: dict[str, Position], markers: dict[str, Position], *, lost: bool
) -> None:
    assert lost_writes(floors, markers) is lost


def test_what_is_right_stays_and_everything_else_goes(scene: Scene) -> None:
    scene.projection.values[key_of(BEN)] = header(Version(1, 99)) + EMPTY
    scene.projection.values[key_of(EVE)] = b"T" + bytes(16)
    assert run(scene) == Swept(3, 2)
    assert list(scene.projection.values) == [key_of(ADA)]


def test_floors_are_read_before_the_chain_begins_and_markers_are_raised_last(scene: Scene) -> None:
    run(scene)
    assert scene.wire.log == [
        *("sweep_turn", "floors", "begin_sweep", "versions", "drop_stale", "versions", "erased", "end_sweep")
    ]


def test_pages_are_swept_one_by_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 2)
    scene.ledger.tombstones = {ADA.student_key: {"x", "y", "z"}}
    pages = []
    swept = sweep(
        scene.wire.connect(scene.ledger), scene.wire.connect(scene.projection), {}, lambda: pages.append(1)
    )
    assert swept == Swept(3, 0)
    assert scene.wire.log.count("drop_stale") == 4
    assert len(pages) >= 2, "a long sweep tells that it is alive"


def test_the_states_of_erased_students_go(scene: Scene) -> None:
    scene.ledger.tombstones = {ADA.student_key: {"algebra", "never taken"}}
    assert run(scene) == Swept(3, 1)
    assert key_of(ADA) not in scene.projection.values


def test_markers_become_the_floors_and_the_own_positions(scene: Scene) -> None:
    for source, position in (("ended", Position(5)), ("mine", Position(6)), ("ahead", Position(7))):
        scene.ledger.open_source(source)
        scene.ledger.advance_floor(source, position)
    scene.projection.marks = {"ahead": Position(70)}
    run(scene, mine=Position(9), fresh=Position(2))
    assert scene.projection.marks == {
        "test": ORIGIN,
        "ended": Position(5),
        "mine": Position(9),
        "ahead": Position(70),
        "fresh": Position(2),
    }
    run(scene, mine=Position(1))
    assert scene.projection.marks["mine"] == Position(9)


def test_a_commit_during_the_sweep_costs_at_most_a_rebuild(scene: Scene) -> None:
    """The page was read before it: the newer state is removed, never an older one kept."""

    def commit() -> None:
        scene.ledger.commit(batch(score_event("ada", attempt=2), sequence=2))
        states = scene.ledger.read([key_of(ADA)])
        scene.projection.values[key_of(ADA)] = state_value(states[key_of(ADA)])

    scene.wire.after("versions", commit)
    assert run(scene) == Swept(3, 1)
    assert scene.stale() == []


def _stale_replica(scene: Scene) -> Callable[[], object]:
    replica = scene.projection.snapshot()
    return lambda: scene.projection.restore(replica)


BREAKS: dict[str, Callable[[Scene], Callable[[], object]]] = {
    "another sweep": lambda scene: scene.projection.begin_sweep,
    "an empty restart": lambda scene: lambda: scene.projection.restore(({}, {}, None)),
    "a stale replica": _stale_replica,
}


@pytest.mark.parametrize("broken_by", BREAKS)
@pytest.mark.parametrize("step", ["drop_stale", "end_sweep"])
def test_a_broken_chain_promises_nothing(scene: Scene, step: str, broken_by: str) -> None:
    scene.wire.before(step, BREAKS[broken_by](scene))
    assert run(scene, test=Position(1)) is None
    assert scene.projection.marks == {}
    assert run(scene, test=Position(1)) is not None
    assert scene.projection.marks == {"test": Position(1)}


def test_without_the_turn_nothing_is_touched(scene: Scene) -> None:
    with scene.ledger.sweep_turn():
        assert run(scene, test=Position(1)) is None
    assert scene.wire.log == ["sweep_turn"]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("floors", LedgerUnavailable()),
        ("versions", LedgerUnavailable()),
        ("erased", LedgerUnavailable()),
        ("begin_sweep", ProjectionUnavailable()),
        ("drop_stale", ProjectionUnavailable()),
        ("end_sweep", ProjectionUnavailable()),
    ],
)
def test_an_outage_gives_the_turn_back(scene: Scene, step: str, error: Exception) -> None:
    scene.wire.before(step, error)
    with pytest.raises(type(error)):
        run(scene)
    assert run(scene) is not None


def test_any_ledger_and_projection_will_do(scene: Scene) -> None:
    ledger: Ledger = scene.ledger
    projection: Projection = scene.projection
    assert sweep(ledger, projection, {}) == Swept(3, 0)
