"""What the final script shall do with each key: the steps of `worker/stream/projecting.py`."""

from tests.model.state import Held, Planned, Touched, Value, header
from tests.model.world import World


def plan(world: World, touched: tuple[Touched, ...], loaded: tuple[Value, ...]) -> tuple[Planned, ...]:
    """Assert, fold or delete where that is certain; rebuild everything else."""
    return tuple(fold(world, found, value) for found, value in zip(touched, loaded, strict=True))


def fold(world: World, touched: Touched, value: Value) -> Planned:
    """Any new attempt may be folded, wherever it falls in time: a state is a function of the set."""
    key, version, bumped, inserts, truth = touched
    expected = header(value)
    if version is None:
        return Planned(key, expected, "delete")
    if isinstance(value, Held) and value.version == version:
        return Planned(key, expected, "assert")
    rebuild = Planned(key, expected, "rebuild")
    if not bumped or inserts is None:
        return rebuild
    if not isinstance(value, Held):
        if version.number != 1:
            return rebuild
        content: tuple[int, ...] = ()
    else:
        before = version._replace(number=version.number - 1)
        if value.version != before and world.guards.exact_predecessor:
            return rebuild
        content = value.content
    folded = Held(version, tuple(sorted((*content, *inserts))), truth)
    return Planned(key, expected, "set", folded)


def rebuild_all(keys: tuple[int, ...], loaded: tuple[Value, ...]) -> tuple[Planned, ...]:
    """After a failed final script: every state from the ledger."""
    return tuple(Planned(key, header(value), "rebuild") for key, value in zip(keys, loaded, strict=True))
