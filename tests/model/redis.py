"""What Redis does in one call: the scripts of `worker/lua`, functions from Redis to Redis and a reply."""

from collections.abc import Callable

from tests.model.state import Header, Held, Mark, Planned, Redis, Row, Script, Token, Value, header
from tests.model.world import World, replaced


def run(world: World, redis: Redis, script: Script) -> tuple[Redis, object]:
    """Execute one script."""
    return _SCRIPTS[script.name](world, redis, *script.arguments)


def look(
    world: World, redis: Redis, source: int, keys: tuple[int, ...]
) -> tuple[Redis, tuple[tuple[Value, ...], Mark]]:
    """MGET: every state and the marker, as they stand together."""
    return redis, (tuple(redis.values[key] for key in keys), redis.markers[source])


def claim_missing(
    world: World, redis: Redis, keys: tuple[int, ...], claim: Token
) -> tuple[Redis, tuple[Value, ...]]:
    """load_or_claim.lua, of keys that a look did not find: the state, or my claim where there is none."""
    values = redis.values
    found: list[Value] = []
    for key in keys:
        value = values[key]
        if not isinstance(value, Held):
            value = claim if world.guards.claims else None
            values = replaced(values, key, value)
        found.append(value)
    return redis._replace(values=values), tuple(found)


def write(
    world: World, redis: Redis, source: int, seen: Mark, reach: Mark, plan: tuple[Planned, ...]
) -> tuple[Redis, bool]:
    """write.lua: what still holds is done; the marker moves only if all held and it is as seen."""
    guards, values, held = world.guards, redis.values, True
    for key, expected, act, value in plan:
        current = header(values[key])
        if act == "assert" and not guards.asserts:
            continue
        if act == "delete" and current is None:
            continue
        if current != expected:
            held = False
        elif act == "set":
            values = replaced(values, key, value)
        elif act == "delete":
            values = replaced(values, key, None)
    redis = redis._replace(values=values)
    if not guards.marker:
        return redis, held
    current_mark = redis.markers[source]
    if not held or (guards.marker_compared and current_mark != seen):
        return redis, False
    moved = max(current_mark, seen, reach)
    return redis._replace(markers=replaced(redis.markers, source, moved)), True


def begin_sweep(world: World, redis: Redis, token: Token) -> tuple[Redis, bool]:
    """SET of a new chain: whichever sweep was under way is broken by it."""
    return (redis._replace(chain=token) if world.guards.chain else redis), True


def drop_stale(
    world: World,
    redis: Redis,
    expected: Token,
    token: Token,
    rows: tuple[Row, ...],
) -> tuple[Redis, bool]:
    """drop_stale.lua: remove what is not of that version; the reply tells whether the chain held."""
    if world.guards.chain and redis.chain != expected:
        return redis, False
    values = redis.values
    for key, version in rows:
        if values[key] is not None and header(values[key]) != version:
            values = replaced(values, key, None)
    return redis._replace(values=values, chain=token if world.guards.chain else None), True


def end_sweep(world: World, redis: Redis, expected: Token, targets: tuple[Mark, ...]) -> tuple[Redis, bool]:
    """end_sweep.lua: raise the markers, never lower one."""
    if world.guards.chain and redis.chain != expected:
        return redis, False
    raised = tuple(max(mark, target) for mark, target in zip(redis.markers, targets, strict=True))
    return redis._replace(markers=raised, chain=None), True


def peek(world: World, redis: Redis, key: int, claim: Token) -> tuple[Redis, Value]:
    """SET NX GET: a reader's claim stands only where nothing stood."""
    if redis.values[key] is None and world.guards.claims:
        return redis._replace(values=replaced(redis.values, key, claim)), None
    return redis, redis.values[key]


def install(world: World, redis: Redis, key: int, expected: Header, value: Held | None) -> tuple[Redis, bool]:
    """install.lua: one conditional write of a reader; nothing to install deletes."""
    if header(redis.values[key]) != expected:
        return redis, False
    return redis._replace(values=replaced(redis.values, key, value)), True


def unlink(world: World, redis: Redis, key: int, number: int) -> tuple[Redis, bool]:
    """A deletion's own script: UNLINK, and the marker only if all deletions before are done."""
    redis = redis._replace(values=replaced(redis.values, key, None))
    mark = redis.markers[world.deletions]
    if world.guards.deletions_counted:
        mark = Mark(number) if mark == Mark(number - 1) else mark
    else:
        mark = max(mark, Mark(number))
    return redis._replace(markers=replaced(redis.markers, world.deletions, mark)), True


_SCRIPTS: dict[str, Callable[..., tuple[Redis, object]]] = {
    function.__name__: function
    for function in (look, claim_missing, write, begin_sweep, drop_stale, end_sweep, peek, install, unlink)
}
