"""The dead letters as an operator meets them: chosen, tried by one operator at a time, and kept or let go."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from worker.batch import Source
from worker.domain.errors import Reason


class Selection(NamedTuple):
    """Which letters: None means any. Those that have expired are never among them.

    Args:
        reasons: why they were set apart.
        first: stored at this time or later, aware.
        last: stored before this time, aware.
        shard: of this shard, of whatever stream or job.
        newest: none younger than this number, so that a run ends although letters keep coming.
    """

    reasons: frozenset[Reason] | None = None
    first: datetime | None = None
    last: datetime | None = None
    shard: str | None = None
    newest: int | None = None


class Letter(NamedTuple):
    """One dead letter, still sealed; `number` names it, and later letters have higher ones."""

    number: int
    source: Source
    reason: Reason
    field: str | None
    sealed: bytes
    stored_at: datetime
    tries: int


class Failure(NamedTuple):
    """Why a letter cannot succeed as things are."""

    reason: Reason
    field: str | None = None


class Settled(NamedTuple):
    """Of the letters to be settled, how many recovered ones are gone and how many failed ones are there.

    What is missing was no longer the operator's, and another run has it.
    """

    recovered: int
    kept: int


class DeadLetters(Protocol):
    """The store of dead letters. Any method may raise LedgerUnavailable; nothing is half done then.

    An operator is a name that no other run has. A claim that ran out is never renewed, and nothing is settled
    under it: whatever its holder found out since may be old.

    A letter that is tried goes through a pipeline under the source of its job, at its own number as position.
    What the ledger itself refuses there it buries once more, as a *copy* of the letter.
    """

    def counts(self, selection: Selection) -> Mapping[Reason, int]:
        """How many there are by reason."""

    def newest(self) -> int:
        """The highest number given so far, 0 where there is none."""

    def page(self, selection: Selection, after: int, count: int) -> Sequence[Letter]:
        """The next letters by number, whoever tries them."""

    def claim(
        self, selection: Selection, operator: str, after: int, count: int, seconds: float
    ) -> Sequence[Letter]:
        """The next letters by number that nobody else tries, now tried by this operator for so long."""

    def renew(self, operator: str, seconds: float) -> None:
        """The operator is still at work: its claims last so long from now."""

    def refused(self, source: Source, numbers: Collection[int]) -> Mapping[int, Failure]:
        """Of the letters tried under this source those of which there is a copy, and why."""

    def settle(
        self, operator: str, source: Source, recovered: Collection[int], failed: Mapping[int, Failure]
    ) -> Settled:
        """In one step let go of what was recovered, keep what failed with one more try, remove their copies.

        Letters that are not the operator's any more are left alone, so that settling twice is settling once.
        """

    def release(self, operator: str) -> None:
        """Give every claim back untried."""

    def tidy(self) -> int:
        """Remove the copies that a run which was killed has left beside letters that nobody tries."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
