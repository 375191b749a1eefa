"""What the operators' jobs need of the ledger beyond the pipeline's ports: whole records, taken out or given.

The same rules as in `worker.ports`: errors are those of `worker.domain.errors`, and every adapter passes the
same contract tests as its in-memory twin. All of them are synchronous and belong to one thread at a time.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from worker.batch import Source, StateKey
from worker.domain.position import Position
from worker.domain.window import Version


class OnHold(Exception):
    """Somebody has asked to inspect this record; it is not destroyed until the hold is released."""


class Hold(NamedTuple):
    """Why nobody may destroy a record, and since when."""

    reason: str
    held_by: str
    since: datetime


class Subject(NamedTuple):
    """One student as the ledger knows them; `keys` are all their pseudonyms, `key` the canonical one."""

    key: UUID
    keys: frozenset[UUID]
    sealed_id: bytes | None
    courses: Sequence[str]
    attempts: int
    disclosures: int
    erased_at: datetime | None
    lifted_at: datetime | None
    hold: Hold | None

    @property
    def erased(self) -> bool:
        """Whether a tombstone stands."""
        return self.erased_at is not None and self.lifted_at is None


class Deletion(NamedTuple):
    """One transaction that took states from the ledger: its number, and what Redis must forget now."""

    number: int
    states: Sequence[StateKey]


class LetterPlace(NamedTuple):
    """Where a dead letter is stored."""

    source: Source
    position: Position
    number: int


class Letter(NamedTuple):
    """A dead letter as stored: its payload is sealed."""

    place: LetterPlace
    payload: bytes
    expires_at: datetime


class Erasing(Protocol):
    """Taking one student out of the ledger. Any method may raise LedgerUnavailable."""

    def subject(self, keys: Collection[UUID]) -> Subject | None:
        """The student who has any of these pseudonyms; None where nobody has."""

    def entomb(self, key: UUID) -> None:
        """Make a student known by nothing but a pseudonym, so that a tombstone can stand for them."""

    def erase(self, key: UUID, by: str, reason: str) -> Deletion:
        """Rows, tombstone and floor of deletions in one transaction that excludes every merge.

        The states are those of every course in which the student has ever been erased, so that a run that
        died before Redis heard of it is made good by the next.

        Raises:
            OnHold: nothing was changed.
        """

    def purged(self, key: UUID) -> None:
        """Note that Redis holds nothing of the student any more."""

    def forget_publications(self, key: UUID) -> int:
        """Take the student out of what is kept beside published figures of their courses; of how many."""

    def unlink_disclosures(self, key: UUID, most: int) -> int:
        """Take the student out of that many rows of disclosures; how many it were, 0 once none is left.

        The rows stay, because the chains are made of them, and each remembers the digest of who is left.
        """

    def unname(self, key: UUID) -> None:
        """Forget the sealed id; the last step, because the steps before may need the id."""

    def remains(self, key: UUID) -> Mapping[str, int]:
        """What is left of the student, by kind; all zero but for the tombstone once the erasure is done."""

    def letters(self, after: LetterPlace | None, page: int) -> Sequence[Letter]:
        """The next dead letters in the order of their places; none at the end."""

    def count_letters(self) -> int:
        """How many dead letters are stored."""

    def remove_letters(self, places: Iterable[LetterPlace]) -> None:
        """Delete dead letters; those that are gone already do no harm."""

    def lift(self, key: UUID, by: str, sealed_id: bytes | None) -> bool:
        """Lift the tombstone; False where none stands. What was delivered until now stays refused."""

    def hold(self, key: UUID, by: str, reason: str) -> bool:
        """Hold the record; False where it is held already or erased."""

    def release(self, key: UUID) -> bool:
        """Release the record; False where it was not held."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Unlinked(NamedTuple):
    """A page of disclosures that was looked at: where it ended, and how many students were taken out."""

    last: tuple[UUID, int]
    rows: int
    students: int


class Expired(NamedTuple):
    """What became of one page of states: where it ended, the deletion if anything expired, and how much.

    `kept` are the courses of the page in which an attempt stays; only a look tells them.
    """

    last: StateKey
    states: int
    attempts: int
    held_attempts: int
    deletion: Deletion | None
    kept: frozenset[str] = frozenset()


class Retaining(Protocol):
    """Dropping what a school need not keep. Any method may raise LedgerUnavailable."""

    def known_courses(self, courses: Collection[str]) -> frozenset[str]:
        """Those of the courses that the ledger knows."""

    def raise_horizon(self, before: datetime, courses: Collection[str]) -> None:
        """From now on refuse what was graded before, in these courses or, without any, in all.

        Never lowers one; excludes every merge, so that none is under way that has not seen it.
        """

    def count_states(self, courses: Collection[str]) -> int:
        """How many states a whole run looks at."""

    def expire(self, after: StateKey | None, page: int, courses: Collection[str]) -> Expired | None:
        """Delete, in one transaction, what the horizons refuse of the next page of states; None at the end.

        Held students are left out. Rows of states stay, at a version raised by one.
        """

    def expiring(
        self, after: StateKey | None, page: int, courses: Collection[str], before: datetime
    ) -> Expired | None:
        """What `expire` would do after `raise_horizon(before, courses)`; changes nothing."""

    def unlink_disclosures(self, after: tuple[UUID, int] | None, page: int) -> Unlinked | None:
        """Take out of the next page of disclosures whoever they outlive by the horizon; None at the end."""

    def outlived(
        self, after: tuple[UUID, int] | None, page: int, courses: Collection[str], before: datetime
    ) -> Unlinked | None:
        """What `unlink_disclosures` would do after `raise_horizon(before, courses)` and `expire`."""

    def drop_publications(self) -> int:
        """Delete the figures published of courses in which no attempt is left; of how many."""

    def emptied_publications(self, kept: Collection[str], courses: Collection[str]) -> int:
        """What `drop_publications` would do after `expire` of these courses left attempts in `kept`."""

    def expired_letters(self) -> int:
        """How many dead letters are past their life."""

    def bury_expired_letters(self, most: int) -> int:
        """Delete that many of them; how many it were."""

    def forget_courses(self, purged_before: datetime) -> int:
        """Empty the courses of tombstones purged so long ago that no state can come back; of how many."""

    def forgettable_courses(self, purged_before: datetime) -> int:
        """What `forget_courses` would do."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Entry(NamedTuple):
    """One row of the ledger as it stands: an attempt, or the void of one, and the version of its state."""

    course_id: str
    version: Version
    key: int
    item_id: str
    score: float | None
    max_score: float
    occurred_at: datetime
    graded_at: datetime
    voided: bool
    source: str
    revision: int


class Dossiers(Protocol):
    """One student's whole record. Any method may raise LedgerUnavailable."""

    def dossier(self, key: UUID) -> Sequence[Entry]:
        """Every row of the student, of one snapshot of the writer, by course, time and key."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Epochs(Protocol):
    """A new beginning after PostgreSQL was restored. Any method may raise LedgerUnavailable."""

    def others(self) -> int:
        """How many other sessions of this product are connected: workers, the API, jobs."""

    def present(self) -> int:
        """The epoch of the ledger now."""

    def raised_for(self, restored_to: datetime) -> int | None:
        """The epoch that was begun for this restore; None where none was."""

    def begin(self, epoch: int, restored_to: datetime, by: str) -> None:
        """Begin an epoch, greater than the present one, once for each restore.

        Raises:
            Fatal: it is not greater, or one was begun for this restore.
        """

    def behind(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        """The sources that `accept` would move, and how far the ledger is; changes nothing."""

    def accept(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        """Let sources go on at their checkpoints; for those that moved, how far the ledger is."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class PastEpochs(Protocol):
    """What stands in Redis under each epoch. Any method may raise ProjectionUnavailable."""

    def count(self, advance: Callable[[int], None]) -> Mapping[int, int]:
        """Keys by epoch; `advance` is told how many were looked at."""

    def drop_all_but(self, epoch: int, advance: Callable[[int], None]) -> int:
        """Remove what stands under any other epoch; how many keys it were."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Filed(NamedTuple):
    """A student as a re-keying finds them: without a sealed id the plain id is lost, as it should be."""

    key: UUID
    sealed_id: bytes | None
    aliases: frozenset[UUID]


class Rekeyed(NamedTuple):
    """A student under another key of the ring."""

    old: UUID
    new: UUID
    sealed_id: bytes


class Rekeying(Protocol):
    """Moving the students to another key of the ring. Any method may raise LedgerUnavailable."""

    def count_students(self) -> int:
        """How many students there are."""

    def students(self, after: UUID | None, page: int) -> Sequence[Filed]:
        """The next students, each once even if they are moved meanwhile; none at the end."""

    def add_aliases(self, aliases: Mapping[UUID, UUID]) -> int:
        """Let further pseudonyms stand for students, by canonical key; how many are somebody else's."""

    def rekey(self, changes: Sequence[Rekeyed]) -> int:
        """Make the new keys canonical and the old ones aliases; how many new ones are somebody else's.

        One transaction that excludes every merge; what is kept beside published figures is renamed in it.
        """

    def former(self, keys: Collection[UUID]) -> frozenset[UUID]:
        """Those of the keys that are aliases: no state shall stand under them."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
