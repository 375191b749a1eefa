"""A reader never waits, never shows what it knows to be stale, and mends what is missing."""

from collections.abc import Callable

import pytest

from tests.conftest import NOW, batch, minutes, score_event
from tests.doubles import Scene, key_of
from worker.domain import window
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable
from worker.domain.window import HEADER_SIZE, Version, header
from worker.ports import Write
from worker.stream.projecting import state_value
from worker.stream.reading import Read, ScoreReader

EVENT = score_event(score=80)
KEY = key_of(EVENT)
FROM_REDIS = ["peek"]
FROM_LEDGER = ["peek", "read"]
MENDED = ["peek", "read", "install"]


@pytest.fixture
def scene() -> Scene:
    """One attempt in the ledger, nothing in Redis."""
    scene = Scene()
    scene.ledger.open_source("test")
    scene.ledger.commit(batch(EVENT))
    return scene


@pytest.fixture
def read(scene: Scene) -> Callable[..., Read | None]:
    reader = ScoreReader(scene.wire.connect(scene.ledger), scene.wire.connect(scene.projection))
    return reader.read


def current(scene: Scene) -> bytes:
    """What Redis should hold."""
    return state_value(scene.ledger.read([KEY])[KEY])


def regrade(scene: Scene, score: float = 90, sequence: int = 2) -> None:
    event = score_event(score=score, graded=NOW + minutes(sequence))
    scene.ledger.commit(batch(event, sequence=sequence))


def expected(scene: Scene, *, degraded: bool = False) -> Read:
    value = current(scene)
    return Read(window.unpack(value[HEADER_SIZE:]), window.version_of(value), degraded)


def test_a_missing_state_is_claimed_rebuilt_and_installed(scene: Scene, read: Callable[..., Read]) -> None:
    assert read(KEY) == expected(scene)
    assert scene.wire.since() == MENDED
    assert scene.projection.values == {KEY: current(scene)}
    assert read(KEY) == expected(scene)
    assert scene.wire.since() == FROM_REDIS


def test_a_writers_claim_is_left_alone(scene: Scene, read: Callable[..., Read]) -> None:
    found = scene.projection.load_or_claim("test", [KEY])
    assert read(KEY) == expected(scene)
    assert scene.wire.since() == FROM_LEDGER
    assert scene.projection.values == {KEY: found.claim}


def test_another_readers_claim_is_left_alone(scene: Scene, read: Callable[..., Read]) -> None:
    claim = scene.projection.peek([KEY])[0].claim
    assert read(KEY) == expected(scene)
    assert scene.wire.since() == FROM_LEDGER
    assert scene.projection.values == {KEY: claim}


def test_a_writer_that_comes_between_wins(scene: Scene, read: Callable[..., Read]) -> None:
    scene.wire.after("read", lambda: scene.projection.load_or_claim("test", [KEY]))
    assert read(KEY) == expected(scene)
    assert scene.wire.since() == MENDED
    assert scene.projection.states([KEY]) == [None], "nothing was installed over the writer's claim"


def test_a_commit_after_the_snapshot_is_not_overwritten_by_it(
    scene: Scene, read: Callable[..., Read]
) -> None:
    def write() -> None:
        found = scene.projection.load_or_claim("test", [KEY])
        regrade(scene)
        value = current(scene)
        assert scene.projection.write("test", found.marker, batch().high, [Write(KEY, found.claim, value)])

    before = expected(scene)
    scene.wire.after("read", write)
    assert read(KEY) == before, "what was right when it was asked for"
    assert scene.projection.values == {KEY: current(scene)}


def test_a_stale_state_is_mended_before_it_is_served(scene: Scene, read: Callable[..., Read]) -> None:
    read(KEY)
    regrade(scene)
    scene.wire.since()
    stale = read(KEY)
    assert stale is not None
    assert stale.version.number == 1, "without a version to hold it against, a state is served as it is"
    assert scene.wire.since() == FROM_REDIS
    version = scene.ledger.read([KEY])[KEY].version
    assert read(KEY, version) == expected(scene)
    assert scene.wire.since() == MENDED
    assert read(KEY, version) == expected(scene)
    assert scene.wire.since() == FROM_REDIS


def test_a_state_of_another_birth_is_mended(scene: Scene, read: Callable[..., Read]) -> None:
    scene.projection.values[KEY] = header(Version(99, 1)) + window.EMPTY
    version = scene.ledger.read([KEY])[KEY].version
    assert read(KEY, version) == expected(scene)
    assert scene.projection.values == {KEY: current(scene)}


def test_a_state_newer_than_asked_for_is_served_as_the_ledger_is(
    scene: Scene, read: Callable[..., Read]
) -> None:
    old = scene.ledger.read([KEY])[KEY].version
    regrade(scene)
    scene.projection.values[KEY] = current(scene)
    assert read(KEY, old) == expected(scene)
    assert scene.projection.values == {KEY: current(scene)}


def test_a_stale_state_that_a_writer_mends_first_is_not_overwritten(
    scene: Scene, read: Callable[..., Read]
) -> None:
    read(KEY)
    regrade(scene)
    version = scene.ledger.read([KEY])[KEY].version

    def write() -> None:
        regrade(scene, 95, sequence=3)
        scene.projection.values[KEY] = current(scene)

    scene.wire.after("read", write)
    found = read(KEY, version)
    assert found is not None
    assert found.version == version
    assert scene.projection.values == {KEY: current(scene)}


def test_an_unreadable_format_is_mended(scene: Scene, read: Callable[..., Read]) -> None:
    value = current(scene)
    scene.projection.values[KEY] = value[:HEADER_SIZE] + b"\xff" + value[HEADER_SIZE + 1 :]
    assert read(KEY) == expected(scene)
    assert scene.projection.values == {KEY: current(scene)}


def test_what_the_ledger_does_not_know_is_nothing_and_leaves_nothing(
    scene: Scene, read: Callable[..., Read | None]
) -> None:
    unknown = KEY._replace(course_id="never taken")
    assert read(unknown) is None
    assert scene.wire.since() == MENDED
    assert scene.projection.values == {}


def test_redis_away_is_served_from_the_ledger_and_told(scene: Scene, read: Callable[..., Read]) -> None:
    scene.projection.away = True
    assert read(KEY) == expected(scene, degraded=True)
    assert scene.wire.since() == FROM_LEDGER
    assert read(KEY._replace(course_id="never taken")) is None


def test_redis_lost_before_the_install_is_told(scene: Scene, read: Callable[..., Read]) -> None:
    scene.wire.before("install", ProjectionUnavailable())
    assert read(KEY) == expected(scene, degraded=True)


def test_the_ledger_away_is_only_felt_where_redis_has_nothing(
    scene: Scene, read: Callable[..., Read]
) -> None:
    read(KEY)
    held = expected(scene)
    scene.ledger.away = True
    assert read(KEY) == held
    with pytest.raises(LedgerUnavailable):
        read(KEY._replace(course_id="biology"))
    with pytest.raises(LedgerUnavailable):
        read(KEY, Version(1, 2))


def test_an_attempt_that_was_voided_is_a_state_without_it(scene: Scene, read: Callable[..., Read]) -> None:
    scene.ledger.commit(batch(score_event(void=True, graded=NOW + minutes(1)), sequence=2))
    found = read(KEY)
    assert (found.window.total, found.window.ring, found.version.number) == (0, [], 2)
