"""The end of a job's source: closed once no replica can lack it any more.

The guard compares the marker of every open source with its floor for ever, and a backfill of a thousand files
would leave it thousands of them. But a source may leave the guard only when even a failover could not bring
back a Redis that lacks its last write (C18 in docs/protocol.md), and that is a question of time: nobody waits
for it, the next job closes what earlier jobs have left.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from worker.batch import Source
from worker.domain.position import ORIGIN, Position
from worker.ports import Ledger, Projection

NO_REPLICA_LAGS_SO_LONG = timedelta(hours=1)


class Closing(NamedTuple):
    """What was closed, and what cannot be: sources that ended between ledger and projection.

    The latter wait for their job to be run again; until then the guard keeps watching them.
    """

    closed: list[Source]
    unfinished: list[Source]


def close_finished(
    ledger: Ledger, projection: Projection, idle: timedelta = NO_REPLICA_LAGS_SO_LONG
) -> Closing:
    """Close every source of a job that nobody has written to for so long and that is projected to its end.

    A floor that its job did not live to store is stored now, and the hour begins again: only then is it known
    for how long Redis has held the end.

    Raises:
        LedgerUnavailable: some may be closed already; calling again is harmless.
        ProjectionUnavailable: likewise.
    """
    result = Closing([], [])
    for source, end, floor, projected in _idle(ledger, projection, idle):
        if not projected:
            result.unfinished.append(source)
        elif floor != end:
            ledger.advance_floor(source, end)
        elif ledger.close_source(source, idle):
            projection.forget_marker(source, end)
            result.closed.append(source)
    return result


def finished(ledger: Ledger, projection: Projection, idle: timedelta = NO_REPLICA_LAGS_SO_LONG) -> Closing:
    """What `close_finished` would do now; changes nothing.

    Raises:
        LedgerUnavailable: asking again is safe.
        ProjectionUnavailable: likewise.
    """
    result = Closing([], [])
    for source, end, floor, projected in _idle(ledger, projection, idle):
        if not projected:
            result.unfinished.append(source)
        elif floor == end:
            result.closed.append(source)
    return result


def _idle(
    ledger: Ledger, projection: Projection, idle: timedelta
) -> Iterator[tuple[Source, Position, Position, bool]]:
    """Every such source with its end, its floor, and whether Redis has its end."""
    found = ledger.idle(idle)
    markers = projection.markers(list(found))
    for source, (end, floor) in found.items():
        yield source, end, floor, markers.get(source, ORIGIN) == end
