"""The ClassStore port's contract, on the twin and on Valkey."""

from collections.abc import Iterator
from itertools import count

import pytest
import redis

from worker.adapters.memory import MemoryClasses
from worker.adapters.redis_classes import RedisClasses
from worker.domain.errors import ProjectionUnavailable
from worker.local.stack import Stack
from worker.reads import ClassStore

_epochs = count(700_000_000)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Iterator[ClassStore]:
    if request.param == "memory":
        yield MemoryClasses(clock)
        return
    stack: Stack = request.getfixturevalue("stack")
    real = RedisClasses(lambda: stack.endpoints.redis_url, next(_epochs), clock)
    yield real
    real.close()


def test_what_was_put_is_got(store: ClassStore) -> None:
    assert store.get("room", "algebra") is None
    store.put("room", "algebra", b"one")
    store.put("ranking", "algebra", b"\x00\xff")
    store.put("room", "art: é\n", b"")
    assert store.get("room", "algebra") == b"one"
    assert store.get("ranking", "algebra") == b"\x00\xff"
    assert store.get("room", "art: é\n") == b""
    store.put("room", "algebra", b"two")
    assert store.get("room", "algebra") == b"two"


def test_a_course_is_wanted_for_as_long_as_was_asked(store: ClassStore, clock: Clock) -> None:
    assert list(store.wanted(600)) == []
    store.want("algebra")
    clock.now += 400
    store.want("art é")
    assert sorted(store.wanted(600)) == ["algebra", "art é"]
    clock.now += 201
    assert list(store.wanted(600)) == ["art é"]
    store.want("art é")
    clock.now += 600
    assert list(store.wanted(600)) == ["art é"]
    clock.now += 1
    assert list(store.wanted(600)) == []


def test_two_epochs_share_nothing(stack: Stack) -> None:
    one, other = (RedisClasses(lambda: stack.endpoints.redis_url, next(_epochs)) for _ in range(2))
    one.put("room", "algebra", b"one")
    one.want("algebra")
    assert other.get("room", "algebra") is None
    assert list(other.wanted(600)) == []
    for store in (one, other):
        store.close()


def test_what_is_put_does_not_last_for_ever(stack: Stack) -> None:
    epoch = next(_epochs)
    store = RedisClasses(lambda: stack.endpoints.redis_url, epoch)
    store.put("room", "algebra", b"one")
    store.want("algebra")
    store.close()
    with redis.Redis.from_url(stack.endpoints.redis_url) as client:
        lives = [client.ttl(key) for key in client.scan_iter(f"*{epoch}*")]
    assert len(lives) == 2
    assert all(0 < life <= 3600 for life in lives)


def test_away_is_told_as_such() -> None:
    twin = MemoryClasses()
    twin.away = True
    for store in (twin, RedisClasses(lambda: "redis://127.0.0.1:1/0", 1)):
        with pytest.raises(ProjectionUnavailable):
            store.get("room", "algebra")
        with pytest.raises(ProjectionUnavailable):
            store.put("room", "algebra", b"")
        with pytest.raises(ProjectionUnavailable):
            store.want("algebra")
        with pytest.raises(ProjectionUnavailable):
            store.wanted(600)
