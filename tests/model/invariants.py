"""What must hold: in every state, in every state at rest, and from every state on."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.model import sweeping
from tests.model.state import Held, State
from tests.model.world import World


class Violation(NamedTuple):
    """An invariant's name, and what is wrong."""

    invariant: str
    because: str


def violation(world: World, state: State, resting: bool) -> Violation | None:
    """The first invariant that this state violates."""
    for name, check in _ALWAYS.items():
        for because in check(world, state):
            return Violation(name, because)
    if resting:
        for because in rests_right(world, state):
            return Violation(AT_REST, because)
    return None


def checkpoint_within_floor(world: World, state: State) -> Iterator[str]:
    for source in world.sources:
        checkpoint, floor = state.checkpoints[source], state.ledger.floors[source]
        if checkpoint > floor:
            yield f"source {source} is checkpointed at {checkpoint}, its floor is {floor}"


def floor_is_projected(world: World, state: State) -> Iterator[str]:
    for source in world.sources:
        floor, proven = state.ledger.floors[source], state.proven[source]
        if floor > proven:
            yield f"the floor of source {source} is {floor}, but Redis has only seen {proven}"


def floor_within_ledger(world: World, state: State) -> Iterator[str]:
    for source, position, event in _promised(world, state):
        standing = state.ledger.registers[world.events[event].attempt]
        if world.orders[standing] < world.orders[event]:
            yield f"source {source} promises record {position}, and its event e{event} is not in the ledger"


def projected_or_visible(world: World, state: State) -> Iterator[str]:
    """What is promised stands in Redis, or is absent there (a read rebuilds), or its loss can be seen."""
    if _loss_is_visible(world, state):
        return
    for source, position, event in _promised(world, state):
        key, attempt = world.events[event].key, world.events[event].attempt
        value = state.redis.values[key]
        if isinstance(value, Held):
            standing = value.truth[world.attempts_of[key].index(attempt)]
            if world.orders[standing] < world.orders[event]:
                yield (
                    f"source {source} promises record {position}, Redis holds key {key} at {value} without "
                    f"its event e{event}, and no marker shows it"
                )
    for key in _erased(world, state):
        if isinstance(state.redis.values[key], Held):
            yield f"key {key} is erased, Redis still holds it, and no marker shows it"


def states_are_true(world: World, state: State) -> Iterator[str]:
    for key, value in enumerate(state.redis.values):
        if isinstance(value, Held) and value.content != (truth := world.scored(value.truth)):
            yield f"Redis holds key {key} at {value} as {value.content}, the ledger had {truth}"


def accounting_closes(world: World, state: State) -> Iterator[str]:
    counted = state.ledger.applied + sum(worker.uncounted for worker in state.workers)
    rows = sum(map(bool, state.ledger.registers))
    if counted - state.ledger.deleted != rows:
        yield f"{counted} applied less {state.ledger.deleted} deleted, but {rows} rows"


def erased_stays_erased(world: World, state: State) -> Iterator[str]:
    for key in _erased(world, state):
        if any(world.registers_of(state.ledger, key)) or state.ledger.versions[key] is not None:
            yield f"key {key} is erased, and back in the ledger"


def at_rest(world: World, state: State) -> bool:
    """Everything is delivered and checkpointed, nobody is at work, and no loss is in sight."""
    if state.reader is not None or state.flying is not None:
        return False
    for w, worker in enumerate(state.workers):
        source = world.configuration.workers[w]
        if worker.phase in ("off", "gone"):
            if state.owners[source] == w and not _may_be_gone(world, state, source):
                return False
            continue
        end = len(world.streams[source])
        done = worker.committed == state.checkpoints[source] == end and not worker.uncounted
        if state.owners[source] != w or worker.phase != "idle" or worker.adrift or not done:
            return False
    return not _loss_is_visible(world, state)


def rests_right(world: World, state: State) -> Iterator[str]:
    """At rest the ledger is the last writer of each attempt, and Redis is the ledger."""
    wanted = [0] * len(world.attempts)
    for event in world.lasting:
        attempt = world.events[event].attempt
        if not _excused(world, state, event) and world.orders[event] > world.orders[wanted[attempt]]:
            wanted[attempt] = event
    if tuple(wanted) != state.ledger.registers:
        yield f"the ledger holds {state.ledger.registers}, the last writers are {tuple(wanted)}"
    for key, value in enumerate(state.redis.values):
        if isinstance(value, Held):
            version = state.ledger.versions[key]
            content = world.scored(world.registers_of(state.ledger, key))
            if value.version != version or value.content != content:
                yield (
                    f"Redis answers key {key} with {value.content} at {value}, "
                    f"the ledger has {content} at {version or 'no version'}"
                )


def _promised(world: World, state: State) -> Iterator[tuple[int, int, int]]:
    """(source, position, event) of all that a floor covers and the ledger has not refused."""
    trusted = world.guards.floor_in_ledger and world.guards.named_by_creation
    bounds = state.ledger.floors if trusted else state.checkpoints
    for source in world.sources:
        for position in range(1, 1 + bounds[source]):
            for event in world.streams[source][position - 1]:
                if not _excused(world, state, event):
                    yield source, position, event


def _excused(world: World, state: State, event: int) -> bool:
    return world.refused(state.ledger, event) or world.events[event].key in _erased(world, state)


def _erased(world: World, state: State) -> list[int]:
    return [
        key
        for key, (deletion, kind) in enumerate(
            zip(state.deletions, world.configuration.deletions, strict=True)
        )
        if kind != "retain" and deletion.phase not in ("waiting", "lifted")
    ]


def _loss_is_visible(world: World, state: State) -> bool:
    if any(deletion.phase == "unlink" for deletion in state.deletions):
        return True
    if not world.guards.marker:
        return False
    if sweeping.floors_show(world, state):
        return True
    return any(sweeping.memory_shows(world, state, w) for w in range(len(state.workers)))


def _may_be_gone(world: World, state: State, source: int) -> bool:
    if source in world.configuration.mortal or state.ledger.closed[source]:
        return True
    return source in world.parent.values() and state.checkpoints[source] == len(world.streams[source])


CHECKPOINT = "checkpoint within floor"
FLOOR = "floor within projection"
LEDGER = "floor within ledger"
TRUE = "no false state"
ACCOUNTING = "accounting closes"
ERASED = "erased stays erased"
PROJECTED = "projected or visibly lost"
AT_REST = "at rest Redis is the ledger is the last writer"
COMES_TO_REST = "comes to rest without further faults"
_ALWAYS: dict[str, Callable[[World, State], Iterator[str]]] = {
    CHECKPOINT: checkpoint_within_floor,
    FLOOR: floor_is_projected,
    LEDGER: floor_within_ledger,
    TRUE: states_are_true,
    ACCOUNTING: accounting_closes,
    ERASED: erased_stays_erased,
    PROJECTED: projected_or_visible,
}
