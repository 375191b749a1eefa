"""The steps of one worker: `worker/stream/pipeline.py`, one atomic act on a store at a time.

A phase that calls Redis is a script to send (`request`) and what its reply leads to (`answered`), apart, so
that faults can come between: a call may fail with its script executed, not executed, or executed much later.
"""

from collections.abc import Iterator

from tests.model import ledger, projecting, redis, sweeping
from tests.model.state import Call, Held, Mark, Script, State, Step, Value, Worker
from tests.model.world import World, fresh, put, replaced

_CLAIMING = {"claim": "load", "reclaim": "reload"}
"""The phases between a look that found states missing and its claims, and where each begins again."""


def steps(world: World, state: State, w: int) -> Iterator[Step]:
    """Every way on for worker `w` that needs no fault."""
    worker = state.workers[w]
    if worker.phase == "idle":
        yield from settle(world, state, w)
        yield from leave(world, state, w)
        yield from sweeping.tick(world, state, w)
    for ready, told in deliver(world, state, w):
        yield from act(world, state, w, ready, told)


def deliver(world: World, state: State, w: int) -> Iterator[tuple[Worker, str]]:
    """The worker ready for its next act: as it is, or given each possible call of records.

    Taking records touches no store, so it is one step with the act that follows.
    """
    worker, source = state.workers[w], world.configuration.workers[w]
    if worker.phase != "idle":
        if worker.phase not in ("off", "gone"):
            yield worker, ""
        return
    parent = world.parent.get(source)
    if parent is not None and state.checkpoints[parent] < len(world.streams[parent]):
        return
    end = len(world.streams[source])
    for count in range(1, 1 + min(world.configuration.records_a_call, end - worker.committed)):
        batches = world.batches(source, worker.committed, count)
        told = f"is given {count} record{'s' if count > 1 else ''} after {worker.committed} and "
        yield _next_batch(world, worker._replace(batches=batches)), told


def _next_batch(world: World, worker: Worker) -> Worker:
    """The phase in which the first batch waiting begins."""
    first = "load" if world.guards.claim_first and not worker.adrift else _before_commit(world)
    return worker._replace(
        phase=first if worker.batches else "idle", seen=Mark(), loaded=(), plan=(), touched=(), sweep=None
    )


def _before_commit(world: World) -> str:
    return "commit" if world.guards.erase_lock else "glance"


def act(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """One act of a worker that is ready."""
    script = request(world, state, w, worker)
    if script is not None:
        answer, reply = redis.run(world, state.redis, script)
        done = answered(world, worker, script, reply)
        after = put(state._replace(redis=answer), w, done)
        yield Step(_prove(world, after, w, worker), "W{} {}{}", (w, told, Call(script, reply, done.phase)))
        return
    yield from _ASKS_LEDGER[worker.phase](world, state, w, worker, told)


def _prove(world: World, state: State, w: int, before: Worker) -> State:
    """The ghost of what is projected: a final script that held, or a sweep that let its worker land."""
    worker, source = state.workers[w], world.configuration.workers[w]
    landed = before.adrift and not worker.adrift
    written = before.phase == "write" and worker.phase != "reload"
    if not (landed or written) or worker.projected <= state.proven[source]:
        return state
    return state._replace(proven=replaced(state.proven, source, worker.projected))


def request(world: World, state: State, w: int, worker: Worker) -> Script | None:
    """What the worker sends to Redis in its phase; None where it asks the ledger."""
    source = world.configuration.workers[w]
    if worker.phase in ("load", "reload"):
        return Script("look", (source, world.keys_of(worker.batches[0])))
    if worker.phase in _CLAIMING:
        return Script("claim_missing", (_missing(world, worker), fresh(state, f"W{w}")))
    if worker.phase == "write":
        return Script("write", (source, worker.seen, worker.batches[0].reach, worker.plan))
    return sweeping.request(state, w, worker)


def answered(world: World, worker: Worker, script: Script, reply: object) -> Worker:
    """The worker after Redis has replied."""
    if worker.phase in ("load", "reload"):
        assert isinstance(reply, tuple)
        return _looked(world, worker, *reply)
    if worker.phase in _CLAIMING:
        assert isinstance(reply, tuple)
        return _claimed(world, worker, reply)
    if worker.phase == "write":
        if not reply:
            return worker._replace(phase="reload", seen=Mark(), plan=())
        return finish_batch(world, worker, max(worker.seen, worker.batches[0].reach))
    return sweeping.answered(world, worker, script, bool(reply))


def _missing(world: World, worker: Worker) -> tuple[int, ...]:
    """The keys for which a plain read found no state."""
    pairs = zip(world.keys_of(worker.batches[0]), worker.loaded, strict=True)
    return tuple(key for key, value in pairs if not isinstance(value, Held))


def _looked(world: World, worker: Worker, values: tuple[Value, ...], marker: Mark) -> Worker:
    """A plain read of all; the script comes only where it found no state."""
    if all(isinstance(value, Held) for value in values):
        return _loaded(world, worker, values, marker)
    claiming = "claim" if worker.phase == "load" else "reclaim"
    return worker._replace(phase=claiming, loaded=values, seen=marker)


def _claimed(world: World, worker: Worker, values: tuple[Value, ...]) -> Worker:
    """What the script found of the missing ones; the others, and the marker, are as old as the first look."""
    found = dict(zip(_missing(world, worker), values, strict=True))
    keys = world.keys_of(worker.batches[0])
    loaded = tuple(found.get(key, value) for key, value in zip(keys, worker.loaded, strict=True))
    looked = worker._replace(phase=_CLAIMING[worker.phase], loaded=(), seen=Mark())
    return _loaded(world, looked, loaded, worker.seen)


def _loaded(world: World, worker: Worker, values: tuple[Value, ...], marker: Mark) -> Worker:
    """`_load`: a marker behind what this process knows to be projected means lost writes; sweep first."""
    if world.guards.marker and marker < worker.floor:
        return sweeping.start(worker)
    keys = world.keys_of(worker.batches[0])
    worker = worker._replace(seen=marker)
    if worker.phase == "reload":
        return worker._replace(phase="read", plan=projecting.rebuild_all(keys, values))
    if worker.touched:  # without `claim_first`: the transaction was before
        return project(world, worker._replace(loaded=values))
    return worker._replace(phase=_before_commit(world), loaded=values)


def project(world: World, worker: Worker) -> Worker:
    """`_project`: plan, and where something must be rebuilt, read first."""
    loaded = dict(zip(world.keys_of(worker.batches[0]), worker.loaded, strict=True))
    plan = projecting.plan(world, worker.touched, tuple(loaded[found.key] for found in worker.touched))
    phase = "read" if any(planned.act == "rebuild" for planned in plan) else "write"
    return worker._replace(phase=phase, plan=plan, loaded=(), touched=())


def finish_batch(world: World, worker: Worker, marker: Mark | None) -> Worker:
    """The end of `_journey`; `marker` is None where the projection was left behind."""
    high = worker.batches[0].high
    worker = worker._replace(committed=max(worker.committed, high), batches=worker.batches[1:])
    if marker is not None:
        floor = max(worker.floor, marker) if world.guards.floor_in_memory else worker.floor
        worker = worker._replace(projected=max(worker.projected, high), floor=floor)
    elif not world.guards.adrift_stands_still:
        worker = worker._replace(projected=max(worker.projected, high))
    return _next_batch(world, worker)


def failed(world: World, worker: Worker) -> Iterator[tuple[Worker, str]]:
    """What may follow a call that Redis did not answer: another try, or going on with the ledger alone."""
    phase = worker.sweep.back if worker.sweep is not None else worker.phase
    if phase in _CLAIMING:
        phase, worker = _CLAIMING[phase], worker._replace(loaded=(), seen=Mark())
    again = worker._replace(phase="reload" if phase == "write" else phase, sweep=None, plan=())
    yield again, "tries again"
    if phase == "load":
        yield worker._replace(phase=_before_commit(world), adrift=True, sweep=None), "goes adrift"
    elif phase != "idle":
        yield finish_batch(world, worker._replace(adrift=True), None), "goes adrift"


# ---- what asks the ledger


def glance(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """Without `erase_lock`: tombstones are read before the transaction that relies on them."""
    seen = worker._replace(phase="commit", glimpse=state.ledger.erased)
    yield Step(put(state, w, seen), "W{} {}reads the tombstones", (w, told))


def commit(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """The ledger transaction, and the plan for what it touched."""
    source, batch = world.configuration.workers[w], worker.batches[0]
    erased = worker.glimpse or state.ledger.erased
    books, touched = ledger.commit(world, state.ledger, source, batch, erased)
    if not world.guards.counters_inside:
        applied = sum(map(bool, books.registers)) - sum(map(bool, state.ledger.registers))
        worker = worker._replace(uncounted=worker.uncounted + applied)
    worker = worker._replace(glimpse=())
    if worker.adrift:
        done = finish_batch(world, worker, None)
    elif not world.guards.claim_first:
        done = worker._replace(phase="load", touched=touched)
    else:
        done = project(world, worker._replace(touched=touched))
    after = put(state._replace(ledger=books), w, done)
    yield Step(after, "W{} {}COMMITS {}: {}", (w, told, batch, touched))


def read(world: World, state: State, w: int, worker: Worker, told: str) -> Iterator[Step]:
    """Versions and survivors of what must be rebuilt, in one snapshot."""
    if world.guards.one_snapshot:
        plan = ledger.read(world, state.ledger, worker.plan)
        yield Step(
            put(state, w, worker._replace(phase="write", plan=plan)), "W{} reads the ledger: {}", (w, plan)
        )
    elif all(planned.value is None for planned in worker.plan if planned.act == "rebuild"):
        plan = ledger.read_versions(world, state.ledger, worker.plan)
        yield Step(put(state, w, worker._replace(plan=plan)), "W{} reads versions: {}", (w, plan))
    else:
        plan = ledger.read_attempts(world, state.ledger, worker.plan)
        yield Step(put(state, w, worker._replace(phase="write", plan=plan)), "W{} reads attempts", (w,))


def settle(world: World, state: State, w: int) -> Iterator[Step]:
    """First the ledger's floor, then the stream's checkpoint, each when it is due."""
    worker, source = state.workers[w], world.configuration.workers[w]
    if worker.uncounted:
        books = state.ledger._replace(applied=state.ledger.applied + worker.uncounted)
        counted = put(state._replace(ledger=books), w, worker._replace(uncounted=0))
        yield Step(counted, "W{} counts what it applied", (w,))
    if worker.projected > state.ledger.floors[source]:
        books = ledger.advance_floor(state.ledger, source, worker.projected)
        yield Step(state._replace(ledger=books), "W{} writes floor {}", (w, worker.projected))
    elif worker.projected > state.checkpoints[source] and state.owners[source] == w:
        checkpoints = replaced(state.checkpoints, source, worker.projected)
        yield Step(state._replace(checkpoints=checkpoints), "W{} checkpoints {}", (w, worker.projected))


def leave(world: World, state: State, w: int) -> Iterator[Step]:
    """A worker ends: its lease is lost, its shard is at its end, or its job is done."""
    worker, source = state.workers[w], world.configuration.workers[w]
    gone = put(state, w, Worker("gone"))
    if state.owners[source] != w:
        yield Step(gone, "W{} learns that its lease is lost, and ends", (w,))
        return
    end = len(world.streams[source])
    if worker.adrift or not state.checkpoints[source] == worker.committed == end:
        return
    if source in world.parent.values():
        yield Step(gone, "W{} is at the end of its shard, and leaves", (w,))
    if source in world.configuration.jobs and _stored(world, state, source, end):
        closed = state.ledger._replace(closed=replaced(state.ledger.closed, source, True))
        yield Step(gone._replace(ledger=closed), "W{} closes its source", (w,))


def _stored(world: World, state: State, source: int, end: int) -> bool:
    """The job's last write is there; and an hour has passed, so that no replica lacks it."""
    copies = [state.redis, state.replica] if world.guards.closes_late else [state.redis]
    return all(copy is None or copy.markers[source] >= Mark(end) for copy in copies)


_ASKS_LEDGER = {
    "glance": glance,
    "commit": commit,
    "read": read,
    "sweep floors": sweeping.read_floors,
    "sweep page": sweeping.read_page,
}
