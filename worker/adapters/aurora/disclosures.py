"""The DisclosureLog port on PostgreSQL: a hash chain for each writer, tied together by anchors.

One chain over all writers would make every read of the fleet wait for every other. So each writer chains its
own rows, in commits of many, and now and then ties its head to the anchor before, whoever wrote that. Who
changes or removes a row must rewrite the rest of its chain and all later anchors, exported ones included.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.statements import statements
from worker.domain.event import length_prefixed, micros
from worker.reads import Disclosed, Disclosure

ANCHORS_LOCK = 0x65647504
_START = b"\x00" * 32


class _Row(NamedTuple):
    number: int
    disclosure: Disclosure
    students: bytes
    digest: bytes


class AuroraDisclosures:
    """DisclosureLog on one PostgreSQL session, with a chain of its own; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("records")
        self._session = Session(conninfo, prepare=None)
        self._chain = uuid.uuid4()
        self._number = self._anchored = 0
        self._head = _START

    def close(self) -> None:
        self._session.close()

    def record(self, disclosures: Sequence[Disclosure]) -> None:
        if not disclosures:
            return
        rows = list(self._chained(disclosures))
        try:
            with self._session.connection() as connection, connection.transaction():
                connection.execute(self._sql["new_disclosures"], self._columns(rows))
                connection.execute(self._sql["new_disclosed"], self._subjects(rows))
        except BaseException:
            # whether it was committed is not known: the next row begins a chain of its own
            self._finish_in_doubt()
            raise
        self._number, self._head = rows[-1].number, rows[-1].digest

    def anchor(self) -> None:
        if self._number == self._anchored:
            return
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["hold_anchors"], {"lock": ANCHORS_LOCK})
            last = connection.execute(self._sql["last_anchor"]).fetchone()
            digest = _anchor_digest(last[0] if last else _START, self._chain, self._number, self._head)
            connection.execute(
                self._sql["new_anchor"],
                {"chain": self._chain, "number": self._number, "head": self._head, "digest": digest},
            )
        self._anchored = self._number

    def of_student(
        self, student_key: UUID, before: tuple[datetime, UUID, int] | None, limit: int
    ) -> Sequence[Disclosed]:
        at, chain, number = before or (None, None, None)
        parameters = {"student": student_key, "at": at, "chain": chain, "number": number, "limit": limit}
        with self._session.connection() as connection:
            rows = connection.execute(self._sql["of_student"], parameters, binary=True).fetchall()
        return [
            Disclosed(at, who, role, what, course, purpose, (chain, number))
            for at, who, role, what, course, purpose, chain, number in rows
        ]

    def broken(self) -> Sequence[str]:
        with self._session.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = connection.execute(self._sql["all_disclosures"], binary=True).fetchall()
            anchors = connection.execute(self._sql["all_anchors"], binary=True).fetchall()
        chains: dict[UUID, list[Any]] = defaultdict(list)
        for row in rows:
            chains[row[0]].append(row)
        heads: dict[tuple[UUID, int], bytes] = {}
        problems = [problem for chain in chains.values() for problem in _check_chain(chain, heads)]
        return [*problems, *_check_anchors(anchors, heads)]

    def _finish_in_doubt(self) -> None:
        self._session.close()
        self._chain = uuid.uuid4()
        self._number = self._anchored = 0
        self._head = _START

    def _chained(self, disclosures: Sequence[Disclosure]) -> Iterator[_Row]:
        head = self._head
        for number, disclosure in enumerate(disclosures, self._number + 1):
            students = _digest_of_students(sorted(set(disclosure.students)))
            head = _digest(head, self._chain, number, disclosure, students)
            yield _Row(number, disclosure, students, head)

    def _columns(self, rows: Sequence[_Row]) -> dict[str, Any]:
        return {
            "chain": self._chain,
            "numbers": [row.number for row in rows],
            "ats": [row.disclosure.at for row in rows],
            "whos": [row.disclosure.who for row in rows],
            "roles": [row.disclosure.role for row in rows],
            "whats": [row.disclosure.what for row in rows],
            "courses": [row.disclosure.course_id for row in rows],
            "purposes": [row.disclosure.purpose for row in rows],
            "students": [row.students for row in rows],
            "digests": [row.digest for row in rows],
        }

    def _subjects(self, rows: Sequence[_Row]) -> dict[str, Any]:
        pairs = [(key, row) for row in rows for key in set(row.disclosure.students)]
        return {
            "chain": self._chain,
            "keys": [key for key, _ in pairs],
            "ats": [row.disclosure.at for _, row in pairs],
            "numbers": [row.number for _, row in pairs],
        }


def _check_chain(rows: Sequence[Any], heads: dict[tuple[UUID, int], bytes]) -> Iterator[str]:
    head = _START
    for expected, (chain, number, at, who, role, what, course, purpose, students, digest, keys) in enumerate(
        rows, 1
    ):
        if number != expected:
            yield f"chain {chain}: row {expected} is missing"
            return
        disclosure = Disclosure(at, who, role, what, course, purpose, keys)
        if students != _digest_of_students(keys):
            yield f"chain {chain}: the students of row {number} were changed"
        head = _digest(head, chain, number, disclosure, students)
        if head != digest:
            yield f"chain {chain}: row {number} was changed"
            return
        heads[chain, number] = head


def _check_anchors(anchors: Sequence[Any], heads: dict[tuple[UUID, int], bytes]) -> Iterator[str]:
    before = _START
    for anchor, chain, number, head, digest in anchors:
        before = _anchor_digest(before, chain, number, head)
        if digest != before:
            yield f"anchor {anchor} was changed, or one before it taken out"
            return
        if heads.get((chain, number)) != head:
            yield f"anchor {anchor}: row {number} of chain {chain} is not as it was"


def _digest(head: bytes, chain: UUID, number: int, disclosure: Disclosure, students: bytes) -> bytes:
    texts = (disclosure.who, disclosure.role, disclosure.what, disclosure.course_id, disclosure.purpose)
    # an absent text is told from an empty one
    parts = [b"" if text is None else b"=" + text.encode() for text in texts]
    place = (head, chain.bytes, str(number).encode(), str(micros(disclosure.at)).encode())
    return hashlib.sha256(length_prefixed(*place, *parts, students)).digest()


def _digest_of_students(keys: Sequence[UUID]) -> bytes:
    return hashlib.sha256(b"".join(key.bytes for key in keys)).digest()


def _anchor_digest(before: bytes, chain: UUID, number: int, head: bytes) -> bytes:
    return hashlib.sha256(length_prefixed(before, chain.bytes, str(number).encode(), head)).digest()
