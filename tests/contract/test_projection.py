"""The Projection port's contract, on the twin and on Redis; then what only Redis can promise."""

import itertools
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast

import pytest
import redis

from tests.conftest import IDENTITY, NOW
from worker.adapters.memory import MemoryProjection
from worker.adapters.redis import CLAIM_SECONDS, RedisProjection
from worker.batch import StateKey, residence
from worker.domain.errors import ChainBroken, ProjectionUnavailable
from worker.domain.position import ORIGIN, Position
from worker.domain.window import EMPTY, HEADER_SIZE, Version, header
from worker.local.stack import Stack
from worker.ports import Peeked, Projection, Write

Twin = MemoryProjection | RedisProjection

TTL = 3600
ADA, BEN, EVE = (
    StateKey(IDENTITY.identify(student, "default").student_key, "algebra")
    for student in ("ada", "ben", "eve")
)
HIGH = 10**55
"""The smallest sequence number of 56 digits."""
SHARD = "kinesis:arn:aws:kinesis:x:1:stream/s@2026-03-02T12:00:00Z:shardId-0"


@pytest.fixture
def server(stack: Stack) -> Iterator["redis.Redis"]:
    """The Redis server as an operator sees it."""
    with redis.Redis.from_url(stack.endpoints.redis_url) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
def projection(request: pytest.FixtureRequest) -> Twin:
    if request.param == "memory":
        return MemoryProjection()
    return cast("RedisProjection", request.getfixturevalue("redis_projection"))


@pytest.fixture
def flush(projection: Twin, request: pytest.FixtureRequest) -> Callable[[], object]:
    """Lose everything, as an empty restart does."""
    if isinstance(projection, MemoryProjection):
        return lambda: projection.restore(({}, {}, None))
    return cast("redis.Redis", request.getfixturevalue("server")).flushall


@pytest.fixture
def evict(projection: Twin, request: pytest.FixtureRequest) -> Callable[[StateKey], None]:
    """Lose one state, as Redis does when it is full."""
    if isinstance(projection, MemoryProjection):
        return projection.values.__delitem__
    client, named = request.getfixturevalue("server"), projection._key
    return lambda key: client.delete(named(key))


def state(number: int, birth: int = 1) -> bytes:
    """A state of that version."""
    return header(Version(birth, number)) + EMPTY


def put(projection: Projection, *values: tuple[StateKey, bytes], source: str = "elsewhere") -> None:
    """Write states as a batch does that found nothing."""
    found = projection.load_or_claim(source, [key for key, _ in values])
    writes = [
        Write(key, found.claim if old is None else old[:HEADER_SIZE], new)
        for (key, new), old in zip(values, found.values, strict=True)
    ]
    assert projection.write(source, found.marker, Position(0), writes)


def test_whatever_stands_is_found_and_can_be_dropped(projection: Twin) -> None:
    put(projection, (ADA, state(1)), (BEN, state(2)))
    projection.peek([EVE])  # a claim stands too
    found = {resident for page in projection.residents(2) for resident in page}
    assert found == {residence(ADA), residence(BEN), residence(EVE)}
    assert projection.drop([residence(ADA), residence(EVE)]) == 2
    assert projection.states([ADA, BEN, EVE]) == [None, state(2), None]
    assert projection.drop([residence(ADA)]) == 0
    assert projection.drop([]) == 0


def test_a_missing_state_is_claimed(projection: Twin) -> None:
    found = projection.load_or_claim("a", [ADA, BEN])
    assert found.values == [None, None]
    assert found.marker is None
    assert len(found.claim) == HEADER_SIZE
    assert found.claim.startswith(b"T")
    assert projection.write("a", None, Position(1), [Write(ADA, found.claim, state(1))])
    assert projection.states([ADA, BEN]) == [state(1), None]


def test_every_load_claims_anew(projection: Twin) -> None:
    first, second = projection.load_or_claim("a", [ADA]), projection.load_or_claim("a", [ADA])
    assert first.claim != second.claim


def test_a_state_is_returned_and_left_alone(projection: Twin) -> None:
    put(projection, (ADA, state(7)))
    found = projection.load_or_claim("a", [BEN, ADA])
    assert found.values == [None, state(7)]
    assert projection.states([ADA]) == [state(7)]


def test_a_claim_is_stolen_and_the_robbed_write_fails(projection: Twin) -> None:
    robbed, thief = projection.load_or_claim("a", [ADA]), projection.load_or_claim("b", [ADA])
    assert thief.values == [None]
    assert not projection.write("a", None, Position(1), [Write(ADA, robbed.claim, state(1))])
    assert projection.markers(["a"]) == {}
    assert projection.states([ADA]) == [None]
    assert projection.write("b", None, Position(1), [Write(ADA, thief.claim, state(2))])
    assert projection.states([ADA]) == [state(2)]


def test_no_key_at_all_still_moves_the_marker(projection: Twin) -> None:
    found = projection.load_or_claim("a", [])
    assert found.values == []
    assert projection.write("a", found.marker, Position(4), [])
    assert projection.load_or_claim("a", []).marker == Position(4)


def test_an_evicted_state_is_no_absence_to_write_over(
    projection: Twin, evict: Callable[[StateKey], None]
) -> None:
    put(projection, (ADA, state(1)))
    projection.load_or_claim("a", [ADA])
    evict(ADA)
    assert not projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 1)), state(2))])
    assert projection.states([ADA]) == [None]


def test_an_evicted_claim_is_no_claim(projection: Twin, evict: Callable[[StateKey], None]) -> None:
    found = projection.load_or_claim("a", [ADA])
    evict(ADA)
    assert not projection.write("a", None, Position(1), [Write(ADA, found.claim, state(1))])
    assert projection.states([ADA]) == [None]


def test_each_state_is_written_for_itself_but_the_marker_moves_for_all(projection: Twin) -> None:
    put(projection, (ADA, state(1)), (BEN, state(1)), (EVE, state(1)))
    expected, other = header(Version(1, 1)), header(Version(1, 9))
    writes = [Write(ADA, expected, state(2)), Write(BEN, other, state(2)), Write(EVE, expected, b"")]
    assert not projection.write("a", None, Position(1), writes)
    assert projection.states([ADA, BEN, EVE]) == [state(2), state(1), None]
    assert projection.markers(["a"]) == {}


def test_an_equal_number_of_another_birth_is_another_version(projection: Twin) -> None:
    put(projection, (ADA, state(3, birth=1)))
    assert not projection.write(
        "a", None, Position(1), [Write(ADA, header(Version(2, 3)), state(4, birth=2))]
    )
    assert projection.states([ADA]) == [state(3, birth=1)]


def test_an_assertion_writes_nothing(projection: Twin) -> None:
    put(projection, (ADA, state(5)))
    assert projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 5)), None)])
    assert projection.states([ADA]) == [state(5)]


@pytest.mark.parametrize("standing", ["nothing", "a claim", "another version"])
def test_an_assertion_that_does_not_hold_stops_the_marker(projection: Twin, standing: str) -> None:
    if standing == "a claim":
        projection.load_or_claim("other", [ADA])
    elif standing == "another version":
        put(projection, (ADA, state(6)))
    assert not projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 5)), None)])
    assert projection.markers(["a"]) == {}


def test_a_state_is_deleted_by_its_version(projection: Twin) -> None:
    put(projection, (ADA, state(5)))
    assert not projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 4)), b"")])
    assert projection.states([ADA]) == [state(5)]
    assert projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 5)), b"")])
    assert projection.states([ADA]) == [None]


def test_deleting_what_is_gone_is_done(projection: Twin) -> None:
    assert projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 5)), b"")])
    assert projection.markers(["a"]) == {"a": Position(1)}


@pytest.mark.parametrize("seen", [None, Position(3), Position(5, 1)])
def test_a_marker_that_moved_meanwhile_stays_but_right_states_are_kept(
    projection: Twin, seen: Position | None
) -> None:
    put(projection, (ADA, state(1)))
    assert projection.write("a", None, Position(5), [])
    assert not projection.write("a", seen, Position(9), [Write(ADA, header(Version(1, 1)), state(2))])
    assert projection.markers(["a"]) == {"a": Position(5)}
    assert projection.states([ADA]) == [state(2)]


def test_a_marker_that_was_lost_is_not_set_by_who_saw_it(
    projection: Twin, flush: Callable[[], object]
) -> None:
    assert projection.write("a", None, Position(5), [])
    flush()
    assert not projection.write("a", Position(5), Position(6), [])
    assert projection.markers(["a"]) == {}


@pytest.mark.parametrize(
    ("seen", "high", "after"),
    [
        (Position(9), Position(10), Position(10)),
        (Position(10), Position(9), Position(10)),
        (Position(10), Position(10), Position(10)),
        (Position(10, 99), Position(10, 100), Position(10, 100)),
        (Position(10, 2), Position(9, 7), Position(10, 2)),
        (Position(HIGH), Position(HIGH + 1), Position(HIGH + 1)),
        (Position(HIGH + 1), Position(HIGH), Position(HIGH + 1)),
        (Position(HIGH - 1), Position(HIGH), Position(HIGH)),
        (Position(10, events=99), Position(10, events=100), Position(10, events=100)),
        (Position(10, events=99), Position(10), Position(10)),
        (Position(10, 2), Position(10, 2, events=9), Position(10, 2)),
        (Position(3), ORIGIN, Position(3)),
        (ORIGIN, Position(0), Position(0)),
    ],
)
def test_a_marker_becomes_the_greater_position(
    projection: Twin, seen: Position, high: Position, after: Position
) -> None:
    assert projection.write("a", None, seen, [])
    assert projection.load_or_claim("a", []).marker == seen
    assert projection.write("a", seen, high, [])
    assert projection.markers(["a"]) == {"a": after}


def test_markers_tells_those_that_exist(projection: Twin) -> None:
    assert projection.markers([]) == {}
    assert projection.markers(["a", "b"]) == {}
    projection.write("a", None, Position(2), [])
    projection.write(SHARD, None, ORIGIN, [])
    found = projection.markers(["a", "b", SHARD])
    assert list(found.values()) == [Position(2), ORIGIN]


def test_a_reader_finds_a_state(projection: Twin) -> None:
    put(projection, (ADA, state(1)))
    assert projection.peek([ADA])[0] == Peeked(state(1), None)


def test_a_reader_claims_only_where_nothing_stands(projection: Twin) -> None:
    first = projection.peek([ADA])[0]
    assert first.value is None
    assert first.claim is not None
    assert len(first.claim) == HEADER_SIZE
    assert projection.peek([ADA])[0] == Peeked(None, None)
    projection.load_or_claim("a", [BEN])
    assert projection.peek([BEN])[0] == Peeked(None, None)


def test_a_reader_installs_by_its_claim(projection: Twin) -> None:
    claim = projection.peek([ADA])[0].claim
    assert claim is not None
    assert projection.install([Write(ADA, claim, state(1))])[0]
    assert projection.states([ADA]) == [state(1)]
    assert not projection.install([Write(ADA, claim, state(2))])[0]
    assert projection.states([ADA]) == [state(1)]


def test_a_writer_takes_a_readers_claim(projection: Twin) -> None:
    claim = projection.peek([ADA])[0].claim
    assert claim is not None
    found = projection.load_or_claim("a", [ADA])
    assert not projection.install([Write(ADA, claim, state(1))])[0]
    assert projection.write("a", None, Position(1), [Write(ADA, found.claim, state(2))])
    assert projection.states([ADA]) == [state(2)]


def test_a_reader_takes_its_claim_back_where_the_ledger_has_nothing(projection: Twin) -> None:
    claim = projection.peek([ADA])[0].claim
    assert claim is not None
    assert projection.install([Write(ADA, claim, b"")])[0]
    assert projection.peek([ADA])[0].claim is not None


def test_a_reader_mends_a_stale_state_by_its_version(projection: Twin) -> None:
    put(projection, (ADA, state(1)))
    assert not projection.install([Write(ADA, header(Version(1, 2)), state(3))])[0]
    assert projection.install([Write(ADA, header(Version(1, 1)), state(3))])[0]
    assert projection.states([ADA]) == [state(3)]


def test_many_states_are_looked_at_and_mended_at_once(projection: Twin) -> None:
    put(projection, (ADA, state(1)))
    found = projection.peek([ADA, BEN, EVE])
    assert found[0] == Peeked(state(1), None)
    assert [look.value for look in found[1:]] == [None, None]
    claims = [look.claim for look in found[1:]]
    assert None not in claims
    writes = [Write(BEN, claims[0] or b"", state(2)), Write(EVE, header(Version(1, 1)), state(3))]
    assert list(projection.install(writes)) == [True, False]
    assert projection.peek([BEN, EVE])[0] == Peeked(state(2), None)
    assert not projection.peek([])
    assert not projection.install([])


def test_a_watermark_moves_and_goes_with_its_source(projection: Twin) -> None:
    assert projection.watermarks() == {}
    later = NOW + timedelta(microseconds=1)
    for source, moment in (("a", NOW), ("b", NOW), ("a", later)):
        projection.set_watermark(source, moment)
    assert projection.watermarks() == {"a": later, "b": NOW}
    projection.set_watermark("b", None)
    projection.set_watermark("never seen", None)
    assert projection.watermarks() == {"a": later}


def test_a_marker_is_forgotten_where_it_was_seen(projection: Twin) -> None:
    projection.write("file:a:1of2", None, Position(9), [])
    projection.write("b", None, Position(9), [])
    assert not projection.forget_marker("file:a:1of2", Position(8))
    assert projection.forget_marker("file:a:1of2", Position(9))
    assert not projection.forget_marker("file:a:1of2", Position(9)), "it is gone"
    assert projection.markers(["file:a:1of2", "b"]) == {"b": Position(9)}


def test_nothing_is_installed_over_absence(projection: Twin) -> None:
    for value in (state(2), b"", None):
        assert not projection.install([Write(ADA, header(Version(1, 1)), value)])[0]
    assert projection.states([ADA]) == [None]


def test_a_sweep_removes_whatever_is_not_the_ledgers_version(projection: Twin) -> None:
    gone = StateKey(EVE.student_key, "biology")
    put(projection, (ADA, state(1)), (BEN, state(1)), (gone, state(1)))
    projection.load_or_claim("a", [EVE])
    chain = projection.begin_sweep()
    chain, dropped = projection.drop_stale(chain, [(ADA, Version(1, 1)), (BEN, Version(1, 2))])
    assert dropped == 1
    chain, dropped = projection.drop_stale(chain, [(EVE, Version(1, 1)), (gone, None)])
    assert dropped == 2
    assert projection.states([ADA, BEN, EVE, gone]) == [state(1), None, None, None]
    assert projection.peek([EVE])[0].claim is not None, "the claim is gone, not only hidden"
    _, dropped = projection.drop_stale(chain, [(gone, None), (BEN, Version(1, 2))])
    assert dropped == 0


def test_a_sweep_ends_by_raising_the_markers(projection: Twin) -> None:
    projection.write("ahead", None, Position(10), [])
    projection.write("behind", None, Position(9), [])
    floors = {"ahead": Position(9), "behind": Position(10), "missing": Position(HIGH), "fresh": ORIGIN}
    projection.end_sweep(projection.begin_sweep(), floors)
    after = {"ahead": Position(10), "behind": Position(10), "missing": Position(HIGH), "fresh": ORIGIN}
    assert projection.markers([*floors]) == after


def test_a_sweep_without_sources_or_states_ends(projection: Twin) -> None:
    chain, dropped = projection.drop_stale(projection.begin_sweep(), [])
    assert dropped == 0
    projection.end_sweep(chain, {})


def test_another_sweep_breaks_the_chain(projection: Twin) -> None:
    put(projection, (ADA, state(1)))
    mine, theirs = projection.begin_sweep(), projection.begin_sweep()
    with pytest.raises(ChainBroken):
        projection.drop_stale(mine, [(ADA, None)])
    with pytest.raises(ChainBroken):
        projection.end_sweep(mine, {"a": Position(1)})
    assert projection.states([ADA]) == [state(1)]
    assert projection.markers(["a"]) == {}
    projection.end_sweep(theirs, {"a": Position(1)})
    assert projection.markers(["a"]) == {"a": Position(1)}


def test_a_step_of_the_chain_cannot_be_taken_twice(projection: Twin) -> None:
    first = projection.begin_sweep()
    second, _ = projection.drop_stale(first, [])
    with pytest.raises(ChainBroken):
        projection.drop_stale(first, [])
    projection.end_sweep(second, {})
    for chain in (first, second):
        with pytest.raises(ChainBroken):
            projection.drop_stale(chain, [])
        with pytest.raises(ChainBroken):
            projection.end_sweep(chain, {})


def test_losing_everything_breaks_the_chain(projection: Twin, flush: Callable[[], object]) -> None:
    chain = projection.begin_sweep()
    flush()
    with pytest.raises(ChainBroken):
        projection.drop_stale(chain, [(ADA, None)])
    with pytest.raises(ChainBroken):
        projection.end_sweep(chain, {"a": Position(1)})
    assert projection.markers(["a"]) == {}


def test_a_step_that_no_replica_has_breaks_the_chain(projection: Twin, server: "redis.Redis") -> None:
    """A failover between two steps brings the token of an earlier one back."""
    chain = projection.begin_sweep()
    if isinstance(projection, MemoryProjection):
        replica = projection.snapshot()
        chain, _ = projection.drop_stale(chain, [])
        projection.restore(replica)
    else:
        held = server.get(projection._chain)
        chain, _ = projection.drop_stale(chain, [])
        server.set(projection._chain, cast("bytes", held))
    with pytest.raises(ChainBroken):
        projection.end_sweep(chain, {})


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.load_or_claim("a", [ADA]),
        lambda p: p.write("a", None, Position(1), []),
        lambda p: p.peek([ADA]),
        lambda p: p.install([Write(ADA, state(1), None)]),
        lambda p: p.watermarks(),
        lambda p: p.set_watermark("a", NOW),
        lambda p: p.states([ADA]),
        lambda p: p.markers(["a"]),
        lambda p: p.forget_marker("a", ORIGIN),
        lambda p: p.begin_sweep(),
        lambda p: p.drop_stale(b"x", []),
        lambda p: p.end_sweep(b"x", {"a": ORIGIN}),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_projection_that_is_away_says_so(kind: str, call: Callable[[Twin], object]) -> None:
    projection: Twin
    if kind == "memory":
        projection = MemoryProjection()
        projection.away = True
    else:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        projection = RedisProjection(lambda: f"redis://127.0.0.1:{port}/0", 1, TTL)
    with pytest.raises(ProjectionUnavailable):
        call(projection)


# Redis alone.


def ttl(server: "redis.Redis", name: str | bytes) -> int:
    return server.ttl(name)


def test_states_and_claims_expire_markers_and_chain_do_not(
    redis_projection: RedisProjection, server: "redis.Redis"
) -> None:
    projection = redis_projection
    found = projection.load_or_claim("a", [ADA, BEN])
    projection.peek([EVE])
    claims = [ttl(server, projection._key(key)) for key in (ADA, BEN, EVE)]
    assert all(CLAIM_SECONDS - 5 <= left <= CLAIM_SECONDS for left in claims)
    projection.write("a", None, Position(1), [Write(ADA, found.claim, state(1))])
    projection.install([Write(BEN, found.claim, state(1))])
    assert all(TTL - 5 <= ttl(server, projection._key(key)) <= TTL for key in (ADA, BEN))
    chain = projection.begin_sweep()
    assert ttl(server, projection._chain) == -1
    chain, _ = projection.drop_stale(chain, [])
    assert ttl(server, projection._chain) == -1
    assert ttl(server, projection._marker("a")) == -1
    projection.end_sweep(chain, {"a": Position(2)})
    assert ttl(server, projection._marker("a")) == -1
    assert not server.exists(projection._chain)


def test_a_write_renews_the_life_of_a_state(redis_projection: RedisProjection, server: "redis.Redis") -> None:
    put(redis_projection, (ADA, state(1)))
    server.expire(redis_projection._key(ADA), 10)
    redis_projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 1)), state(2))])
    assert ttl(server, redis_projection._key(ADA)) > 10


def test_an_epoch_sees_nothing_of_another(redis_projection: RedisProjection, stack: Stack) -> None:
    put(redis_projection, (ADA, state(1)), source="a")
    chain = redis_projection.begin_sweep()
    restored = RedisProjection(lambda: stack.endpoints.redis_url, 1_000_000_007, TTL)
    assert restored.load_or_claim("a", [ADA])[0::2] == ([None], None)
    assert restored.markers(["a"]) == {}
    restored.begin_sweep()
    _, dropped = redis_projection.drop_stale(chain, [(ADA, Version(1, 1))])
    assert dropped == 0
    assert redis_projection.states([ADA]) == [state(1)]
    restored.close()


def test_one_digit_more_is_another_epoch(redis_projection: RedisProjection, stack: Stack) -> None:
    """No key of epoch 1 may be a key of epoch 11, whatever the source is called."""
    names = [
        {projection._marker(source), projection._chain, projection._key(ADA).hex()}
        for projection in (RedisProjection(lambda: "", epoch, TTL) for epoch in (1, 11))
        for source in ("a", "1:a", ":a")
    ]
    for one, other in itertools.product(names[:3], names[3:]):
        assert not one & other


def test_a_marker_that_moves_while_a_sweep_ends_is_read_again(
    redis_projection: RedisProjection, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection, look, looks = redis_projection, redis_projection.markers, itertools.count()

    def moving(sources: list[str]) -> object:
        seen = look(sources)
        if next(looks) < 3:
            before = projection.load_or_claim("live", []).marker
            assert projection.write("live", before, Position(20 + (before or ORIGIN).sequence), [])
        return seen

    monkeypatch.setattr(projection, "markers", moving)
    projection.end_sweep(projection.begin_sweep(), {"live": Position(7), "still": Position(8)})
    assert next(looks) == 4
    assert look(["live", "still"]) == {"live": Position(59), "still": Position(8)}


def test_a_refused_password_is_asked_for_again(stack: Stack, server: "redis.Redis") -> None:
    """A rotated password costs one failed call, not a restart."""
    passwords = ["old", "new"]
    projection = RedisProjection(
        lambda: stack.endpoints.redis_url.replace("//", f"//worker:{passwords[0]}@"), 1_000_000_008, TTL
    )
    server.acl_setuser("worker", enabled=True, passwords=["+old"], keys=["*"], commands=["+@all"])
    try:
        put(projection, (ADA, state(1)))
        server.acl_setuser("worker", enabled=True, passwords=["-old", "+new"])
        server.client_kill_filter(_type="normal", skipme=True)
        del passwords[0]
        with pytest.raises(ProjectionUnavailable):
            projection.states([ADA])
        assert projection.load_or_claim("a", [ADA]).values == [state(1)]
    finally:
        server.acl_deluser("worker")
        projection.close()


def test_a_closed_projection_opens_again_and_leaves_no_connection(
    stack: Stack, server: "redis.Redis"
) -> None:
    connections = len(server.client_list())
    projection = RedisProjection(lambda: stack.endpoints.redis_url, 1_000_000_009, TTL)
    for _ in range(2):
        projection.load_or_claim("a", [ADA])
        projection.close()
    assert len(server.client_list()) == connections


def test_forgotten_scripts_are_sent_again(redis_projection: RedisProjection, server: "redis.Redis") -> None:
    put(redis_projection, (ADA, state(1)))
    server.script_flush()
    assert redis_projection.load_or_claim("a", [ADA]).values == [state(1)]


def test_a_demoted_primary_is_unavailable(redis_projection: RedisProjection, server: "redis.Redis") -> None:
    put(redis_projection, (ADA, state(1)))
    server.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(ProjectionUnavailable):
            redis_projection.load_or_claim("a", [ADA, BEN])
        with pytest.raises(ProjectionUnavailable):
            redis_projection.peek([BEN])
    finally:
        server.replicaof("NO", "ONE")
    assert redis_projection.load_or_claim("a", [ADA]).values == [state(1)]


def test_a_full_server_is_unavailable_and_keeps_what_it_has(
    redis_projection: RedisProjection, server: "redis.Redis"
) -> None:
    put(redis_projection, (ADA, state(1)))
    server.config_set("maxmemory", "1")
    try:
        with pytest.raises(ProjectionUnavailable):
            redis_projection.write("a", None, Position(1), [Write(ADA, header(Version(1, 1)), state(2))])
    finally:
        server.config_set("maxmemory", "0")
    assert redis_projection.states([ADA]) == [state(1)]
    assert redis_projection.markers(["a"]) == {}
