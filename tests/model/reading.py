"""A read that mends what it finds missing or old: the steps of `worker/stream/reading.py`.

Found: a state of the version that the reader has seen in the ledger, or a writer's claim. Then it only
serves, which changes nothing, and needs no step here.
"""

from collections.abc import Iterator

from tests.model import ledger, redis
from tests.model.state import Held, Reader, Script, State, Step
from tests.model.world import World, fresh


def steps(world: World, state: State) -> Iterator[Step]:
    """Every way on for the reader, a new read included."""
    reader = state.reader
    if reader is None:
        if state.budget.read:
            begun = state._replace(budget=state.budget._replace(read=state.budget.read - 1))
            for key in world.keys:
                yield from peek(world, begun, key)
    elif reader.phase == "snapshot":
        yield from peek(world, state, reader.key)
    elif reader.phase == "read":
        yield from read(world, state, reader)
    else:
        yield from install(world, state, reader)


def peek(world: World, state: State, key: int) -> Iterator[Step]:
    """A missing state is claimed, a stale one noted by its header."""
    reader = state.reader
    if reader is None and not world.guards.writer_only:
        # what a reader endpoint that lags will answer is how the ledger was some time ago
        now = Reader("snapshot", key, value=ledger.held(world, state.ledger, key))
        yield Step(state._replace(reader=now), "a reader endpoint of PostgreSQL lags from now on")
        return
    answer, found = redis.run(world, state.redis, Script("peek", (key, claim := fresh(state, "a reader"))))
    after = state._replace(redis=answer)
    old = reader.value if reader is not None else None
    phase = "read" if reader is None else "install"
    if found is None:
        expected = claim if world.guards.claims else None
        yield Step(
            after._replace(reader=Reader(phase, key, expected, old)),
            "a reader misses key {} and claims it",
            (key,),
        )
    elif isinstance(found, Held) and found.version != state.ledger.versions[key]:
        yield Step(
            after._replace(reader=Reader(phase, key, found.version, old)),
            "a reader finds key {} stale",
            (key,),
        )


def read(world: World, state: State, reader: Reader) -> Iterator[Step]:
    """Version and survivors in one snapshot of the writer."""
    value = ledger.held(world, state.ledger, reader.key)
    yield Step(
        state._replace(reader=reader._replace(phase="install", value=value)),
        "the reader reads key {} at {}",
        (reader.key, value),
    )


def install(world: World, state: State, reader: Reader) -> Iterator[Step]:
    """Losing to a writer is as good as winning."""
    script = Script("install", (reader.key, reader.expected, reader.value))
    answer, won = redis.run(world, state.redis, script)
    told = "the reader installs key {} at {}" if won else "the reader is too late to install key {} at {}"
    yield Step(state._replace(redis=answer, reader=None), told, (reader.key, reader.value))
