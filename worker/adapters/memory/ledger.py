"""The Ledger port in a few dictionaries: registers, versions, progress."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from worker.batch import DELETIONS, STREAMS, Batch, DeadLetter, Delivered, Source, StateKey
from worker.domain import envelope
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import LedgerUnavailable, PoisonBatch, Reason
from worker.domain.event import Kind, Register, ScoreEvent, micros, order_of, ratio_micros
from worker.domain.position import ORIGIN, Position
from worker.domain.window import Attempt, Version
from worker.ports import Clock, Committed, Idle, LedgerState, Progress, Touched


class _Row(NamedTuple):
    event: ScoreEvent
    register: Register
    revision: int = 0

    @property
    def attempt(self) -> Attempt:
        ratio = ratio_micros(self.event.score, self.event.max_score)
        return Attempt(micros(self.event.occurred_at), self.register.key, ratio)


class MemoryLedger:
    """Ledger without a database; `away` makes every call raise, `refused` poisons events of those items."""

    def __init__(self, kin: Callable[[bytes], Collection[UUID]] | None = None) -> None:
        self.away = False
        self.now: Clock = lambda: datetime.now(UTC)
        self.kin = kin
        self.refused: set[str] = set()
        self.aliases: dict[UUID, UUID] = {}
        self.sealed: dict[UUID, bytes] = {}
        """The sealed id that came with each student at first."""
        self.tombstones: dict[UUID, set[str]] = {}
        self.lifted: dict[UUID, set[str]] = {}
        """The courses of tombstones that were lifted."""
        self.refused_until: dict[UUID, datetime] = {}
        self.horizons: dict[str | None, datetime] = {}
        """By course, None for all of them: what was graded before is refused."""
        self.deletions = 0
        self.dead_letters: dict[tuple[Source, Position, int], DeadLetter] = {}
        self._rows: dict[StateKey, dict[int, _Row]] = {}
        self._versions: dict[StateKey, Version] = {}
        self._births = 0
        self._progress: dict[Source, Progress] = {}
        self._written: dict[Source, datetime] = {}
        self._lock = threading.RLock()
        self._sweeping = threading.Lock()

    def epoch(self) -> int:
        self._reach()
        return 1

    def open_source(self, source: Source) -> Progress:
        self._reach()
        with self._lock:
            progress = self._progress.get(source)
            if progress is None:
                self._write(source, Progress(ORIGIN, ORIGIN, Accounting()))
            elif progress.closed:
                self._write(source, progress._replace(projected=ORIGIN, closed=False))
            return self._progress[source]

    def intern(self, batch: Batch) -> Batch:
        self._reach()
        for delivered in batch.events:
            student, sealed_id = delivered.event.student_key, delivered.event.sealed_id
            self._adopt(student, sealed_id)
            self.sealed.setdefault(self.aliases.get(student, student), sealed_id)
        events = [
            msgspec.structs.replace(
                d,
                event=msgspec.structs.replace(
                    d.event, student_key=self.aliases.get(d.event.student_key, d.event.student_key)
                ),
            )
            for d in batch.events
        ]
        return batch.of(events)

    def commit(self, batch: Batch) -> Committed:
        self._reach()
        self.probe(batch)
        with self._lock:
            counts = dict.fromkeys(Outcome, 0)
            inserts: dict[StateKey, list[Attempt] | None] = {}
            progress = self._progress[batch.source]
            for letter in batch.dead_letters:
                self._bury(batch.source, letter)
                counts[Outcome.DEAD_LETTERED] += 1
            for delivered in sorted(batch.events, key=lambda d: order_of(d.event, d.register), reverse=True):
                counts[self._merge(batch.source, delivered, progress.committed, inserts)] += 1
            for key in inserts:
                self._bump(key)
            accounting = Accounting(batch.read, counts)
            after = Progress(
                max(progress.committed, batch.high),
                progress.projected,
                progress.accounting + accounting,
                batch.poison,
            )
            self._write(batch.source, after)
            touched = [
                Touched(key, self._versions.get(key), key in inserts, inserts.get(key)) for key in batch.keys
            ]
            return Committed(accounting, touched)

    def probe(self, batch: Batch) -> None:
        self._reach()
        if any(d.event.item_id in self.refused for d in batch.events):
            raise PoisonBatch

    def read(self, keys: Sequence[StateKey]) -> Mapping[StateKey, LedgerState]:
        self._reach()
        with self._lock:
            return {
                key: LedgerState(self._versions[key], self._survivors(key))
                for key in keys
                if key in self._versions
            }

    def versions(self, page: int) -> Iterator[Sequence[tuple[StateKey, Version]]]:
        keys = sorted(self._versions)
        for start in range(0, len(keys), page):
            self._reach()
            yield [(key, self._versions[key]) for key in keys[start : start + page]]

    def count_states(self) -> int:
        self._reach()
        return len(self._versions)

    def states_of(self, students: Sequence[UUID]) -> Sequence[StateKey]:
        self._reach()
        return [key for key in self._versions if key.student_key in set(students)]

    def erased(self) -> Iterable[StateKey]:
        self._reach()
        found = [*self.tombstones.items(), *self.lifted.items()]
        return [StateKey(student, course) for student, courses in found for course in courses]

    def advance_floor(self, source: Source, position: Position) -> None:
        self._reach()
        with self._lock:
            progress = self._progress[source]
            if position > progress.projected:
                self._write(source, progress._replace(projected=position))

    def floors(self) -> Mapping[Source, Position]:
        self._reach()
        found = {
            source: progress.projected for source, progress in self._progress.items() if not progress.closed
        }
        return {**found, DELETIONS: Position(self.deletions)} if self.deletions else found

    def progress(self) -> Mapping[Source, Progress]:
        self._reach()
        return dict(self._progress)

    def idle(self, span: timedelta) -> Mapping[Source, Idle]:
        self._reach()
        with self._lock:
            return {
                source: Idle(progress.committed, progress.projected)
                for source, progress in sorted(self._progress.items())
                if not progress.closed
                and not source.startswith(STREAMS)
                and self.now() - self._written[source] >= span
            }

    def close_source(self, source: Source, span: timedelta) -> bool:
        self._reach()
        with self._lock:
            found = self.idle(span).get(source)
            if found is None or found.end != found.floor:
                return False
            self._progress[source] = self._progress[source]._replace(closed=True)
            return True

    def standing(self, key: StateKey) -> Mapping[int, tuple[ScoreEvent, int]]:
        """The attempts of one state by their register's key, each with how often it was revised."""
        self._reach()
        with self._lock:
            rows = self._rows.get(key, {})
            return {
                at: (row.event, row.revision) for at, row in rows.items() if row.event.kind is Kind.SCORED
            }

    def rows(self, key: StateKey) -> Mapping[int, tuple[ScoreEvent, int]]:
        """The same with the voids."""
        self._reach()
        with self._lock:
            return {at: (row.event, row.revision) for at, row in self._rows.get(key, {}).items()}

    def registers(self, key: StateKey) -> Mapping[int, tuple[ScoreEvent, Register]]:
        """Every register of one state, voided ones included, by its key."""
        self._reach()
        with self._lock:
            return {at: (row.event, row.register) for at, row in self._rows.get(key, {}).items()}

    def current(self) -> Mapping[StateKey, Version]:
        """Every state's version."""
        self._reach()
        with self._lock:
            return dict(self._versions)

    @contextmanager
    def sweep_turn(self) -> Iterator[bool]:
        self._reach()
        mine = self._sweeping.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                self._sweeping.release()

    def close(self) -> None:
        pass

    def _write(self, source: Source, progress: Progress) -> None:
        self._progress[source] = progress
        self._written[source] = self.now()

    def _adopt(self, key: UUID, sealed_id: bytes) -> None:
        if self.kin is None or key in self.sealed or key in self.aliases:
            return
        for one in self.kin(sealed_id):
            canonical = self.aliases.get(one, one)
            if canonical in self.sealed:
                self.aliases[key] = canonical
                return

    def _reach(self) -> None:
        if self.away:
            raise LedgerUnavailable

    def _merge(
        self,
        source: Source,
        delivered: Delivered,
        committed: Position,
        inserts: dict[StateKey, list[Attempt] | None],
    ) -> Outcome:
        event, register = delivered.event, delivered.register
        if event.student_key in self.tombstones:
            self._bury(source, _letter(delivered, Reason.ERASED))
            until = self.refused_until.get(event.student_key, event.graded_at)
            self.refused_until[event.student_key] = max(until, event.graded_at)
            return Outcome.ERASED
        if self._refuses(event):
            return Outcome.ERASED
        rows = self._rows.setdefault(delivered.key, {})
        row, mine = rows.get(register.key), _Row(event, register)
        if row is not None and row.register.check != register.check:
            self._bury(source, _letter(delivered, Reason.KEY_COLLISION))
            return Outcome.DEAD_LETTERED
        if row is not None and order_of(row.event, row.register) >= order_of(event, register):
            if delivered.position <= committed:
                return Outcome.REDELIVERED
            same = order_of(row.event, row.register) == order_of(event, register)
            return Outcome.DUPLICATE if same else Outcome.SUPERSEDED
        rows[register.key] = mine if row is None else mine._replace(revision=row.revision + 1)
        if row is not None or event.kind is not Kind.SCORED:
            inserts[delivered.key] = None
        else:
            held = inserts.setdefault(delivered.key, [])
            if held is not None:
                held.append(mine.attempt)
        return Outcome.APPLIED if row is None else Outcome.REVISED

    def _refuses(self, event: ScoreEvent) -> bool:
        until = self.refused_until.get(event.student_key)
        horizons = (self.horizons.get(None), self.horizons.get(event.course_id))
        return (until is not None and event.graded_at <= until) or any(
            horizon is not None and event.graded_at < horizon for horizon in horizons
        )

    def accept(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        """Let sources go on at their checkpoints; for those that moved, how far they were."""
        self._reach()
        moved = {}
        for source, position in checkpoints.items():
            progress = self._progress.get(source)
            if progress is not None and progress.committed < position:
                moved[source] = progress.committed
                self._progress[source] = progress._replace(committed=position)
        return moved

    def rename(self, old: UUID, new: UUID, sealed_id: bytes) -> None:
        """Give a student another canonical pseudonym; the old one goes on to name them."""
        with self._lock:
            self.aliases = {
                a: new if canonical == old else canonical for a, canonical in self.aliases.items()
            }
            self.aliases.pop(new, None)
            self.sealed = {
                (new if key == old else key): (sealed_id if key == old else sealed)
                for key, sealed in self.sealed.items()
            }
            if old == new:
                return
            self.aliases[old] = new
            self._rows = {_renamed(state, old, new): rows for state, rows in self._rows.items()}
            self._versions = {_renamed(state, old, new): found for state, found in self._versions.items()}
            for courses in (self.tombstones, self.lifted):
                if old in courses:
                    courses[new] = courses.pop(old)
            if old in self.refused_until:
                self.refused_until[new] = self.refused_until.pop(old)

    def delete(self, key: StateKey, before: datetime | None = None) -> list[ScoreEvent]:
        """Take a state out; or with `before` the attempts graded earlier, raising its version."""
        with self._lock:
            rows = self._rows.get(key, {})
            gone = {
                at: row.event for at, row in rows.items() if before is None or row.event.graded_at < before
            }
            self._rows[key] = {at: row for at, row in rows.items() if at not in gone}
            if before is None:
                self._versions.pop(key, None)
            elif gone:
                self._bump(key)
            return list(gone.values())

    def _bump(self, key: StateKey) -> None:
        version = self._versions.get(key)
        if version is None:
            self._births += 1
            self._versions[key] = Version(self._births, 1)
        else:
            self._versions[key] = version._replace(number=version.number + 1)

    def _survivors(self, key: StateKey) -> list[Attempt]:
        rows = self._rows.get(key, {}).values()
        return [row.attempt for row in rows if row.event.kind is Kind.SCORED]

    def _bury(self, source: Source, letter: DeadLetter) -> None:
        self.dead_letters.setdefault((source, letter.position, letter.number), letter)


def _letter(delivered: Delivered, reason: Reason) -> DeadLetter:
    payload = envelope.seal([delivered.event])
    return DeadLetter(delivered.position, delivered.number, reason, None, payload)


def _renamed(state: StateKey, old: UUID, new: UUID) -> StateKey:
    return state._replace(student_key=new) if state.student_key == old else state
