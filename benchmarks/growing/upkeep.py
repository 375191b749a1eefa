"""What grows with the whole ledger and not with its traffic: a sweep, a night of retention, a freeze.

No event waits for them on a usual day, so they are no part of its cost. They bound how large a ledger can
become, because each has only so long: a sweep until people miss their scores, the others until morning.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from benchmarks.growing.measuring import Subject
from worker.adapters.aurora.retaining import AuroraRetaining
from worker.stream.sweeping import sweep

_PAGE, _PAGES = 1_000, 50
_EARLIER = datetime(2020, 1, 1, tzinfo=UTC)


class Upkeep(NamedTuple):
    """Measured with the ledger in memory.

    Attributes:
        sweep_us_per_state: comparing all of Redis with the ledger, by one process.
        retention_us_per_state: looking for attempts that have expired, none of which has.
        freeze_s_per_gb: freezing the attempts' rows, all pages looked at, a vacuum that deletes nothing.
    """

    states: int
    sweep_us_per_state: float
    retention_us_per_state: float
    freeze_s_per_gb: float


def measure(subject: Subject, url: str) -> Upkeep:
    """Each once."""
    subject.warm()
    begun = time.perf_counter()
    swept = sweep(subject.ledger, subject.projection, {})
    took = time.perf_counter() - begun
    assert swept is not None, "another process sweeps this Redis"
    return Upkeep(swept.looked_at, took / swept.looked_at * 1e6, _retention(url) * 1e6, _freeze(subject))


def _retention(url: str) -> float:
    retaining = AuroraRetaining(lambda: url)
    states, after = 0, None
    begun = time.perf_counter()
    try:
        for _ in range(_PAGES):
            found = retaining.expiring(after, _PAGE, (), _EARLIER)
            if found is None:
                break
            after = found.last
            states += found.states
    finally:
        retaining.close()
    return (time.perf_counter() - begun) / max(1, states)


def _freeze(subject: Subject) -> float:
    row = subject.watch.execute("SELECT pg_relation_size('attempts')").fetchone()
    assert row is not None
    begun = time.perf_counter()
    subject.watch.execute("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING, INDEX_CLEANUP OFF) attempts")
    return float((time.perf_counter() - begun) / (row[0] / 1e9))
