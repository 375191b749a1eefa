"""What a worker knows of the others: who lives, who may inherit a lease, who leads and does so no more.

All of it is read off KCL's tables by what moves and what stands still between two looks. No clock of another
machine is believed: a worker ten minutes behind is as alive as its reports keep changing.
"""

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

from worker.leases import Leader, Lease

K = TypeVar("K", bound=Hashable)
_RECORD = "record"
_SIGNS = "signs of life"


class Look(NamedTuple):
    """KCL's tables at one moment (monotonic seconds)."""

    at: float
    leases: Mapping[str, Lease]
    workers: Mapping[str, int]
    leader: Leader | None

    def held_by(self, worker: str) -> list[Lease]:
        """The leases a worker holds, those it is handing over included."""
        return [lease for lease in self.leases.values() if lease.holder == worker]

    def done_with(self, worker: str) -> frozenset[str]:
        """Finished shards of a worker whose lease nobody will look at any more.

        All their children have leases, and every parent of these children is finished too: the end of a
        parent fails in KCL while the lease of the other one is missing.
        """
        return frozenset(
            lease.shard
            for lease in self.held_by(worker)
            if lease.finished
            and lease.children
            and lease.children <= self.leases.keys()
            and all(self._ended(parent) for child in lease.children for parent in self.leases[child].parents)
        )

    def _ended(self, shard: str) -> bool:
        return shard not in self.leases or self.leases[shard].finished


@dataclasses.dataclass(frozen=True)
class FleetPatience:
    """How often to look, and how long something may stand still before it is taken for dead, in seconds.

    A KCL worker renews each lease every third of the failover time and reports every 5 s; a leader beats
    every 30 s.

    Args:
        heir: reports of a worker that is to be given a lease: a wrong choice costs the failover time.
        worker: reports and leases of a worker.
        leader: the Leader record, whatever else its owner does.
        look: time between looks.
    """

    heir: float = 12.0
    worker: float = 20.0
    leader: float = 45.0
    look: float = 5.0

    @property
    def gap(self) -> float:
        """After a longer time without a look watching starts anew.

        An outage of DynamoDB, in which nobody could write, would look like the death of all.
        """
        return 4 * self.look


class Stillness:
    """How long each of some values has not changed, as far as looks tell."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[Hashable, float, bool]] = {}
        self._begun = False

    def note(self, values: Mapping[K, Hashable], now: float) -> None:
        """Take the values of a look; keys that are gone are forgotten."""
        self._seen = {key: self._noted(key, value, now) for key, value in values.items()}
        self._begun = True

    def seconds(self, key: Hashable, now: float) -> float:
        """For how long the value has stood still; 0 for an unknown key."""
        return now - self._seen[key][1] if key in self._seen else 0.0

    def moved(self, key: Hashable) -> bool:
        """Whether the value was seen to change, or to appear."""
        return key in self._seen and self._seen[key][2]

    def forget(self) -> None:
        """Start anew."""
        self._seen = {}
        self._begun = False

    def _noted(self, key: Hashable, value: Hashable, now: float) -> tuple[Hashable, float, bool]:
        before = self._seen.get(key)
        if before is not None and before[0] == value:
            return before
        return value, now, self._begun


class Fleet:
    """The conclusions from all looks so far.

    Args:
        own: this worker's id.
        max_leases: most leases of one worker.
        patience: when something counts as dead.
    """

    def __init__(self, own: str, max_leases: int, patience: FleetPatience | None = None) -> None:
        self._own = own
        self._max_leases = max_leases
        self._patience = patience or FleetPatience()
        self._look: Look | None = None
        self._reports = Stillness()
        self._counters = Stillness()
        self._leading = Stillness()

    def see(self, look: Look) -> None:
        """Take in a look; they come in the order of time."""
        if self._look is not None and look.at - self._look.at > self._patience.gap:
            for watched in (self._reports, self._counters, self._leading):
                watched.forget()
        self._look = look
        self._reports.note(look.workers, look.at)
        self._counters.note(
            {shard: (lease.holder, lease.counter) for shard, lease in look.leases.items()}, look.at
        )
        self._leading.note({_RECORD: look.leader, _SIGNS: _signs(look)}, look.at)

    def heir(self) -> str | None:
        """Who should have a lease that this worker gives up: the live worker with the fewest.

        None where there is none with room, and the leader has to find somebody.
        """
        if self._look is None:
            return None
        held = Counter(lease.owner for lease in self._look.leases.values())
        others = [w for w in self._look.workers if w != self._own and self._lives(w, self._look.at)]
        room = [worker for worker in others if held[worker] < self._max_leases]
        return min(room, key=lambda worker: (held[worker], worker), default=None)

    def has_room(self) -> bool:
        """Whether some live worker, this one included, could take one more lease."""
        if self._look is None:
            return False
        return self.heir() is not None or len(self._look.held_by(self._own)) < self._max_leases

    def dead_leader(self) -> Leader | None:
        """The Leader record of another worker, once it has stood still for longer than a live one leaves it.

        Sooner if its owner neither reports nor renews a lease: the record alone moves only every 30 s.
        """
        look = self._look
        if look is None or look.leader is None or look.leader.owner == self._own:
            return None
        still = self._leading.seconds(_RECORD, look.at)
        lifeless = min(still, self._leading.seconds(_SIGNS, look.at))
        dead = still >= self._patience.leader or lifeless >= self._patience.worker
        return look.leader if dead else None

    def dead_workers(self) -> Mapping[str, int]:
        """By worker the last report of each that has not reported for too long.

        A leader takes a report for fresh by its own wall clock. One whose author's clock ran ahead of that
        stays fresh after the author's death for as long, and all the time the dead are given leases. A
        leader's report is a sign of life that `dead_leader` waits for, so both go at the same time.
        """
        look = self._look
        if look is None:
            return {}
        spared = {self._own}
        if look.leader is not None and self.dead_leader() is None:
            spared.add(look.leader.owner)
        return {
            worker: report
            for worker, report in look.workers.items()
            if worker not in spared and self._reports.seconds(worker, look.at) >= self._patience.worker
        }

    def leads_for(self) -> float:
        """For how many seconds our own Leader record has stood still; 0 where we do not lead."""
        look = self._look
        if look is None or look.leader is None or look.leader.owner != self._own:
            return 0.0
        return self._leading.seconds(_RECORD, look.at)

    def unrenewed(self) -> Mapping[str, float]:
        """By unfinished shard, for how many seconds its lease has not been renewed nor changed hands."""
        look = self._look
        if look is None:
            return {}
        return {
            shard: self._counters.seconds(shard, look.at)
            for shard, lease in look.leases.items()
            if not lease.finished
        }

    def _lives(self, worker: str, now: float) -> bool:
        # a row that never moved while we looked may be of a worker that died yesterday
        return self._reports.moved(worker) and self._reports.seconds(worker, now) < self._patience.heir


def _signs(look: Look) -> Hashable:
    """All that a live leader changes besides its record."""
    if look.leader is None:
        return None
    owner = look.leader.owner
    renewals = tuple(sorted((lease.shard, lease.counter) for lease in look.held_by(owner)))
    return owner, look.workers.get(owner), renewals
