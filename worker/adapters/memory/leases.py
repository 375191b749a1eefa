"""The LeaseTable port in three dictionaries."""

import threading
from collections.abc import Mapping, Sequence

from worker.domain.errors import LeasesUnavailable
from worker.leases import Leader, Lease


class MemoryLeases:
    """KCL's tables without DynamoDB; `away` makes every call raise. A test writes the rows that KCL would."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[str, Lease] = {}
        self.reports: dict[str, int] = {}
        self.record: Leader | None = None
        self._lock = threading.Lock()

    def leases(self) -> Sequence[Lease]:
        self._reach()
        with self._lock:
            return list(self.rows.values())

    def give_back(self, lease: Lease, heir: str | None) -> bool:
        self._reach()
        with self._lock:
            if self.rows.get(lease.shard) != lease:
                return False
            owner = heir if lease.checkpoint_owner is None else lease.owner
            self.rows[lease.shard] = lease._replace(
                owner=owner, counter=lease.counter + 1, checkpoint_owner=None
            )
            return True

    def remove_finished(self, shard: str) -> bool:
        self._reach()
        with self._lock:
            if shard not in self.rows or not self.rows[shard].finished:
                return False
            del self.rows[shard]
            return True

    def workers(self) -> Mapping[str, int]:
        self._reach()
        return dict(self.reports)

    def forget_worker(self, worker: str) -> None:
        self._reach()
        self.reports.pop(worker, None)

    def clear_report(self, worker: str, report: int) -> bool:
        self._reach()
        with self._lock:
            if self.reports.get(worker) != report:
                return False
            del self.reports[worker]
            return True

    def leader(self) -> Leader | None:
        self._reach()
        return self.record

    def clear_leader(self, leader: Leader) -> bool:
        self._reach()
        with self._lock:
            if self.record != leader:
                return False
            self.record = None
            return True

    def _reach(self) -> None:
        if self.away:
            raise LeasesUnavailable
