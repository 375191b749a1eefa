"""What is explored: small configurations with every test run, large ones on demand, and one per guard."""

from tests.model.state import Budget, Event
from tests.model.world import Configuration, Guards

ONE = (0,)
ZOMBIE = (0, 0)  # the second worker takes the source over, the first one does not know
TWO = (0, 1)
THREE = (0, 0, 1)

PAIR = (Event(0, 0, 1), Event(0, 1, 2))  # two attempts of one key
LATE = (Event(0, 0, 2), Event(0, 0, 1), Event(0, 1, 3))  # a revision that comes too late, another attempt
VOIDED = (Event(0, 0, 1), Event(0, 0, 2, void=True))
KEYS = (Event(0, 0, 1), Event(1, 1, 2), Event(0, 0, 3))  # two keys, and a revision
OTHERS = (Event(0, 0, 1), Event(1, 1, 2))
TWINS = (Event(0, 0, 1, digest=1), Event(0, 0, 1, digest=2))
PARTS = (Event(0, 0, 1), Event(0, 1, 2), Event(1, 2, 3))


def records(*events: int) -> tuple[tuple[int, ...], ...]:
    """One record for each event."""
    return tuple((event,) for event in events)


def small() -> list[Configuration]:
    """Every kind of fault once, in a few thousand states each."""
    c, b = Configuration, Budget
    pair = (records(1, 2),)
    apart = (records(1), records(2))
    same_name = Guards(named_by_creation=False)
    return [
        c("crash, eviction, a read", PAIR, pair, budget=b(crash=1, evict=1, read=1)),
        c("crash, failover", PAIR, pair, budget=b(crash=1, failover=1)),
        c("lost answer, failover", PAIR, pair, budget=b(answer=1, failover=1)),
        c("former owner, crash", PAIR[:1], (records(1),), ZOMBIE, b(lease=1, crash=1)),
        c("former owner, failover", PAIR[:1], (records(1),), ZOMBIE, b(lease=1, failover=1)),
        c("former owner, late revision", LATE, (records(1, 2, 3),), ZOMBIE, b(lease=1)),
        c("two sources, eviction, a read", PAIR, apart, TWO, b(evict=1, read=1)),
        c("two sources, failover", PAIR, apart, TWO, b(failover=1)),
        c("two sources, void first", VOIDED, (records(2), records(1)), TWO, b(crash=1, evict=1)),
        c("two sources, tie", TWINS, apart, TWO, b(crash=1, evict=1)),
        c("parts of a record, crash, failover", PARTS, (((1,), (2, 3)),), ONE,
          b(crash=1, failover=1), events_a_transaction=1),
        c("adrift, crash", PAIR, pair, budget=b(away=1, crash=1)),
        c("adrift twice", PAIR, pair, budget=b(away=2)),
        c("adrift, failover", PAIR[:1], (records(1),), budget=b(away=1, failover=1)),
        c("adrift beside another source", PAIR, apart, TWO, b(away=1)),
        c("erase, crash, a read", PAIR[:1], (records(1),), budget=b(crash=1, read=1), deletions=("erase",)),
        c("erase, failover", PAIR, pair, budget=b(failover=1), deletions=("erase",)),
        c("erase, adrift", PAIR, pair, budget=b(away=1), deletions=("erase",)),
        c("erase and lift, crash", PAIR, pair, budget=b(crash=1), deletions=("lifted",)),
        c("retention, crash, eviction", PAIR, pair, budget=b(crash=1, evict=1), deletions=("retain",)),
        c("reshard, failover", PAIR, apart, TWO, b(failover=1), parents=((1, 0),)),
        c("reshard, adrift", PAIR, apart, TWO, b(away=1), parents=((1, 0),)),
        c("stream created again", PAIR, pair, budget=b(crash=1, evict=1), namesake=9, guards=same_name),
        c("backfill that may die", PAIR, (records(1, 2), records(2)), TWO, b(crash=1), mortal=(1,)),
        c("backfill that closes, failover", PAIR, apart, TWO, b(failover=1), jobs=(1,)),
    ]  # fmt: skip


def large() -> list[Configuration]:
    """Several faults at once; up to a few million states each."""
    c, b = Configuration, Budget
    pair = (records(1, 2),)
    apart = (records(1), records(2))
    crossed = (records(1, 2), records(2, 1))
    parts = (((1,), (2, 3)),)
    return [
        c("former owner, crash, eviction, a read", PAIR, pair, ZOMBIE, b(lease=1, crash=1, evict=1, read=1)),
        c("former owner, crash, failover", PAIR, pair, ZOMBIE, b(lease=1, crash=1, failover=1)),
        c("former owner, failover, a read", PAIR, pair, ZOMBIE, b(lease=1, failover=1, read=1)),
        c("former owner, late revision, crash", LATE, (records(1, 2, 3),), ZOMBIE,
          b(lease=1, crash=1, evict=1)),
        c("former owner, void, crash, eviction", VOIDED, pair, ZOMBIE, b(lease=1, crash=1, evict=1)),
        c("former owner, adrift", PAIR, pair, ZOMBIE, b(lease=1, away=1)),
        c("former owner, adrift, crash", PAIR[:1], (records(1),), ZOMBIE, b(lease=1, away=1, crash=1)),
        c("former owner, parts, failover", PARTS, parts, ZOMBIE, b(lease=1, failover=1),
          events_a_transaction=1),
        c("former owner, two sweeps at once", PAIR, pair, ZOMBIE, b(lease=1, failover=1, turn=1)),
        c("two sources, crashes, eviction, a read", PAIR, apart, TWO, b(crash=2, evict=1, read=1)),
        c("two sources, failovers", PAIR, apart, TWO, b(failover=2)),
        c("two sources, two sweeps at once", PAIR, apart, TWO, b(failover=1, turn=1, schedule=1)),
        c("two sources, failover, crash, flush", PAIR, apart, TWO, b(failover=1, crash=1, flush=1)),
        c("two sources, two keys, failover", KEYS, (records(1, 2), records(3)), TWO, b(failover=1)),
        c("two sources, two keys, crash, eviction, a read", KEYS, (records(1, 2), records(3)), TWO,
          b(crash=1, evict=1, read=1)),
        c("two sources, three events, schedule, failover", LATE, (records(1, 2), records(3)), TWO,
          b(failover=1, schedule=1)),
        c("former owner, adrift, failover", PAIR[:1], (records(1),), ZOMBIE, b(lease=1, away=1, failover=1)),
        c("former owner, adrift twice", PAIR, pair, ZOMBIE, b(lease=1, away=2)),
        c("adrift, flush, a read", PAIR, pair, budget=b(away=1, flush=1, read=1)),
        c("adrift, lost answer, eviction", PAIR, pair, budget=b(away=1, answer=1, evict=1)),
        c("adrift, crash, failover", PAIR, pair, budget=b(away=1, crash=1, failover=1)),
        c("adrift twice, failover", PAIR, pair, budget=b(away=2, failover=1)),
        c("adrift twice, two keys, a read", KEYS, (records(1, 2, 3),), budget=b(away=2, read=1)),
        c("adrift beside another source, failover", PAIR, apart, TWO, b(away=1, failover=1)),
        c("adrift beside another source, crash, eviction", PAIR, apart, TWO, b(away=1, crash=1, evict=1)),
        c("both sources adrift", PAIR, apart, TWO, b(away=2)),
        c("former owner, parts, crash", PARTS, parts, ZOMBIE, b(lease=1, crash=1), events_a_transaction=1),
        c("adrift in parts, failover", PARTS, parts, ONE, b(away=1, failover=1), events_a_transaction=1),
        c("parts, crash, failovers", PARTS, parts, ONE, b(crash=1, failover=2), events_a_transaction=1),
        c("parts beside another source, failover", PARTS, (((1, 3),), records(2)), TWO, b(failover=1),
          events_a_transaction=1),
        c("backfill beside live, eviction, crash", PAIR, crossed, TWO, b(crash=1, evict=1), mortal=(1,)),
        c("backfill beside live, failover", PAIR, crossed, TWO, b(failover=1)),
        c("backfill that closes, failovers", PAIR, (records(1), records(2)), TWO, b(failover=2), jobs=(1,)),
        c("reshard, failover, crash", PAIR, apart, TWO, b(failover=1, crash=1), parents=((1, 0),)),
        c("reshard, other key, failover, crash", OTHERS, apart, TWO, b(failover=1, crash=1),
          parents=((1, 0),)),
        c("reshard, adrift, failover", PAIR, apart, TWO, b(failover=1, away=1), parents=((1, 0),)),
        c("erase, former owner, crash", PAIR, pair, ZOMBIE, b(lease=1, crash=1), deletions=("erase",)),
        c("erase, failover, crash, eviction", PAIR, pair, ONE, b(failover=1, crash=1, evict=1),
          deletions=("erase",)),
        c("erase, two sources, failover", PAIR, apart, TWO, b(failover=1), deletions=("erase",)),
        c("erase, adrift, crash", PAIR, pair, ONE, b(away=1, crash=1), deletions=("erase",)),
        c("two erases, crash, failover", OTHERS, pair, ONE, b(crash=1, failover=1),
          deletions=("erase", "erase")),
        c("erase and lift, two sources, failover", PAIR, apart, TWO, b(failover=1), deletions=("lifted",)),
        c("erase and lift, former owner, crash", PAIR, pair, ZOMBIE, b(lease=1, crash=1),
          deletions=("lifted",)),
        c("retention, two sources, crash, eviction", PAIR, apart, TWO, b(crash=1, evict=1),
          deletions=("retain",)),
        c("retention, failover, crash", PAIR, pair, ONE, b(failover=1, crash=1), deletions=("retain",)),
        c("retention, former owner, crash", PAIR, pair, ZOMBIE, b(lease=1, crash=1), deletions=("retain",)),
        c("one source, crashes, failovers, a read", PAIR, pair, ONE, b(crash=2, failover=2, read=1)),
        c("lost answers, failover, a read", PAIR, pair, ONE, b(answer=2, failover=1, read=1)),
        c("former owner beside another source, crash", PAIR, apart, THREE, b(lease=1, crash=1)),
        c("former owner beside another source, failover", PAIR, apart, THREE, b(lease=1, failover=1)),
    ]  # fmt: skip
