"""Students and courses as the small integers under which the ledger keeps them.

A reference is looked up anew for every batch on the batch's own connection and never kept longer: a restored
database can then never meet references of its lost future. Looked up before the transaction, it holds inside
it as long as no student was given another pseudonym in between, and the ledger counts when that happens.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from worker.adapters.aurora.arrays import array, uuids
from worker.adapters.aurora.connection import Connection
from worker.adapters.aurora.outcomes import Place
from worker.batch import Batch, StateKey
from worker.domain.errors import LedgerUnavailable

ADOPT_LOCK = 0x65647505

Kin: TypeAlias = Callable[[bytes], Collection[UUID]]
"""All pseudonyms of the student in a sealed id; none where nobody can open it."""


class _Found(NamedTuple):
    """By the place among those asked for each student's reference, 0 for who is not known.

    `canonical` is the present key of those asked for by an earlier one; `rekeyings` how often keys changed.
    """

    refs: list[int]
    canonical: dict[UUID, UUID]
    rekeyings: int


class _Interned(NamedTuple):
    """Where the states of the batch at hand stand, as long as its connection lives and no key changes."""

    connection: Connection
    keys: Sequence[StateKey]
    places: list[Place]
    rekeyings: int

    def holds(self, connection: Connection, keys: Sequence[StateKey], rekeyings: int | None) -> bool:
        return self.connection is connection and self.keys is keys and self.rekeyings == rekeyings


class References:
    """The look-ups of one session.

    Args:
        sql: the ledger's statements.
        kin: gives every pseudonym of the student in a sealed id, where the keyring has several keys.
    """

    def __init__(self, sql: Mapping[str, bytes], kin: Kin | None) -> None:
        self._sql = sql
        self._kin = kin
        self._interned: _Interned | None = None

    def intern(self, connection: Connection, batch: Batch) -> Mapping[UUID, UUID]:
        """Make the batch's students and courses known; the canonical keys of those known under another."""
        keys = batch.keys
        found = self._students(connection, keys)
        strangers = {key.student_key for key, ref in zip(keys, found.refs, strict=True) if not ref}
        if strangers:
            self._admit(connection, batch, strangers)
            found = self._with(connection, found, keys, list(strangers))
        ids = {key.course_id for key in keys}
        courses = self._courses(connection, ids)
        if len(courses) < len(ids):
            connection.execute(self._sql["new_courses"], {"ids": list(ids - courses.keys())})
            courses = self._courses(connection, ids)
        self._interned = None
        if all(found.refs) and not found.canonical:
            places = [(courses[key.course_id], ref) for key, ref in zip(keys, found.refs, strict=True)]
            self._interned = _Interned(connection, keys, places, found.rekeyings)
        return found.canonical

    def places(
        self, connection: Connection, keys: Sequence[StateKey], rekeyings: int | None = None
    ) -> list[Place]:
        """Where each of these states stands; looked up anew unless `intern` has just done it.

        Args:
            connection: that of `intern`.
            keys: those of the interned batch.
            rekeyings: the ledger's count, read under the lock that keeps it from rising; None to look anew.

        Raises:
            LedgerUnavailable: one of the students was re-keyed since `intern`.
        """
        known, self._interned = self._interned, None
        if known is not None and known.holds(connection, keys, rekeyings):
            return known.places
        found = self._students(connection, keys)
        if found.canonical or not all(found.refs):
            msg = "a student was re-keyed meanwhile; from the start"
            raise LedgerUnavailable(msg)
        courses = self._courses(connection, {key.course_id for key in keys})
        return [(courses[key.course_id], ref) for key, ref in zip(keys, found.refs, strict=True)]

    def _students(self, connection: Connection, keys: Sequence[StateKey]) -> _Found:
        return self._look_up(connection, [key.student_key for key in keys])

    def _with(
        self, connection: Connection, found: _Found, keys: Sequence[StateKey], admitted: Sequence[UUID]
    ) -> _Found:
        """What was found before, and those that have become known since."""
        more = self._look_up(connection, admitted)
        refs = dict(zip(admitted, more.refs, strict=True))
        everybody = zip(keys, found.refs, strict=True)
        return _Found(
            [ref or refs[key.student_key] for key, ref in everybody],
            {**found.canonical, **more.canonical},
            found.rekeyings,
        )

    def _look_up(self, connection: Connection, asked: Sequence[UUID]) -> _Found:
        ((ords, found, rekeyed, rekeyings),) = self._rows(connection, "known_students", asked)
        refs, others = [0] * len(asked), dict[UUID, UUID]()
        for at, ref in zip(ords or (), found or (), strict=True):
            refs[at - 1] = ref
        if rekeyed:
            for at, ref, canonical in self._rows(connection, "known_aliases", asked):
                refs[at - 1] = ref
                others[asked[at - 1]] = canonical
        return _Found(refs, others, rekeyings)

    def _rows(self, connection: Connection, name: str, keys: Sequence[UUID]) -> list[Any]:
        parameters = {"keys": uuids(keys)}
        return connection.execute(self._sql[name], parameters, binary=True).fetchall()

    def _courses(self, connection: Connection, ids: Collection[str]) -> dict[str, int]:
        rows = connection.execute(self._sql["known_courses"], {"ids": list(ids)}, binary=True).fetchall()
        return dict(rows)

    def _admit(self, connection: Connection, batch: Batch, strangers: Collection[UUID]) -> None:
        events = (delivered.event for delivered in batch.events)
        sealed = {event.student_key: event.sealed_id for event in events if event.student_key in strangers}
        kinship = {} if self._kin is None else {key: {key, *self._kin(seal)} for key, seal in sealed.items()}
        if any(len(others) > 1 for others in kinship.values()):
            self._adopt(connection, sealed, kinship)
        else:
            connection.execute(self._sql["new_students"], _strangers(strangers, sealed))

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
        found = zip(asked, self._look_up(connection, asked).refs, strict=True)
        return {key: ref for key, ref in found if ref}


def _strangers(keys: Collection[UUID], sealed: Mapping[UUID, bytes]) -> dict[str, str]:
    seals = array('"\\\\x' + sealed[key].hex() + '"' for key in keys)
    return {"keys": uuids(keys), "sealed": seals}
