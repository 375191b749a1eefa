"""One small configuration for each guard: right with the guard, violated without it."""

from typing import NamedTuple

from tests.model.configurations import KEYS, ONE, OTHERS, PAIR, PARTS, TWINS, TWO, VOIDED, records
from tests.model.invariants import ACCOUNTING, AT_REST, ERASED, FLOOR, LEDGER, PROJECTED, TRUE
from tests.model.state import Budget, Event
from tests.model.world import Configuration, Guards


class Ablation(NamedTuple):
    """A guard, what breaks when it is taken away, and where."""

    guard: str
    invariant: str
    configuration: Configuration


def ablations() -> list[Ablation]:
    """In the order of `docs/protocol.md`."""

    def a(guard: str, invariant: str, *configuration: object, **more: object) -> Ablation:
        where = Configuration(guard, *configuration, **more)  # type: ignore[arg-type]
        return Ablation(guard, invariant, where)

    b = Budget
    pair = (records(1, 2),)
    apart = (records(1), records(2))
    repeated = (records(2), records(1, 2))
    three = (Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 3))
    alternating = (Event(1, 0, 1), Event(0, 1, 2), Event(0, 2, 3), Event(1, 3, 4))
    single = {"records_a_call": 1}
    cut = {"records_a_call": 1, "events_a_transaction": 1}
    both = ("erase", "erase")
    return [
        # the ledger
        a("digest_tie", LEDGER, TWINS, apart, TWO),
        a("merges_all", LEDGER, PAIR, pair, namesake=9, guards=Guards(named_by_creation=False)),
        a("counters_inside", ACCOUNTING, PAIR[:1], (records(1),), ONE, b(crash=1)),
        # versions and states
        a("exact_predecessor", TRUE, three, (records(1, 2), records(3)), TWO, **single),
        a("corrections_rebuild", TRUE, VOIDED, pair, ONE, **single),
        a("one_snapshot", TRUE, PAIR, apart, TWO),
        a("verifies", PROJECTED, PAIR, repeated, TWO, b(crash=1), mortal=(0,)),
        a("claims", PROJECTED, PAIR, apart, TWO, b(evict=2)),
        a("claim_first", PROJECTED, PAIR, apart, TWO, b(evict=2)),
        a("writer_only", PROJECTED, PAIR, pair, ONE, b(evict=1, read=1), **single),
        # what Redis may lose
        a("marker", PROJECTED, PAIR, pair, ONE, b(failover=1)),
        a("marker_compared", PROJECTED, alternating, (records(1, 2, 3, 4),), ONE, b(failover=1), **single),
        a("marker_in_parts", PROJECTED, PARTS, (((1,), (2, 3)),), ONE, b(failover=1), **cut),
        a("asserts", PROJECTED, PAIR, pair, ONE, b(failover=1, answer=1, read=1), **single),
        a("floor_in_memory", PROJECTED, KEYS, (records(1, 3, 2),), ONE, b(failover=1), **single),
        a("floor_in_ledger", PROJECTED, PARTS, (*pair, records(3)), TWO, b(failover=1), parents=((1, 0),)),
        a("named_by_creation", PROJECTED, PAIR, pair, ONE, b(failover=1, crash=1), namesake=9),
        a("closes_late", PROJECTED, PAIR, apart, TWO, b(failover=1), jobs=(0,)),
        # sweeps
        a("chain", PROJECTED, KEYS, (records(1, 3, 2),), ONE, b(failover=2)),
        a("floors_first", PROJECTED, PAIR, ((), *pair), TWO, b(failover=1, schedule=1), **single),
        # adrift
        a("adrift_stands_still", FLOOR, PAIR[:1], (records(1),), ONE, b(away=1)),
        a("lands_by_sweep", FLOOR, PAIR[:1], (records(1),), ONE, b(away=1)),
        a("landing_raises_floor", PROJECTED, KEYS, (records(1, 3, 2),), ONE, b(away=1, failover=1), **single),
        # erase
        a("tombstone", ERASED, PAIR, pair, ONE, b(crash=1), deletions=("erase",)),
        a("erase_lock", ERASED, PAIR, pair, ONE, deletions=("erase",), **single),
        a("deletions_counted", PROJECTED, OTHERS, (((1, 2),),), ONE, b(crash=1), deletions=both),
        a("births", PROJECTED, PAIR, pair, ONE, b(failover=1), deletions=("lifted",), **single),
        a("lifted_are_swept", AT_REST, PAIR[:1], (records(1),), ONE, b(failover=1), deletions=("lifted",)),
    ]
