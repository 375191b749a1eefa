"""A fleet of workers and the leases they take, second by second, as KCL 3 and the supervisors share them.

Only the leader gives leases out, in rounds: it reads both tables from end to end in one thread, and writes
one lease after the other with as many threads as its task has processors, of which half a core has one. What
takes milliseconds with two shards takes its share of every takeover with a thousand, so it is simulated.
"""

import heapq
import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.scaling.leases import PARTITION_READS, Timers, sizes, traffic

SCAN_PAGE = 1024 * 1024
THREADS = 1
"""Processors that Java sees in a task of up to one virtual CPU."""
SCAN_MS, UPDATE_MS = 15.0, 6.0
"""Medians of what DynamoDB takes for a page and for a row, remembered; drawn with a long tail."""
_TAIL = 0.5
DISPATCH_S = 1.0
"""KCL looks at its shards so often."""
CHILD_CPU_S = 0.4
"""Of a shard process until it listens: its promise. The half core of a task does them one after another."""
LOCK_POLL_S = 30.0
"""A worker that does not lead asks so often whether it may; the leader beats as often."""
LEADER_PATIENCE_S = 45.0
"""A leader's record that stands so long is cleared by a supervisor."""
REPLACED_S = 60.0
"""From the loss of a task to its replacement at work, as ECS commonly takes; remembered."""


class Fleet(NamedTuple):
    """Workers and shards; CPU of a task in cores, and most leases of one."""

    workers: int
    leases: int
    max_leases: int = 4
    cpu: float = 0.5


class Taken(NamedTuple):
    """Seconds until so many of the shards that nobody read were at work again."""

    half: float
    nearly_all: float
    all: float
    longest_round: float


class _Run:
    def __init__(self, fleet: Fleet, timers: Timers, seed: int) -> None:
        self._fleet, self._timers = fleet, timers
        self._chance = random.Random(seed)
        self._longest = 0.0
        self._busy: dict[int, float] = {}

    def after_the_loss_of(self, gone: int, *, leader: bool = False) -> Taken:
        """So many tasks end without a word at second 0, the leader among them or not."""
        fleet, chance = self._fleet, self._chance
        owner = {lease: lease % fleet.workers for lease in range(fleet.leases)}
        lost = [lease for lease, worker in owner.items() if worker < gone]
        kept = [lease for lease, worker in owner.items() if worker >= gone]
        held = dict.fromkeys(range(gone, fleet.workers), 0)
        for lease in kept:
            held[owner[lease]] += 1
        # a renewal is seen by the first scan after it
        renewed = {lease: -chance.uniform(0, self._timers.renewal) for lease in lost}
        # told in whole seconds
        reported = max(-chance.uniform(0, self._timers.report) for _ in range(gone)) + chance.uniform(0, 1)
        now = self._until_led(fleet.workers - gone) if leader else chance.uniform(0, self._timers.round)
        seen = (
            {}
            if leader
            else {lease: renewed[lease] + chance.uniform(0, self._timers.round) for lease in lost}
        )
        done: list[float] = []
        replaced = False
        while len(done) < len(lost):
            begun = now
            now += self._scan()
            if leader and not done and not seen:
                seen = dict.fromkeys(lost, now)
            if not replaced and now > REPLACED_S:
                replaced = True
                held |= {fleet.workers + number: 0 for number in range(gone)}
            expired = [lease for lease, since in seen.items() if now - since > self._timers.renewal * 3]
            # the dead are given leases too while their report is young: they keep what they have
            if now - reported > 2 * self._timers.report:
                now = self._give(expired, held, now, done, seen)
            self._longest = max(self._longest, now - begun)
            now += self._timers.round
        done.sort()
        return Taken(statistics.median(done), done[int(0.99 * (len(done) - 1))], done[-1], self._longest)

    def _until_led(self, others: int) -> float:
        """When the next leader begins, with no memory of what it has not seen."""
        chance = self._chance
        cleared = LEADER_PATIENCE_S - chance.uniform(0, LOCK_POLL_S) + chance.uniform(0, self._timers.look)
        asked = min(chance.uniform(0, LOCK_POLL_S) for _ in range(others))
        return max(0.0, cleared) + asked

    def _scan(self) -> float:
        """Seconds to read both tables: a page after the other, and no faster than their partition gives."""
        fleet = self._fleet
        pages = [-(-size // SCAN_PAGE) for size in sizes(fleet.leases, fleet.workers)]
        slowest = max(sum(self._drawn(SCAN_MS) for _ in range(count)) for count in pages)
        used = traffic(fleet.leases, fleet.workers, self._timers)
        left = max(PARTITION_READS - used.supervisor_reads, PARTITION_READS * 0.05)
        return max(slowest, used.leader_reads * self._timers.round / left)

    def _give(
        self,
        leases: Sequence[int],
        held: dict[int, int],
        now: float,
        done: list[float],
        seen: dict[int, float],
    ) -> float:
        """Each to whoever has fewest; when the last row is written."""
        room = [(count, worker) for worker, count in held.items() if count < self._fleet.max_leases]
        heapq.heapify(room)
        free = [now] * THREADS
        for lease in leases:
            if not room:
                break  # spilled: nobody may take more
            count, worker = heapq.heappop(room)
            at = heapq.heappop(free) + self._drawn(UPDATE_MS)
            heapq.heappush(free, at)
            held[worker] = count + 1
            if count + 1 < self._fleet.max_leases:
                heapq.heappush(room, (count + 1, worker))
            del seen[lease]
            done.append(self._at_work(worker, at))
        return max(free)

    def _at_work(self, worker: int, at: float) -> float:
        """When the shard process that a worker starts for a lease listens."""
        chance = self._chance
        told = at + chance.uniform(0, self._timers.round / 2) + chance.uniform(0, DISPATCH_S)
        begun = max(told, self._busy.get(worker, 0.0))
        self._busy[worker] = begun + CHILD_CPU_S / self._fleet.cpu
        return self._busy[worker]

    def _drawn(self, median_ms: float) -> float:
        return median_ms / 1e3 * self._chance.lognormvariate(0, _TAIL)


def lost(
    fleet: Fleet, gone: int, *, leader: bool = False, runs: int = 100, timers: Timers | None = None
) -> Taken:
    """So many tasks of a fleet end at once; each figure's 99th of a hundred runs, their seeds fixed."""
    timers = timers or Timers.usual()
    found = [_Run(fleet, timers, seed).after_the_loss_of(gone, leader=leader) for seed in range(runs)]
    return Taken(*(sorted(one)[int(0.99 * (runs - 1))] for one in zip(*found, strict=True)))
