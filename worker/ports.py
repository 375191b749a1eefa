"""What the pipeline needs of the world: one Protocol per edge, each with its contract.

Every adapter of a port, the in-memory twin included, passes the same contract tests (`tests/contract`).
Errors are those of `worker.domain.errors`; an adapter lets no error of its library through.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, TypeAlias
from uuid import UUID

import msgspec

from worker.batch import Batch, Resident, Source, StateKey
from worker.domain.accounting import Accounting
from worker.domain.event import ScoreEvent
from worker.domain.poison import PoisonWindow
from worker.domain.position import Position
from worker.domain.window import Placed, Version
from worker.metrics import CounterName, GaugeName, HistogramName

Clock: TypeAlias = Callable[[], datetime]
"""The present as an aware UTC datetime."""


class Touched(msgspec.Struct, frozen=True, gc=False):
    """What a transaction found of one state's row; `version` is None where the row does not exist.

    `inserts` are the attempts to fold when the transaction did nothing to this state but add scored attempts
    or activity; None demands a rebuild.
    """

    key: StateKey
    version: Version | None
    bumped: bool
    inserts: Sequence[Placed] | None


class Committed(NamedTuple):
    """The outcome of one ledger transaction."""

    accounting: Accounting
    touched: Sequence[Touched]


class LedgerState(NamedTuple):
    """A state's row and its surviving attempts, of one snapshot."""

    version: Version
    attempts: Sequence[Placed]


class Progress(NamedTuple):
    """How far a source is in the ledger, how far its projection is known to be, and its counters."""

    committed: Position
    projected: Position
    accounting: Accounting
    poison: PoisonWindow = PoisonWindow()
    closed: bool = False


class Idle(NamedTuple):
    """A job's source that nobody writes to: how far it is committed, and how far its floor says projected."""

    end: Position
    floor: Position


class Ledger(Protocol):
    """PostgreSQL, the truth; any method may raise LedgerUnavailable.

    Nothing is half done then, but the outcome of `commit` is unknown: calling it again is safe.
    """

    def epoch(self) -> int:
        """The ledger's epoch, raised when PostgreSQL was restored to an earlier time."""

    def open_source(self, source: Source) -> Progress:
        """Insert the source's progress row if absent and return it.

        A closed one is opened again, with no floor: what came before needs no guard any more.
        """

    def intern(self, batch: Batch) -> Batch:
        """Make the batch's students and courses known, in transactions of their own, before `commit`.

        Returns the batch under each student's canonical key (they differ only after a re-keying).

        Raises:
            PoisonBatch: the data was refused.
        """

    def commit(self, batch: Batch) -> Committed:
        """Merge the events, bump versions, store dead letters, advance progress: one transaction.

        Raises:
            PoisonBatch: the data was refused; nothing was written.
        """

    def probe(self, batch: Batch) -> None:
        """Try `intern` and the merge, and roll the merge back.

        Raises:
            PoisonBatch: one of them refuses this batch.
        """

    def read(self, keys: Sequence[StateKey]) -> Mapping[StateKey, LedgerState]:
        """Versions and surviving attempts of all keys in one snapshot of the writer; rows that exist."""

    def versions(self, page: int) -> Iterator[Sequence[tuple[StateKey, Version]]]:
        """All rows, in pages each read when asked for."""

    def count_states(self) -> int:
        """How many rows `versions` gives, about."""

    def states_of(self, students: Sequence[UUID]) -> Sequence[StateKey]:
        """The states that the ledger has of these students."""

    def erased(self) -> Iterable[StateKey]:
        """The states of erased students, those whose tombstone was lifted included."""

    def advance_floor(self, source: Source, position: Position) -> None:
        """Record that everything up to `position` is projected; never moves back."""

    def floors(self) -> Mapping[Source, Position]:
        """The projected floor of every source that is not closed, and that of `DELETIONS` once it counts."""

    def progress(self) -> Mapping[Source, Progress]:
        """Every source, closed ones included."""

    def idle(self, span: timedelta) -> Mapping[Source, Idle]:
        """The open sources of jobs whose last commit and last rise of the floor are that long past."""

    def close_source(self, source: Source, span: timedelta) -> bool:
        """Leave a source out of the floors; False where it is not idle, or not projected.

        A commit to a closed source opens it again.
        """

    def sweep_turn(self) -> AbstractContextManager[bool]:
        """Hold the fleet-wide turn to sweep; False where another worker has it."""

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Loaded(NamedTuple):
    """What `load_or_claim` found: per key its state, or None where `claim` now stands; and the marker."""

    values: Sequence[bytes | None]
    claim: bytes
    marker: Position | None


class Write(msgspec.Struct, frozen=True, gc=False):
    """One conditional change: the first 17 bytes must still be `expected`.

    `value` None asserts only, b"" deletes (and is content with absence).
    """

    key: StateKey
    expected: bytes
    value: bytes | None


class Peeked(NamedTuple):
    """What a reader found: a state; or None, and whether the reader's own claim was set."""

    value: bytes | None
    claim: bytes | None


class Projection(Protocol):
    """Redis, the states readers see. Any method may raise ProjectionUnavailable."""

    def load_or_claim(self, source: Source, keys: Sequence[StateKey]) -> Loaded:
        """Every state; where one is missing or claimed by another, my claim is set. With the marker."""

    def write(self, source: Source, seen: Position | None, reach: Position, writes: Sequence[Write]) -> bool:
        """Apply the writes whose expectation holds; True if all held and the marker was as `seen`.

        Only then the marker becomes max(seen, reach), in the same atomic step.
        """

    def peek(self, keys: Sequence[StateKey]) -> Sequence[Peeked]:
        """States for a reader; sets the reader's claim only where nothing stands."""

    def install(self, writes: Sequence[Write]) -> Sequence[bool]:
        """Conditional changes outside any batch, each by itself; False where an expectation does not hold."""

    def states(self, keys: Sequence[StateKey]) -> Sequence[bytes | None]:
        """The states as they stand, without claiming."""

    def residents(self, page: int) -> Iterator[Sequence[Resident]]:
        """Where anything stands, in pages of about this size, each read when asked for; some come twice."""

    def drop(self, residents: Sequence[Resident]) -> int:
        """Remove what stands there, which is always safe; how many there were."""

    def watermarks(self) -> Mapping[Source, datetime]:
        """Of each live source the arrival time up to which all its events are projected."""

    def set_watermark(self, source: Source, moment: datetime | None) -> None:
        """Tell how far a source is projected; None once it has ended."""

    def markers(self, sources: Sequence[Source]) -> Mapping[Source, Position]:
        """The markers that exist."""

    def forget_marker(self, source: Source, last: Position) -> bool:
        """Delete the marker of a closed source if it stands at `last`, in one atomic step."""

    def unlink(self, number: int, keys: Sequence[StateKey]) -> bool:
        """Remove what the deletion of that number has taken from the ledger, in one atomic step.

        The marker of `DELETIONS` moves only from the number before. False where it stays behind: a deletion
        before this one has not come that far, or Redis went back; a sweep heals either.
        """

    def begin_sweep(self) -> bytes:
        """Start a chain and return its token; a chain begun before is broken by it."""

    def drop_stale(
        self, chain: bytes, current: Sequence[tuple[StateKey, Version | None]]
    ) -> tuple[bytes, int]:
        """Remove every given key whose header is not of that version; the next token and how many.

        Raises:
            ChainBroken: Redis changed under the sweep.
        """

    def end_sweep(self, chain: bytes, floors: Mapping[Source, Position]) -> None:
        """Raise the markers to the floors and end the chain.

        Raises:
            ChainBroken: Redis changed under the sweep.
        """

    def close(self) -> None:
        """Give the connection back; the next use opens another."""


class Checkpointer(Protocol):
    """The shard's place in the stream's lease table."""

    def checkpoint(self, position: Position) -> None:
        """Store the position of the last record that is done.

        Raises:
            LeaseLost: another worker owns the shard.
            CheckpointUnavailable: not stored; a later one covers it.
        """


class Producer(Protocol):
    """The way into the stream."""

    def send(self, events: Sequence[ScoreEvent]) -> None:
        """Return once the stream has acknowledged every event, a student's events in their order.

        Raises:
            StreamUnavailable: not all were acknowledged; sending all of them again is harmless.
        """


class Vault(Protocol):
    """Seals dead-letter payloads so that only a redrive can open them."""

    def seal(self, plain: bytes) -> bytes:
        """Encrypted and authenticated, with all that `open` needs but the master key."""

    def open(self, sealed: bytes) -> bytes:
        """What was sealed.

        Raises:
            ValueError: altered, or sealed under another master key.
        """


class Metrics(Protocol):
    """Counters, gauges and histograms of one shard process; a name outside the lists is a type error."""

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None: ...

    def gauge(self, name: GaugeName, value: float) -> None: ...

    def observe(self, name: HistogramName, value: float, **labels: str) -> None: ...


class Pause(Protocol):
    """Waiting that stays alive: it tells the supervisor why before it sleeps."""

    def __call__(self, seconds: float, because: Exception) -> None: ...
