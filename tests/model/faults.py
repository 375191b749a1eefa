"""What may go wrong between any two steps, as often as the budget allows."""

from collections.abc import Iterator

from tests.model import deleting, pipeline, redis
from tests.model.state import Mark, Redis, State, Step, Worker
from tests.model.world import World, put, replaced


def steps(world: World, state: State) -> Iterator[Step]:
    """Every fault that may happen now."""
    budget = state.budget
    if budget.crash:
        yield from crash(world, _spend(state, "crash"))
    if budget.lease:
        yield from move_lease(world, _spend(state, "lease"))
    if budget.evict:
        yield from evict(world, _spend(state, "evict"))
    if budget.flush and any(state.redis.values):
        yield _flush(world, _spend(state, "flush"))
    if state.replica is not None and state.replica != state.redis:
        yield from fail_over(state)
    if budget.away:
        yield from lose_redis(world, _spend(state, "away"))
    if budget.answer:
        yield from lose_answer(world, _spend(state, "answer"))
    if state.flying is not None:
        late, _ = redis.run(world, state.redis, state.flying)
        yield Step(
            state._replace(redis=late, flying=None), "Redis executes the late {}", (state.flying.name,)
        )


def _spend(state: State, kind: str) -> State:
    budget = state.budget
    return state._replace(budget=budget._replace(**{kind: getattr(budget, kind) - 1}))


def opened(world: World, state: State, source: int) -> Worker:
    """A process that begins at the stream's checkpoint: `Pipeline.open`."""
    checkpoint = state.checkpoints[source]
    floor = state.ledger.floors[source] if world.guards.floor_in_ledger else checkpoint
    return Worker("idle", committed=checkpoint, floor=Mark(floor))


def crash(world: World, state: State) -> Iterator[Step]:
    """A process dies; the owner of a lease starts again, a former owner does not."""
    yield from deleting.crash(state)
    if state.reader is not None:
        yield Step(state._replace(reader=None), "the reader dies", fault=True)
    for w, worker in enumerate(state.workers):
        source = world.configuration.workers[w]
        if worker.phase in ("off", "gone"):
            continue
        if state.owners[source] != w:
            yield Step(put(state, w, Worker("gone")), "W{} (a former owner) dies", (w,), fault=True)
            continue
        again = put(state, w, opened(world, state, source))
        yield Step(again, "W{} CRASHES and starts at the checkpoint", (w,), fault=True)
        if source in world.configuration.mortal:
            yield Step(put(state, w, Worker("gone")), "W{} DIES for ever", (w,), fault=True)


def move_lease(world: World, state: State) -> Iterator[Step]:
    """Another worker takes a source over; the former owner lives on and does not know."""
    for w, worker in enumerate(state.workers):
        source = world.configuration.workers[w]
        if worker.phase == "off" and state.workers[state.owners[source]].phase != "gone":
            moved = state._replace(owners=replaced(state.owners, source, w))
            yield Step(
                put(moved, w, opened(world, state, source)),
                "W{} takes the LEASE and starts at the checkpoint; the former owner lives on",
                (w,),
                fault=True,
            )


def evict(world: World, state: State) -> Iterator[Step]:
    """A state or a claim goes: its life is over, or memory is short. Markers never go."""
    for key in world.keys:
        if state.redis.values[key] is not None:
            values = replaced(state.redis.values, key, None)
            yield Step(
                state._replace(redis=state.redis._replace(values=values)),
                "Redis EVICTS key {}",
                (key,),
                fault=True,
            )


def _flush(world: World, state: State) -> Step:
    empty = Redis((None,) * len(world.keys), (Mark(),) * (len(world.sources) + 1))
    replica = None if state.replica is None else empty
    return Step(
        state._replace(redis=empty, replica=replica, flying=None), "Redis LOSES everything", fault=True
    )


def fail_over(state: State) -> Iterator[Step]:
    """The replica holds some earlier moment of Redis; a failover brings that moment back."""
    yield Step(state._replace(replica=state.redis), "the replica catches up", fault=True)
    assert state.replica is not None
    promoted = _spend(state, "failover")._replace(redis=state.replica, flying=None)
    if not promoted.budget.failover:
        promoted = promoted._replace(replica=None)  # nobody will ask for it again
    yield Step(promoted, "Redis FAILS OVER to the older replica", fault=True)


def lose_redis(world: World, state: State) -> Iterator[Step]:
    """A call fails. Its script was executed, or was not, or will be at some later time."""
    for w in range(len(state.workers)):
        for worker, told in pipeline.deliver(world, state, w):
            script = pipeline.request(world, state, w, worker)
            if script is None:
                continue
            done, _ = redis.run(world, state.redis, script)
            ends = [("was executed", state._replace(redis=done)), ("was not executed", state)]
            if state.flying is None and script.name != "look":  # a late read changes nothing
                ends.append(("will be late", state._replace(flying=script)))
            for went, (outcome, after) in (
                (went, end) for went in pipeline.failed(world, worker) for end in ends
            ):
                words = (w, told, script.name, outcome, went[1])
                yield Step(put(after, w, went[0]), "W{} {}finds Redis AWAY ({} {}) and {}", words, fault=True)


def lose_answer(world: World, state: State) -> Iterator[Step]:
    """A COMMIT succeeds, but its answer is lost: the batch begins again as a redelivery."""
    for w in range(len(state.workers)):
        for worker, told in pipeline.deliver(world, state, w):
            if worker.phase == "commit":
                again = worker._replace(phase="commit" if worker.adrift else "load", loaded=(), seen=Mark())
                for step in pipeline.commit(world, state, w, worker, told):
                    lost = put(step.after, w, again)
                    yield Step(lost, "W{} {}COMMITS, but the answer is LOST", (w, told), fault=True)
