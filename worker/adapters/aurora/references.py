"""Students and courses as the small integers under which the ledger keeps them.

A reference is looked up anew for every batch on the batch's own connection and never kept: a restored
database can then never meet references of its lost future.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

from worker.adapters.aurora.connection import Connection
from worker.adapters.aurora.outcomes import Place
from worker.domain.errors import LedgerUnavailable
from worker.ports import Batch, StateKey

ADOPT_LOCK = 0x65647505

Kin: TypeAlias = Callable[[bytes], Collection[UUID]]
"""All pseudonyms of the student in a sealed id; none where nobody can open it."""


class _Student(NamedTuple):
    """A student of the ledger; `canonical` is the present key of one asked for by an earlier one."""

    ref: int
    canonical: UUID | None


class References:
    """The look-ups of one session.

    Args:
        sql: the ledger's statements.
        kin: gives every pseudonym of the student in a sealed id, where the keyring has several keys.
    """

    def __init__(self, sql: Mapping[str, bytes], kin: Kin | None) -> None:
        self._sql = sql
        self._kin = kin

    def intern(self, connection: Connection, batch: Batch) -> Mapping[UUID, UUID]:
        """Make the batch's students and courses known; the canonical keys of those known under another."""
        asked = [key.student_key for key in batch.keys]
        found = self._students(connection, asked)
        strangers = {key for key, one in zip(asked, found, strict=True) if one is None}
        if strangers and self._admit(connection, batch, strangers):
            found = self._students(connection, asked)
        missing = {key.course_id for key in batch.keys}
        missing -= self._courses(connection, missing).keys()
        if missing:
            connection.execute(self._sql["new_courses"], {"ids": list(missing)})
        pairs = zip(asked, found, strict=True)
        return {key: one.canonical for key, one in pairs if one is not None and one.canonical is not None}

    def places(self, connection: Connection, keys: Sequence[StateKey]) -> list[Place]:
        """Where each of these states stands.

        Raises:
            LedgerUnavailable: one of the students was re-keyed since `intern`.
        """
        students = self._students(connection, [key.student_key for key in keys])
        courses = self._courses(connection, {key.course_id for key in keys})
        places: list[Place] = []
        for key, student in zip(keys, students, strict=True):
            if student is None or student.canonical is not None:
                msg = "a student was re-keyed meanwhile; from the start"
                raise LedgerUnavailable(msg)
            places.append((courses[key.course_id], student.ref))
        return places

    def _students(self, connection: Connection, asked: Sequence[UUID]) -> list[_Student | None]:
        array = {"keys": _array(key.hex for key in asked)}
        found: list[_Student | None] = [None] * len(asked)
        for at, ref, canonical in connection.execute(self._sql["known_students"], array, binary=True):
            found[at - 1] = _Student(ref, canonical)
        return found

    def _courses(self, connection: Connection, ids: Collection[str]) -> dict[str, int]:
        rows = connection.execute(self._sql["known_courses"], {"ids": list(ids)}, binary=True).fetchall()
        return dict(rows)

    def _admit(self, connection: Connection, batch: Batch, strangers: Collection[UUID]) -> bool:
        """Make these known; whether some of them may be known under another key now."""
        events = (delivered.event for delivered in batch.events)
        sealed = {event.student_key: event.sealed_id for event in events if event.student_key in strangers}
        kinship = {} if self._kin is None else {key: {key, *self._kin(seal)} for key, seal in sealed.items()}
        akin = any(len(others) > 1 for others in kinship.values())
        if akin:
            self._adopt(connection, sealed, kinship)
        else:
            connection.execute(self._sql["new_students"], _strangers(strangers, sealed))
        return akin

    def _adopt(
        self, connection: Connection, sealed: Mapping[UUID, bytes], kinship: Mapping[UUID, set[UUID]]
    ) -> None:
        """Students not known by these keys may be known by those of another key of the ring.

        One at a time: two writers that meet one student under two keys would make two of them.
        """
        with connection.transaction():
            connection.execute(self._sql["exclude_adoptions"], {"lock": ADOPT_LOCK})
            everybody = list({one for others in kinship.values() for one in others})
            refs = self._refs(connection, everybody)
            new = {
                min(others & kinship.keys()) for others in kinship.values() if refs.keys().isdisjoint(others)
            }
            connection.execute(self._sql["new_students"], _strangers(new, sealed))
            refs = self._refs(connection, everybody)
            aliases = {
                key: next(refs[one] for one in others if one in refs)
                for key, others in kinship.items()
                if key not in refs
            }
            parameters = {"keys": list(aliases), "refs": list(aliases.values())}
            connection.execute(self._sql["new_aliases"], parameters)

    def _refs(self, connection: Connection, asked: Sequence[UUID]) -> dict[UUID, int]:
        found = zip(asked, self._students(connection, asked), strict=True)
        return {key: student.ref for key, student in found if student is not None}


def _strangers(keys: Collection[UUID], sealed: Mapping[UUID, bytes]) -> dict[str, str]:
    seals = _array('"\\\\x' + sealed[key].hex() + '"' for key in keys)
    return {"keys": _array(key.hex for key in keys), "sealed": seals}


def _array(elements: Iterable[str]) -> str:
    """The text of an array; psycopg would dump each element by itself, at four times the cost."""
    return "{" + ",".join(elements) + "}"
