"""Healing the projection after Redis lost writes it had acknowledged.

Each source's marker in Redis moves with its states. A marker behind what PostgreSQL knows to be projected is
therefore proof that Redis went back: a failover to a replica that lagged, or an empty restart. The sweep then
removes every state that is not the ledger's current version. Removing is always safe: reads and events
rebuild.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from worker.batch import Source
from worker.domain.errors import ChainBroken
from worker.domain.position import ORIGIN, Position
from worker.ports import Ledger, Projection

PAGE = 5_000


class Swept(NamedTuple):
    """How many states a finished sweep looked at, and how many it removed."""

    looked_at: int
    dropped: int


def lost_writes(floors: Mapping[Source, Position], markers: Mapping[Source, Position]) -> bool:
    """Whether any source's marker is behind its floor or missing."""
    return any(markers.get(source, ORIGIN) < floor for source, floor in floors.items() if floor != ORIGIN)


def sweep(
    ledger: Ledger,
    projection: Projection,
    own: Mapping[Source, Position],
    alive: Callable[[], None] = lambda: None,
) -> Swept | None:
    """Remove every stale state, then raise the markers to the floors and to `own` positions.

    `alive` is told after every page: millions of states take longer than a supervisor's patience.

    Returns None, having promised nothing, where another worker has the turn or Redis changed meanwhile: the
    markers are still behind then, and the caller comes back.
    """
    with ledger.sweep_turn() as mine:
        if not mine:
            return None
        floors = dict(ledger.floors())
        for source, position in own.items():
            floors[source] = max(position, floors.get(source, ORIGIN))
        try:
            return _sweep(ledger, projection, floors, alive)
        except ChainBroken:
            return None


def _sweep(
    ledger: Ledger, projection: Projection, floors: Mapping[Source, Position], alive: Callable[[], None]
) -> Swept:
    looked_at = dropped = 0
    chain = projection.begin_sweep()
    for page in ledger.versions(PAGE):
        chain, removed = projection.drop_stale(chain, page)
        looked_at += len(page)
        dropped += removed
        alive()
    erased = [(key, None) for key in ledger.erased()]
    for start in range(0, len(erased), PAGE):
        chain, removed = projection.drop_stale(chain, erased[start : start + PAGE])
        dropped += removed
    projection.end_sweep(chain, floors)
    return Swept(looked_at, dropped)
