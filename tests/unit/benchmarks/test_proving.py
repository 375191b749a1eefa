"""The proof holds for what was done right, and for nothing else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from benchmarks.classroom import Classroom
from benchmarks.proving import prove
from tests.conftest import IDENTITY, NOW, batch
from worker.adapters.memory import MemoryLedger, MemoryProjection
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.local.edges import Edges
from worker.local.event_files import read_events
from worker.stream.projecting import rebuilt

STREAM = "kinesis:arn:shardId-000000000000"


class World:
    """A ledger and a projection in memory, and twenty students with full states."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.projection = MemoryLedger(), MemoryProjection()
        self.edges = Edges(self.ledger, self.projection, cast("Any", None), IDENTITY, "default")
        self.room = Classroom(20, 2, identity=IDENTITY, realm="default", now=NOW)
        self.room.write_history(folder / "history.csv")
        self.commit("backfill", map(_event, read_events(folder / "history.csv", "")))

    def commit(self, source: str, events: Iterable[ScoreEvent], sequence: int = 1) -> None:
        self.ledger.open_source(source)
        self.ledger.commit(batch(*events, source=source, sequence=sequence))

    def project(self) -> None:
        keys = [self.room.key(student) for student in range(20)]
        states = self.ledger.read(keys)
        for key, look in zip(keys, self.projection.peek(keys), strict=True):
            self.projection.install([rebuilt(key, look.value, look.claim or b"", states)])


def _event(row: Any) -> ScoreEvent:
    parsed = native.parse(msgspec.json.encode(row.event))
    return native.canonical(parsed, sealed_id=None, identity=IDENTITY, realm="default", arrived_at=NOW)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_was_done_right_is_proven(world: World) -> None:
    world.commit(STREAM, world.room.events(world.room.draw(200, NOW)))
    world.project()
    found = prove(world.edges, world.room, 50)
    assert found.good
    assert (found.sent, found.read, found.applied, found.sample) == (200, 200, 200, 20)
    assert found.attempts == 20 * 20 + 200


def test_a_lost_event_is_seen(world: World) -> None:
    events = list(world.room.events(world.room.draw(200, NOW)))
    world.commit(STREAM, events[1:])
    world.project()
    found = prove(world.edges, world.room, 50)
    assert not found.good
    assert (found.read, found.ledger_right, found.projection_right) == (199, 19, 20)


def test_a_duplicate_is_seen(world: World) -> None:
    events = list(world.room.events(world.room.draw(200, NOW)))
    world.commit(STREAM, [*events, events[0]])
    world.project()
    found = prove(world.edges, world.room, 50)
    assert (found.good, found.read, found.ledger_right) == (False, 201, 20)


def test_a_projection_that_is_behind_is_seen(world: World) -> None:
    world.project()
    world.commit(STREAM, world.room.events(world.room.draw(200, NOW)))
    found = prove(world.edges, world.room, 50)
    assert (found.good, found.ledger_right, found.projection_right) == (False, 20, 0)
