"""The ports of a new epoch, on the twins and on the real servers."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import NamedTuple
from uuid import UUID

import pytest
import redis

from tests.conftest import NOW
from worker.adapters.aurora.epochs import AuroraEpochs
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.memory import MemoryEpochs, MemoryLedger, MemoryPastEpochs
from worker.adapters.redis import RedisProjection
from worker.adapters.redis_classes import RedisClasses
from worker.adapters.redis_epochs import RedisEpochs
from worker.batch import StateKey
from worker.domain.errors import Fatal, ProjectionUnavailable
from worker.domain.position import Position
from worker.local.stack import Stack
from worker.ports import Ledger
from worker.upkeep import Epochs, PastEpochs

_epochs = count(800_000_000)


class World(NamedTuple):
    ledger: Ledger
    epochs: Epochs


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        ledger = MemoryLedger()
        yield World(ledger, MemoryEpochs(ledger))
        return
    dsn = request.getfixturevalue("database")
    aurora: AuroraLedger = request.getfixturevalue("aurora")
    epochs = AuroraEpochs(lambda: dsn)
    yield World(aurora, epochs)
    epochs.close()


def test_an_epoch_is_begun_once_for_a_restore_and_never_goes_back(world: World) -> None:
    epochs = world.epochs
    assert (epochs.present(), epochs.raised_for(NOW)) == (1, None)
    epochs.begin(7, NOW, "somebody")
    assert (epochs.present(), epochs.raised_for(NOW)) == (7, 7)
    for epoch, moment in ((8, NOW), (7, NOW + timedelta(hours=1)), (3, NOW + timedelta(hours=1))):
        with pytest.raises(Fatal):
            epochs.begin(epoch, moment, "somebody")
        assert epochs.present() == 7
    epochs.begin(9, NOW + timedelta(hours=1), "somebody")
    assert epochs.present() == 9


def test_only_a_source_that_is_behind_its_checkpoint_moves(world: World) -> None:
    world.ledger.open_source("a")
    world.ledger.open_source("b")
    high = Position(10**55)
    checkpoints = {"a": high, "never heard of": high}
    assert world.epochs.behind(checkpoints) == {"a": Position(-1, -1)}
    assert world.ledger.progress()["a"].committed == Position(-1, -1), "to ask moves nothing"
    assert world.epochs.accept(checkpoints) == {"a": Position(-1, -1)}
    assert world.epochs.behind(checkpoints) == {}
    progress = world.ledger.progress()
    assert (progress["a"].committed, progress["a"].projected) == (high, Position(-1, -1))
    assert progress["b"].committed == Position(-1, -1)
    assert world.epochs.accept({"a": Position(9)}) == {}


def test_other_sessions_are_seen(database: str) -> None:
    epochs, ledger = AuroraEpochs(lambda: database), AuroraLedger(lambda: database, None)  # type: ignore[arg-type]
    assert epochs.others() == 0
    ledger.epoch()
    assert epochs.others() == 1
    ledger.close()
    epochs.close()


@pytest.fixture(params=["memory", "redis"])
def past(request: pytest.FixtureRequest) -> Iterator[tuple[PastEpochs, int, int]]:
    """Two epochs, the first of six keys and the second of one."""
    first, second = next(_epochs), next(_epochs)
    if request.param == "memory":
        twin = MemoryPastEpochs()
        twin.keys = {first: 6, second: 1}
        yield twin, first, second
        return
    stack: Stack = request.getfixturevalue("stack")
    url = stack.endpoints.redis_url
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.set("somebody else's", "1")
        client.set("2024-01-01 a key of another application", "1")
    old, classes = RedisProjection(lambda: url, first, 60), RedisClasses(lambda: url, first)
    key = StateKey(UUID(int=2**100 + 10), "algebra")
    found = old.load_or_claim("shard", [key])
    assert old.write("shard", found.marker, Position(1), [])
    old.set_watermark("shard", NOW)
    old.begin_sweep()
    classes.put("room", "algebra", b"")
    classes.want("algebra")
    new = RedisProjection(lambda: url, second, 60)
    new.load_or_claim("shard", [key])
    found_past = RedisEpochs(lambda: url)
    yield found_past, first, second
    with redis.Redis.from_url(url) as client:
        assert client.exists("somebody else's", "2024-01-01 a key of another application") == 2
        client.flushall()
    for port in (old, new, classes, found_past):
        port.close()


def test_every_other_epoch_is_counted_and_removed(past: tuple[PastEpochs, int, int]) -> None:
    port, first, second = past
    looked: list[int] = []
    assert port.count(looked.append) == {first: 6, second: 1}
    assert sum(looked) >= 7
    assert port.drop_all_but(second, looked.append) == 6
    assert port.count(looked.append) == {second: 1}
    assert port.drop_all_but(second, looked.append) == 0


def test_redis_away_is_told_as_such() -> None:
    with pytest.raises(ProjectionUnavailable):
        RedisEpochs(lambda: "redis://127.0.0.1:1").count(lambda _: None)
