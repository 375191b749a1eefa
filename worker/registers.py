"""The ledger's registers as they stand, for a job that asks what it would change before it does."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias
from uuid import UUID

from worker.batch import StateKey
from worker.domain.event import ScoreEvent
from worker.domain.window import Attempt

Order: TypeAlias = tuple[datetime, int, str, int, bytes]
"""A writer's place among those of one attempt; see `worker.domain.event.order_of`."""


class Known(NamedTuple):
    """A student of the ledger: the key under which the states stand, and whether there is a tombstone.

    `refused_until` is of a tombstone that was lifted: what was graded then or earlier stays refused.
    """

    student_key: UUID
    erased: bool
    refused_until: datetime | None = None


def refuses(student: Known | None, horizon: datetime | None, event: ScoreEvent) -> bool:
    """Whether the merge would not take an event at all, as its statement in `ledger.sql` says."""
    if horizon is not None and event.graded_at < horizon:
        return True
    if student is None:
        return False
    until = student.refused_until
    return student.erased or (until is not None and event.graded_at <= until)


class AttemptId(NamedTuple):
    """One register."""

    state: StateKey
    key: int


class Standing(NamedTuple):
    """What a register holds: the last writer's place, and the attempt; None where it was voided."""

    check: int
    order: Order
    attempt: Attempt | None


class Registers(Protocol):
    """Reads registers on the writer; any method may raise LedgerUnavailable."""

    def known(self, students: Collection[UUID]) -> Mapping[UUID, Known]:
        """These students, asked for by their present or an earlier key; those that exist."""

    def horizons(self, courses: Collection[str]) -> Mapping[str, datetime]:
        """The horizon of each of these courses, its own or that of all: what was graded before is refused.

        A course of which nothing is refused is not among them; one that nobody knows may be.
        """

    def writers(self, attempts: Collection[AttemptId]) -> Mapping[AttemptId, Standing]:
        """These registers, under present keys; those that exist."""

    def standing(self, states: Sequence[StateKey]) -> Mapping[StateKey, Mapping[int, Standing]]:
        """All registers of these states by their key, under present keys."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
