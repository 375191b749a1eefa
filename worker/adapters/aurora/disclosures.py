"""The DisclosureLog port on PostgreSQL: a hash chain for each writer, tied together by anchors.

One chain over all writers would make every read of the fleet wait for every other. So each writer chains its
own rows, in commits of many, and now and then ties its head to the anchor before, whoever wrote that. Who
changes or removes a row must rewrite the rest of its chain and all later anchors, exported ones included.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import msgspec

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.prepared import Prepared
from worker.adapters.aurora.statements import statements
from worker.batch import StateKey
from worker.domain import chain
from worker.domain.chain import START, Anchor, Link
from worker.domain.window import Version
from worker.reads import Disclosed, Disclosure

ANCHORS_LOCK = 0x65647504
_encode = msgspec.json.Encoder().encode


class AuroraDisclosures:
    """DisclosureLog on one PostgreSQL session, with a chain of its own; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("records")
        self._look = Prepared("look", self._sql["look"])
        self._session = Session(conninfo, prepare=None, replace_ended=True)
        self._left: list[tuple[UUID, int, bytes]] = []
        self._begin()

    def close(self) -> None:
        self._session.close()

    def record(self, disclosures: Sequence[Disclosure]) -> None:
        if not disclosures:
            return
        rows = list(self._linked(disclosures))
        with self._in_doubt(), self._session.connection() as connection:
            connection.execute(self._sql["new_disclosures"], {"rows": _document(rows).decode()})
        self._extend(rows)

    def look(self, keys: Sequence[StateKey], disclosures: Sequence[Disclosure]) -> Mapping[StateKey, Version]:
        rows = list(self._linked(disclosures))
        asked = [
            {"ord": at, "student_key": key, "course_id": course} for at, (key, course) in enumerate(keys)
        ]
        with self._in_doubt(), self._session.connection() as connection:
            found = self._look.execute(connection, keys=_encode(asked), rows=_document(rows))
        if rows and len(found) == len(keys):
            self._extend(rows)
        return {keys[at]: Version(birth, number) for at, birth, number in found}

    def anchor(self) -> None:
        ends = [*self._left, *self._grown()]
        if not ends:
            return
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["hold_anchors"], {"lock": ANCHORS_LOCK})
            last = connection.execute(self._sql["last_anchor"]).fetchone()
            digest = last[0] if last else START
            for of, number, head in ends:
                digest = chain.anchored(digest, of, number, head)
                row = {"chain": of, "number": number, "head": head, "digest": digest}
                connection.execute(self._sql["new_anchor"], row)
        self._left, self._anchored = [], self._number

    def of_student(
        self, student_key: UUID, before: tuple[datetime, UUID, int] | None, limit: int
    ) -> Sequence[Disclosed]:
        at, of, number = before or (None, None, None)
        parameters = {"student": student_key, "at": at, "chain": of, "number": number, "limit": limit}
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["of_student"], parameters, binary=True).fetchall()
        return [
            Disclosed(at, who, role, what, course, purpose, (of, number))
            for at, who, role, what, course, purpose, of, number in rows
        ]

    def broken(self) -> Sequence[str]:
        with self._session.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = connection.execute(self._sql["all_disclosures"], binary=True).fetchall()
            anchors = connection.execute(self._sql["all_anchors"], binary=True).fetchall()
        return chain.broken((Link(*row) for row in rows), (Anchor(*row) for row in anchors))

    @contextmanager
    def _in_doubt(self) -> Iterator[None]:
        """After a failure it is not known whether rows were committed: the next begins a chain of its own."""
        try:
            yield
        except BaseException:
            self._session.close()
            self._left += self._grown()
            self._begin()
            raise

    def _extend(self, rows: Sequence[Link]) -> None:
        self._number, self._head = rows[-1].number, rows[-1].digest

    def _begin(self) -> None:
        self._chain = uuid.uuid4()
        self._number = self._anchored = 0
        self._head = START

    def _grown(self) -> list[tuple[UUID, int, bytes]]:
        """The end of the chain, where no anchor holds it yet."""
        return [] if self._number == self._anchored else [(self._chain, self._number, self._head)]

    def _linked(self, disclosures: Sequence[Disclosure]) -> Iterator[Link]:
        head = self._head
        for number, disclosure in enumerate(disclosures, self._number + 1):
            link = chain.linked(head, self._chain, number, **disclosure._asdict())
            head = link.digest
            yield link


def _document(rows: Sequence[Link]) -> bytes:
    """The rows as one JSON text: an array for each column costs a small commit twice as much."""
    return _encode([row._asdict() for row in rows])
