"""What PostgreSQL does in one transaction or one statement: the statements of `worker/sql/ledger.sql`."""

from tests.model.state import Batch, Held, Ledger, Planned, Row, Touched, Version, header
from tests.model.world import World, replaced


def commit(
    world: World, ledger: Ledger, source: int, batch: Batch, erased: tuple[bool, ...]
) -> tuple[Ledger, tuple[Touched, ...]]:
    """The transaction of a batch: merge, versions, progress; and what it found of every touched key."""
    registers = ledger.registers
    inserts: dict[int, tuple[int, ...] | None] = {}
    for attempt, event in _winners(world, ledger, source, batch, erased).items():
        key, standing = world.events[event].key, registers[attempt]
        if standing and not world.outranks(event, standing):
            continue
        registers = replaced(registers, attempt, event)
        correction = bool(standing) or world.events[event].void
        held = inserts.get(key, ())
        if (correction and world.guards.corrections_rebuild) or held is None:
            inserts[key] = None
        else:
            inserts[key] = (*held, event)
    applied = sum(1 for now, was in zip(registers, ledger.registers, strict=True) if now and not was)
    ledger = ledger._replace(
        registers=registers,
        progress=replaced(ledger.progress, source, max(ledger.progress[source], batch.high)),
        applied=ledger.applied + (applied if world.guards.counters_inside else 0),
    )
    for key in sorted(inserts):
        ledger = _bump(world, ledger, key)
    touched = tuple(
        Touched(key, ledger.versions[key], key in inserts, inserts.get(key), world.registers_of(ledger, key))
        for key in world.keys_of(batch)
        if key in inserts or world.guards.verifies
    )
    return ledger, touched


def _winners(
    world: World, ledger: Ledger, source: int, batch: Batch, erased: tuple[bool, ...]
) -> dict[int, int]:
    """DISTINCT ON: the last writer of each attempt in the batch, without what is refused."""
    winners: dict[int, int] = {}
    for position, event in batch.events:
        key, attempt = world.events[event].key, world.events[event].attempt
        if erased[key] or world.orders[event] <= ledger.horizons[key]:
            continue
        if position <= ledger.progress[source] and not world.guards.merges_all:
            continue
        best = winners.get(attempt)
        if best is None or world.outranks(event, best):
            winners[attempt] = event
    return dict(sorted(winners.items()))


def _bump(world: World, ledger: Ledger, key: int) -> Ledger:
    version, births = ledger.versions[key], ledger.births
    if version is None:
        births += 1
        version = Version(births if world.guards.births else 0, 1)
    else:
        version = version._replace(number=version.number + 1)
    return ledger._replace(versions=replaced(ledger.versions, key, version), births=births)


def held(world: World, ledger: Ledger, key: int) -> Held | None:
    """Version and survivors of a key in one snapshot; None where it has no row."""
    version = ledger.versions[key]
    if version is None:
        return None
    registers = world.registers_of(ledger, key)
    return Held(version, world.scored(registers), registers)


def read(world: World, ledger: Ledger, plan: tuple[Planned, ...]) -> tuple[Planned, ...]:
    """Settle what shall be rebuilt: `projecting.rebuilt` over one statement."""
    return tuple(
        _rebuilt(planned, held(world, ledger, planned.key)) if planned.act == "rebuild" else planned
        for planned in plan
    )


def _rebuilt(planned: Planned, state: Held | None) -> Planned:
    if state is None:
        return planned._replace(act="delete", value=None)
    if planned.expected == header(state):
        return planned._replace(act="assert", value=None)
    return planned._replace(act="set", value=state)


def read_versions(world: World, ledger: Ledger, plan: tuple[Planned, ...]) -> tuple[Planned, ...]:
    """Without `one_snapshot`, the first statement of a rebuild."""
    return tuple(
        planned._replace(value=held(world, ledger, planned.key)) if planned.act == "rebuild" else planned
        for planned in plan
    )


def read_attempts(world: World, ledger: Ledger, plan: tuple[Planned, ...]) -> tuple[Planned, ...]:
    """Without `one_snapshot`, the second statement: today's attempts under the version read before."""
    return tuple(
        _rebuilt(planned, planned.value and planned.value._replace(content=_content(world, ledger, planned)))
        if planned.act == "rebuild"
        else planned
        for planned in plan
    )


def _content(world: World, ledger: Ledger, planned: Planned) -> tuple[int, ...]:
    return world.scored(world.registers_of(ledger, planned.key))


def advance_floor(ledger: Ledger, place: int, position: int) -> Ledger:
    """Record that everything up to `position` is projected; never moves back."""
    return ledger._replace(floors=replaced(ledger.floors, place, max(position, ledger.floors[place])))


def rows_from(ledger: Ledger, page: int) -> tuple[Row, ...]:
    """The next page of a sweep: the first row at or after key `page`."""
    for key in range(page, len(ledger.versions)):
        if ledger.versions[key] is not None:
            return (Row(key, ledger.versions[key]),)
    return ()


def delete(world: World, ledger: Ledger, key: int, kind: str) -> tuple[Ledger, int]:
    """Erase or retention: rows, tombstone or horizon, and the floor of deletions, in one transaction."""
    registers = ledger.registers
    for attempt in world.attempts_of[key]:
        registers = replaced(registers, attempt, 0)
    gone = sum(1 for register in world.registers_of(ledger, key) if register)
    number = ledger.floors[world.deletions] + 1
    ledger = ledger._replace(registers=registers, deleted=ledger.deleted + gone)
    ledger = advance_floor(ledger, world.deletions, number)
    if kind == "retain":
        ledger = ledger._replace(horizons=replaced(ledger.horizons, key, horizon(world, ledger, key)))
        return _bump(world, ledger, key), number
    if world.guards.tombstone:
        ledger = ledger._replace(erased=replaced(ledger.erased, key, True))
    return ledger._replace(versions=replaced(ledger.versions, key, None)), number


def lift(world: World, ledger: Ledger, key: int) -> Ledger:
    """An operator lifts a tombstone: what was delivered until now stays refused."""
    return ledger._replace(
        erased=replaced(ledger.erased, key, False),
        lifted=replaced(ledger.lifted, key, True),
        horizons=replaced(ledger.horizons, key, horizon(world, ledger, key)),
    )


def horizon(world: World, ledger: Ledger, key: int) -> tuple[int, ...]:
    """The greatest order among the events of a key that the ledger has seen."""
    seen = (
        world.orders[event]
        for source in world.sources
        for record in world.streams[source][: ledger.progress[source]]
        for event in record
        if world.events[event].key == key
    )
    return max(seen, default=())
