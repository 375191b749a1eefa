"""KCL's own tables, as far as a worker touches them beside KCL; a port like those of `worker.ports`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

SHARD_END = "SHARD_END"
"""KCL's checkpoint of a shard that was read to its end."""


class Lease(NamedTuple):
    """One row of KCL's lease table: who has a shard, and how far its records are done.

    While a lease is being handed over by KCL, `owner` is who shall have it and `checkpoint_owner` who still
    has it. `counter` moves with every renewal and every change of hands. `children` are known once the shard
    was read to its end; `parents` are there from the start.
    """

    shard: str
    owner: str | None
    counter: int
    checkpoint: str
    checkpoint_owner: str | None = None
    parents: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()

    @property
    def holder(self) -> str | None:
        return self.checkpoint_owner or self.owner

    @property
    def finished(self) -> bool:
        """Whether the shard was read to its end, so that nothing waits for an owner."""
        return self.checkpoint == SHARD_END


class Leader(NamedTuple):
    """KCL's Leader record: the one worker that assigns leases; `version` changes with each of its beats."""

    owner: str
    version: str


class LeaseTable(Protocol):
    """KCL's tables, as far as a worker may touch them beside KCL. Any method may raise LeasesUnavailable.

    A table that KCL has not made yet is empty. Every change is conditional on what was read, as KCL's own
    are, so whoever still acts on an older reading loses the race instead of undoing a newer truth.
    """

    def leases(self) -> Sequence[Lease]:
        """Every lease as it stands."""

    def give_back(self, lease: Lease, heir: str | None) -> bool:
        """Pass a lease on, to the heir or to nobody; False if it is not any more as it was read.

        A lease that KCL is already handing over goes to the owner KCL chose. The counter moves, so that the
        former holder's next renewal or checkpoint fails and it learns of its loss.
        """

    def remove_finished(self, shard: str) -> bool:
        """Delete the lease of a shard that was read to its end; False if it is gone or not finished."""

    def workers(self) -> Mapping[str, int]:
        """By worker id the time of its last report, of dead workers too; by the worker's own clock."""

    def forget_worker(self, worker: str) -> None:
        """Delete a worker's reports, so that nobody takes it for alive; its next report brings it back."""

    def clear_report(self, worker: str, report: int) -> bool:
        """Delete the report of a worker that is taken for dead; False if it has reported since."""

    def leader(self) -> Leader | None:
        """The Leader record; None where nobody leads."""

    def clear_leader(self, leader: Leader) -> bool:
        """Delete the Leader record; False if it is not any more as it was read."""
