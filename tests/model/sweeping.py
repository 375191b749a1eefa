"""Healing after Redis lost writes, and coming back from being adrift: `worker/stream/sweeping.py`.

The turn to sweep is a lock in PostgreSQL. Its session may be cut while its owner goes on, so two sweeps at a
time must be harmless. A page here is one key, the worst case.
"""

from collections.abc import Iterator

from tests.model import ledger
from tests.model.state import Mark, Row, Script, State, Step, Sweep, Token, Worker
from tests.model.world import World, fresh, put

SWEEPING = ("sweep begin", "sweep page", "sweep drop", "sweep end")


def floors_show(world: World, state: State) -> bool:
    """Whether a marker is behind the ledger's floor: anyone can see then that Redis went back."""
    return world.guards.floor_in_ledger and any(
        marker.position < floor and not closed
        for marker, floor, closed in zip(
            state.redis.markers, state.ledger.floors, state.ledger.closed, strict=True
        )
    )


def memory_shows(world: World, state: State, w: int) -> bool:
    """Whether a marker is behind what worker `w` knows to be projected; nobody else can see that."""
    return state.redis.markers[world.configuration.workers[w]] < state.workers[w].floor


def tick(world: World, state: State, w: int) -> Iterator[Step]:
    """`_heal`: land when adrift, sweep when writes were lost."""
    worker = state.workers[w]
    if worker.adrift:
        if not world.guards.lands_by_sweep:
            landed = worker._replace(adrift=False, projected=worker.committed)
            yield Step(put(state, w, landed), "W{} has Redis back and goes on", (w,))
            return
        yield from read_floors(world, state, w, start(worker), "would land, ")
        return
    if state.budget.schedule:
        spent = state._replace(budget=state.budget._replace(schedule=state.budget.schedule - 1))
        yield from read_floors(world, spent, w, start(worker), "sweeps on schedule, ")
    if world.guards.marker and (memory_shows(world, state, w) or floors_show(world, state)):
        yield from read_floors(world, state, w, start(worker), "sees that Redis lost writes, ")


def start(worker: Worker) -> Worker:
    """A sweep interrupts the phase that noticed, which begins again after it."""
    return worker._replace(phase="sweep floors", sweep=Sweep(worker.phase), seen=Mark(), loaded=(), plan=())


def read_floors(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """Take the turn; what the markers shall be when all is swept are the floors as they are before."""
    sweep = worker.sweep
    assert sweep is not None
    if any(other.phase in SWEEPING for other in state.workers):
        if worker.phase == state.workers[w].phase:
            back = worker._replace(phase=sweep.back, sweep=None)
            yield Step(put(state, w, back), "W{} {}finds that another worker sweeps", (w, told))
        if not state.budget.turn:
            return
        state = state._replace(budget=state.budget._replace(turn=state.budget.turn - 1))
        told += "takes the turn of a sweep whose session was CUT, and "
    targets = _targets(world, state, w, worker) if world.guards.floors_first else ()
    begun = worker._replace(phase="sweep begin", sweep=sweep._replace(targets=targets))
    yield Step(put(state, w, begun), "W{} {}reads the floors", (w, told))


def _targets(world: World, state: State, w: int, worker: Worker) -> tuple[Mark, ...]:
    floors = [
        Mark(floor) if world.guards.floor_in_ledger and not closed else Mark()
        for floor, closed in zip(state.ledger.floors, state.ledger.closed, strict=True)
    ]
    own = Mark(worker.committed) if worker.adrift else worker.floor
    source = world.configuration.workers[w]
    floors[source] = max(floors[source], own)
    return tuple(floors)


def read_page(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """The versions of the next page, from the ledger; after the last one, the erased keys."""
    sweep = worker.sweep
    assert sweep is not None
    keys = len(world.keys)
    rows = ledger.rows_from(state.ledger, sweep.page)
    page = rows[-1].key + 1 if rows else keys + 1
    if not rows:
        rows = tuple(Row(key, state.ledger.versions[key]) for key in _erased(world, state))
    sweep = sweep._replace(page=page, rows=rows)
    phase = "sweep drop" if rows else "sweep end"
    if page > keys and not world.guards.floors_first:
        sweep = sweep._replace(targets=_targets(world, state, w, worker))
    yield Step(
        put(state, w, worker._replace(phase=phase, sweep=sweep)),
        "W{} sweeps: reads {}",
        (w, rows),
    )


def _erased(world: World, state: State) -> list[int]:
    """Keys with a tombstone; and with one that was lifted, for their state may come back without a row."""
    lifted = world.guards.lifted_are_swept
    return [key for key in world.keys if state.ledger.erased[key] or (lifted and state.ledger.lifted[key])]


def request(state: State, w: int, worker: Worker) -> Script | None:
    """What a sweep sends to Redis in its phase."""
    sweep = worker.sweep
    if sweep is None:
        return None
    if worker.phase == "sweep begin":
        return Script("begin_sweep", (fresh(state, f"W{w}"),))
    if worker.phase == "sweep drop":
        return Script("drop_stale", (sweep.chain, fresh(state, f"W{w}"), sweep.rows))
    if worker.phase == "sweep end":
        return Script("end_sweep", (sweep.chain, sweep.targets))
    return None


def answered(world: World, worker: Worker, script: Script, reply: bool) -> Worker:
    """The worker after Redis has replied; a broken chain promises nothing, and the caller comes back."""
    sweep = worker.sweep
    assert sweep is not None
    if not reply:
        return worker._replace(phase=sweep.back, sweep=None)
    if worker.phase == "sweep end":
        return _end(world, worker, sweep)
    token = script.arguments[-2 if worker.phase == "sweep drop" else -1]
    assert isinstance(token, Token)
    phase = "sweep end" if sweep.page > len(world.keys) else "sweep page"
    return worker._replace(phase=phase, sweep=sweep._replace(chain=token, rows=()))


def _end(world: World, worker: Worker, sweep: Sweep) -> Worker:
    """All that was committed is either right in Redis or absent; `_land` is over where one was under way."""
    worker = worker._replace(phase=sweep.back, sweep=None)
    if not worker.adrift:
        return worker
    floor = max(worker.floor, Mark(worker.committed)) if world.guards.landing_raises_floor else worker.floor
    return worker._replace(adrift=False, projected=worker.committed, floor=floor)
