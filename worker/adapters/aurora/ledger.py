"""The Ledger port on PostgreSQL: one transaction a batch, read committed, in the order of the protocol.

Integer references stay inside a call: they are looked up anew for every batch on the same connection, so a
restored database can never meet references of its lost future.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec

from worker.adapters.aurora.arrays import uuids
from worker.adapters.aurora.connection import Connection, Session
from worker.adapters.aurora.outcomes import NOTHING_MERGED, Merged, Outcomes, Place
from worker.adapters.aurora.references import Kin, References
from worker.adapters.aurora.staging import MILLENNIUM, staged
from worker.adapters.aurora.statements import statements
from worker.batch import DELETIONS, STREAMS, Batch, DeadLetter, Delivered, Source, StateKey
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Fatal, LedgerUnavailable
from worker.domain.poison import PoisonWindow
from worker.domain.position import Position
from worker.domain.window import NOTHING, Placed, Version
from worker.ports import Committed, Idle, LedgerState, Progress, Vault

ERASE_LOCK = 0x65647501
SWEEP_LOCK = 0x65647502
CLEAR_LOCK = 0x65647506
"""Held by whoever removes rows page by page until none is left. The page of another run, or the last of
one that was killed and goes on in PostgreSQL, would be waited for and found gone: that looks like the end."""

_SURVIVOR = struct.Struct(">qqi")


class AuroraLedger:
    """Ledger on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
        vault: seals dead-letter payloads.
        dead_letter_days: life of a dead letter in days.
        kin: gives every pseudonym of the student in a sealed id, where the keyring has several keys.
        replace_ended: see `Session`; for readers alone.
    """

    def __init__(
        self,
        conninfo: Callable[[], str],
        vault: Vault,
        dead_letter_days: int = 30,
        *,
        kin: Kin | None = None,
        replace_ended: bool = False,
    ) -> None:
        self._sql = statements()
        self._session = Session(conninfo, prepare=self._sql["session"], replace_ended=replace_ended)
        self._vault = vault
        self._references = References(self._sql, kin)
        self._days = dead_letter_days

    def close(self) -> None:
        self._session.close()

    def server_version(self) -> str:
        """What the server calls itself, e.g. PostgreSQL 16.13."""
        with self._session.connection() as connection:
            version = connection.info.server_version
            return f"PostgreSQL {version // 10_000}.{version % 10_000}"

    def epoch(self) -> int:
        with self._session.connection() as connection:
            return int(self._one(connection, "epoch")[0])

    def open_source(self, source: Source) -> Progress:
        with self._session.connection() as connection:
            connection.execute(self._sql["open_source"], {"source": source})
            return _progress(self._one(connection, "progress", {"source": source}))

    def intern(self, batch: Batch) -> Batch:
        with self._session.connection() as connection:
            aliases = self._references.intern(connection, batch)
        return _under_canonical_keys(batch, aliases) if aliases else batch

    def commit(self, batch: Batch) -> Committed:
        # Sealing may need the key service; never while the transaction holds its locks.
        buried = [(letter, self._vault.seal(letter.payload)) for letter in batch.dead_letters]
        with self._session.connection() as connection, connection.transaction():
            return self._merge_and_advance(connection, batch, buried)

    def probe(self, batch: Batch) -> None:
        batch = self.intern(batch)
        with self._session.connection() as connection:
            places = self._references.places(connection, batch.keys)
            with connection.transaction(force_rollback=True):
                self._merge(connection, batch, places)

    def read(self, keys: Sequence[StateKey]) -> Mapping[StateKey, LedgerState]:
        parameters = {"students": uuids(k.student_key for k in keys), "courses": [k.course_id for k in keys]}
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["read"], parameters, binary=True).fetchall()
        states: dict[StateKey, LedgerState] = {}
        for order, birth, version, lagging, survivors in rows:
            if lagging:
                self._session.close()  # the endpoint leads to the new writer, this connection never will
                msg = "this PostgreSQL is a reader now"
                raise LedgerUnavailable(msg)
            states[keys[order - 1]] = LedgerState(Version(birth, version), _attempts(survivors or b""))
        return states

    def versions(self, page: int) -> Iterator[Sequence[tuple[StateKey, Version]]]:
        last = {"course_ref": -1, "student_ref": -1}
        while True:
            with self._session.connection() as connection:
                rows = connection.execute(
                    self._sql["versions"], {**last, "page": page}, binary=True
                ).fetchall()
            if not rows:
                return
            yield [(StateKey(row[2], row[3]), Version(row[4], row[5])) for row in rows]
            last = {"course_ref": rows[-1][0], "student_ref": rows[-1][1]}

    def count_states(self) -> int:
        with self._session.connection() as connection:
            return int(self._one(connection, "count_states")[0])

    def states_of(self, students: Sequence[UUID]) -> Sequence[StateKey]:
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["states_of"], {"students": uuids(students)}, binary=True)
            return [StateKey(*row) for row in rows.fetchall()]

    def erased(self) -> Iterable[StateKey]:
        with self._session.connection() as connection:
            return [StateKey(*row) for row in connection.execute(self._sql["erased"]).fetchall()]

    def advance_floor(self, source: Source, position: Position) -> None:
        parameters = {"source": source, "seq": position.sequence, "sub": position.sub_sequence}
        with self._session.connection() as connection:
            connection.execute(self._sql["advance_floor"], parameters)

    def floors(self) -> Mapping[Source, Position]:
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["floors"], {"deletions": DELETIONS}).fetchall()
        return {row[0]: Position(int(row[1]), row[2]) for row in rows}

    def progress(self) -> Mapping[Source, Progress]:
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["progress"], {"source": None}).fetchall()
        return {row[0]: _progress(row) for row in rows}

    def idle(self, span: timedelta) -> Mapping[Source, Idle]:
        parameters = {"idle": span, "streams": STREAMS}
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["idle"], parameters).fetchall()
        return {row[0]: Idle(Position(int(row[1]), row[2]), Position(int(row[3]), row[4])) for row in rows}

    def close_source(self, source: Source, span: timedelta) -> bool:
        with self._session.connection() as connection:
            done = connection.execute(self._sql["close_source"], {"source": source, "idle": span})
        return done.rowcount == 1

    @contextmanager
    def sweep_turn(self) -> Iterator[bool]:
        with self._session.connection() as connection:
            mine = bool(self._one(connection, "try_sweep", {"lock": SWEEP_LOCK})[0])
        try:
            yield mine
        finally:
            if mine:
                with self._session.connection() as connection:
                    connection.execute(self._sql["end_sweep"], {"lock": SWEEP_LOCK})

    def _one(self, connection: Connection, name: str, parameters: dict[str, Any] | None = None) -> Any:
        row = connection.execute(self._sql[name], parameters, binary=True).fetchone()
        if row is None:
            msg = f"the ledger has no row for {name!r}; run `python -m worker migrate`"
            raise Fatal(msg)
        return row

    def _merge_and_advance(
        self,
        connection: Connection,
        batch: Batch,
        buried: Sequence[tuple[DeadLetter, bytes]],
    ) -> Committed:
        connection.execute(self._sql["hold_erasures"], {"lock": ERASE_LOCK})
        seq, sub, rekeyings = self._one(connection, "lock_progress", {"source": batch.source})
        # under the lock: a re-keying in between would leave the batch's states under a name nobody reads
        places = self._references.places(connection, batch.keys, rekeyings)
        merged = self._merge(connection, batch, places)
        done = Outcomes(batch, places, merged, Position(int(seq), sub))
        if done.unchanged:
            ords = {"ords": done.unchanged}
            done.classify(connection.execute(self._sql["classify"], ords, binary=True).fetchall())
        if done.erased:
            connection.execute(self._sql["refused"], {"ords": done.erased})
        untouched = done.unbumped_refs
        if untouched:
            lists = {"courses": [c for c, _ in untouched], "students": [s for _, s in untouched]}
            done.found(*self._one(connection, "unchanged_versions", lists))
        late = [(letter, self._vault.seal(letter.payload)) for letter in done.dead_letters]
        self._bury(connection, batch.source, [*buried, *late])
        accounting = done.accounting
        counts = {outcome.value: accounting[outcome] for outcome in Outcome}
        position = {"seq": batch.high.sequence, "sub": batch.high.sub_sequence}
        poison = {
            "poison_buckets": list(chain.from_iterable(batch.poison.buckets)),
            "poison_streak": batch.poison.streak,
        }
        connection.execute(
            self._sql["advance"],
            {"source": batch.source, "read": accounting.read, **counts, **position, **poison},
        )
        return Committed(accounting, done.touched())

    def _merge(self, connection: Connection, batch: Batch, places: Sequence[Place]) -> Merged:
        if not batch.events:
            return NOTHING_MERGED
        with connection.cursor() as cursor, cursor.copy(self._sql["stage"]) as copy:
            copy.write(staged(batch, places))
        return Merged(*(column or () for column in self._one(connection, "merge")))

    def _bury(
        self, connection: Connection, source: Source, letters: Sequence[tuple[DeadLetter, bytes]]
    ) -> None:
        if not letters:
            return
        with connection.cursor() as cursor:
            cursor.executemany(
                self._sql["bury"],
                [
                    {
                        "source": source,
                        "seq": letter.position.sequence,
                        "sub": letter.position.sub_sequence,
                        "number": letter.number,
                        "reason": letter.reason.value,
                        "field": letter.field,
                        "payload": payload,
                        "days": self._days,
                    }
                    for letter, payload in letters
                ],
            )


def _under_canonical_keys(batch: Batch, aliases: Mapping[UUID, UUID]) -> Batch:
    def renamed(delivered: Delivered) -> Delivered:
        canonical = aliases.get(delivered.event.student_key)
        if canonical is None:
            return delivered
        event = msgspec.structs.replace(delivered.event, student_key=canonical)
        return msgspec.structs.replace(delivered, event=event)

    return batch.of([renamed(delivered) for delivered in batch.events])


def _progress(row: Sequence[Any]) -> Progress:
    _, seq, sub, projected_seq, projected_sub, read, *counts, buckets, streak, closed = row
    outcomes = {outcome: int(count) for outcome, count in zip(Outcome, counts, strict=True)}
    return Progress(
        Position(int(seq), sub),
        Position(int(projected_seq), projected_sub),
        Accounting(int(read), outcomes),
        PoisonWindow(tuple(zip(buckets[::2], buckets[1::2], strict=True)), streak),
        closed,
    )


def _attempts(survivors: bytes) -> list[Placed]:
    return [
        (occurred + MILLENNIUM, key, None if ratio == NOTHING else ratio)
        for occurred, key, ratio in _SURVIVOR.iter_unpack(survivors)
    ]
