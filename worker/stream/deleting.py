"""Deleting what stands in Redis after the ledger has deleted it: erase and retention alike.

The ledger counts deletions, and the floor of that count rises in the transaction that deletes. The script
that removes the states moves the marker by one, only from its predecessor, so a job that dies between the two
leaves the marker behind: every worker sees that within seconds, and sweeps. Where no worker runs, the next
job does the same.
"""

from collections.abc import Callable

from worker.batch import DELETIONS
from worker.domain.position import ORIGIN
from worker.ports import Ledger, Projection
from worker.stream.sweeping import sweep


def behind(ledger: Ledger, projection: Projection) -> bool:
    """Whether Redis may still hold a state that was deleted: a job died, or Redis went back."""
    floor = ledger.floors().get(DELETIONS, ORIGIN)
    return projection.markers([DELETIONS]).get(DELETIONS, ORIGIN) < floor


def heal(ledger: Ledger, projection: Projection, alive: Callable[[], None]) -> bool:
    """One try to sweep where deletions are behind; whether none is now.

    Another process may have the turn, or break the chain: the caller comes back.
    """
    if behind(ledger, projection):
        sweep(ledger, projection, {}, alive)
    return not behind(ledger, projection)
