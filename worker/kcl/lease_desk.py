"""What the supervisor does in KCL's tables, on a thread of its own.

KCL forgets its leases at a stop but leaves them in the table, where they must expire before anyone else takes
the shards; a leader that was killed leads on by the record for two minutes; a worker that was killed is given
leases for as long as its clock was ahead of the leader's; and the lease of a shard that was read to its end
takes up room until all its children are read, for which there may be no room then. All of it is mended here,
the way KCL itself changes the rows. DynamoDB may be slow or away: no heartbeat, probe or signal waits for it.

**Why giving a lease back is safe.** The write is conditional on holder and counter as read, and moves the
counter. Of a renewal, a checkpoint or an assignment that races with it exactly one wins: if KCL's does, ours
fails and looks again; if ours does, KCL's next conditional write fails, and it drops the lease as it drops
any lease that was taken from it. It cannot take the lease back, because a worker takes only rows that bear
its own name, and only a leader writes names. So it does not matter whether Java is still running. The shard
process has stored its checkpoint and takes no more records before the write is made; should it err, the heir
reads records for a second time, which the ledger absorbs as it absorbs every redelivery.

**Why clearing the Leader record is safe.** It guards no data: every assignment is itself conditional on the
lease's owner, so two leaders can at worst assign in turns. A leader that was only slow finds at its next
beat, at most 30 s later, that its record is not as it left it, steps down, and applies anew. The delete is
conditional on the version that was seen to stand still, so a record that moved in the meantime stays.

**Why clearing a report is safe.** It only tells the leader whom to give leases to. Who is alive keeps what it
holds without one, and its next report, due every 5 s, makes it anew.

**Why removing a finished lease is safe.** KCL does the same, only later. A child waits for its parents' ends
and takes a parent without a lease for finished; shards are given leases only where neither they nor their
descendants have one. It goes once it was seen finished in two looks, so that the daemon that wrote the end is
done with it, and never before the children have their leases and the other parent of a merge is finished.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from worker.domain.errors import LeasesUnavailable
from worker.kcl.fleet import Fleet, Look
from worker.leases import LeaseTable
from worker.metrics import CounterName

_log = logging.getLogger(__name__)
_TRIES = 5
_RETRY_SECONDS = 0.2
_SAY_EVERY_SECONDS = 60.0
_LOOK_WHILE_LEAVING_SECONDS = 1.0
_CLOSE_SECONDS = 1.0

_Job: TypeAlias = Callable[[], object]


class LeaseDesk:
    """Looks at the tables every few seconds, and acts on them when told to.

    Its methods return at once and are the supervisor's; what they ask for is done on the desk's thread, in
    order.

    Args:
        table: KCL's tables.
        own: this worker's id.
        fleet: draws the conclusions from the desk's looks; no one else may use it.
        count: adds to a counter; from any thread.
        look_seconds: time between looks.
        clock: monotonic seconds.
        wake: called after whatever the supervisor may wait for.
    """

    def __init__(
        self,
        table: LeaseTable,
        own: str,
        fleet: Fleet,
        count: Callable[[CounterName], None],
        *,
        look_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        self._own = own
        self._fleet = fleet
        self._count = count
        self._look_seconds = look_seconds
        self._clock = clock
        self._wake = wake
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._look: Look | None = None
        self._done_with: frozenset[str] = frozenset()
        self._away = False
        self._said_at: float | None = None
        self._leaving = False
        self._settled = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lease-desk", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the job at hand."""
        self._closing.set()
        self._jobs.put(None)
        self._thread.join(_CLOSE_SECONDS)

    @property
    def look(self) -> Look | None:
        """The last look that succeeded; a snapshot."""
        return self._look

    @property
    def away(self) -> bool:
        """Whether the tables did not answer the last time."""
        return self._away

    @property
    def settled(self) -> bool:
        """Whether `settle` has done everything."""
        return self._settled

    def daemon_ended(self) -> None:
        """Our Java is dead for certain: it leads no more, and its record need not run out."""
        self._jobs.put(self._abdicate)

    def leave(self) -> None:
        """This worker is about to stop: nobody should give it a lease."""
        self._leaving = True
        self._jobs.put(self._look_around)

    def give_back(self, shard: str) -> None:
        """The shard's process has checkpointed and gone: pass the lease on."""
        self._jobs.put(lambda: self._pass_on(shard))

    def settle(self) -> None:
        """Our Java is dead and will not be started again: leave nothing under our name; see `settled`."""
        self._leaving = True
        self._jobs.put(self._settle)

    def _serve(self) -> None:
        due = self._clock()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, due - self._clock()))
            except queue.Empty:
                job = self._look_around
                pause = _LOOK_WHILE_LEAVING_SECONDS if self._leaving else self._look_seconds
                due = self._clock() + pause
            if job is None:
                return
            self._do(job)
            self._wake()

    def _do(self, job: _Job) -> None:
        try:
            job()
        except LeasesUnavailable as outage:
            self._note(outage)
        except Exception as error:
            # an answer nobody foresaw must not end the looking
            _log.error("lease desk failed", extra={"error": type(error).__name__})
        else:
            self._away = False

    def _note(self, outage: LeasesUnavailable) -> None:
        self._away = True
        self._count("lease_table_failures_total")
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _SAY_EVERY_SECONDS:
            self._said_at = now
            _log.warning("lease tables away", extra={"error": str(outage)})

    def _look_around(self) -> None:
        if self._leaving:
            # KCL reports for as long as it runs, and whoever reports is given leases
            self._table.forget_worker(self._own)
        self._make_room(self._see())
        # the reports first: the next leader believes them as soon as it leads
        for worker, report in self._fleet.dead_workers().items():
            if self._table.clear_report(worker, report):
                self._count("reports_cleared_total")
                _log.warning("report of a dead worker cleared", extra={"worker": worker})
        leader = self._fleet.dead_leader()
        if leader is not None and self._table.clear_leader(leader):
            self._count("leaders_cleared_total")
            _log.warning("leader record cleared", extra={"leader": leader.owner})

    def _make_room(self, look: Look) -> None:
        before, self._done_with = self._done_with, look.done_with(self._own)
        for shard in sorted(before & self._done_with):
            if self._table.remove_finished(shard):
                self._count("leases_removed_total")
                _log.info("finished lease removed", extra={"shard": shard})

    def _see(self) -> Look:
        leases = {lease.shard: lease for lease in self._table.leases()}
        workers, leader = self._table.workers(), self._table.leader()
        self._look = look = Look(self._clock(), leases, workers, leader)
        self._fleet.see(look)
        return look

    def _pass_on(self, shard: str) -> bool:
        for _ in range(_TRIES):
            lease = self._see().leases.get(shard)
            if lease is None or lease.holder != self._own:
                return True
            heir = self._fleet.heir()
            if self._table.give_back(lease, heir):
                self._count("leases_given_back_total")
                _log.info("lease given back", extra={"shard": shard, "heir": heir})
                return True
        return False

    def _abdicate(self) -> bool:
        for _ in range(_TRIES):
            leader = self._table.leader()
            if leader is None or leader.owner != self._own or self._table.clear_leader(leader):
                return True
        return False

    def _settle(self) -> None:
        """Leases first, because shards stand still until then; again and again until all of it is done."""
        try:
            given = [self._pass_on(lease.shard) for lease in self._see().held_by(self._own)]
            self._table.forget_worker(self._own)
            self._settled = self._abdicate() and all(given)
        finally:
            if not self._settled:
                self._closing.wait(_RETRY_SECONDS)
                self._jobs.put(self._settle)
