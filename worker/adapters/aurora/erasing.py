"""The Erasing port on PostgreSQL: one student out of the ledger, in the order of the protocol.

What must be true at once (rows, tombstone, floor) is one transaction under the lock that excludes merges;
what only has to become true (disclosures, publications, the sealed id) follows in small steps that may be
repeated.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.ledger import CLEAR_LOCK, ERASE_LOCK
from worker.adapters.aurora.publications import packed, unpacked
from worker.adapters.aurora.statements import statements
from worker.batch import StateKey
from worker.domain.classroom import Publication
from worker.domain.errors import Fatal
from worker.domain.position import Position
from worker.upkeep import Deletion, Hold, Letter, LetterPlace, OnHold, Subject


class AuroraErasing:
    """Erasing on one PostgreSQL session; not for use by two threads.

    Args:
        conninfo: gives the connection string of the writer endpoint at each connect.
    """

    def __init__(self, conninfo: Callable[[], str]) -> None:
        self._sql = statements("erasing")
        self._session = Session(conninfo, prepare=None, replace_ended=True)

    def close(self) -> None:
        self._session.close()

    def subject(self, keys: Collection[UUID]) -> Subject | None:
        rows = self._rows("subject", keys=list(keys))
        if not rows:
            return None
        key, own, sealed, courses, attempts, disclosures, erased, lifted, *hold = rows[0]
        held = None if hold[0] is None else Hold(*hold)
        return Subject(key, frozenset(own), sealed, courses, attempts, disclosures, erased, lifted, held)

    def entomb(self, key: UUID) -> None:
        self._run("entomb", key=key)

    def erase(self, key: UUID, by: str, reason: str) -> Deletion:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_merges"], {"lock": ERASE_LOCK})
            found = connection.execute(self._sql["reference"], {"key": key}).fetchone()
            if found is None:
                msg = "no student has this pseudonym"
                raise Fatal(msg)
            ref, held = found
            if held:
                raise OnHold
            given = {"ref": ref, "by": by, "reason": reason}
            (courses,) = connection.execute(self._sql["erase"], given).fetchall()[0]
            (number,) = connection.execute(self._sql["count_deletion"]).fetchall()[0]
        return Deletion(number, [StateKey(key, course) for course in courses])

    def purged(self, key: UUID) -> None:
        self._run("purged", key=key)

    def forget_publications(self, key: UUID) -> int:
        forgotten = 0
        with self._session.connection() as connection, connection.transaction():
            rows = connection.execute(self._sql["publications"], {"key": key}).fetchall()
            for course, realm, body in rows:
                publication = unpacked(body)
                if str(key) in publication.versions:
                    forgotten += 1
                    put = {"course": course, "realm": realm, "body": _without(publication, key)}
                    connection.execute(self._sql["put_publication"], put)
        return forgotten

    def unlink_disclosures(self, key: UUID, most: int) -> int:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_clearing"], {"lock": CLEAR_LOCK})
            given = {"key": key, "most": most}
            (unlinked,) = connection.execute(self._sql["unlink_disclosures"], given).fetchall()[0]
        return int(unlinked)

    def unname(self, key: UUID) -> None:
        self._run("unname", key=key)

    def remains(self, key: UUID) -> Mapping[str, int]:
        rows = self._rows("remains", key=key)
        attempts, states, disclosures, sealed_ids, tombstones = rows[0] if rows else (0,) * 5
        return {
            "attempts": attempts,
            "states": states,
            "disclosures": disclosures,
            "sealed ids": sealed_ids,
            "tombstones": tombstones,
        }

    def letters(self, after: LetterPlace | None, page: int) -> Sequence[Letter]:
        start = after or LetterPlace("", Position(-1, -1), -2)
        return [
            Letter(LetterPlace(source, Position(int(seq), sub), number), payload, expires_at)
            for source, seq, sub, number, payload, expires_at in self._rows(
                "letters", page=page, **_place(start)
            )
        ]

    def count_letters(self) -> int:
        return int(self._rows("count_letters")[0][0])

    def remove_letters(self, places: Iterable[LetterPlace]) -> None:
        with self._session.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(self._sql["remove_letter"], [_place(place) for place in places])

    def lift(self, key: UUID, by: str, sealed_id: bytes | None) -> bool:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_merges"], {"lock": ERASE_LOCK})
            lifted = connection.execute(self._sql["lift"], {"key": key, "by": by}).fetchone()
            if lifted and sealed_id is not None:
                connection.execute(self._sql["name_again"], {"ref": lifted[0], "sealed": sealed_id})
        return lifted is not None

    def hold(self, key: UUID, by: str, reason: str) -> bool:
        with self._session.connection() as connection, connection.transaction():
            connection.execute(self._sql["exclude_merges"], {"lock": ERASE_LOCK})
            rows = connection.execute(self._sql["hold"], {"key": key, "by": by, "reason": reason}).fetchall()
        return bool(rows)

    def release(self, key: UUID) -> bool:
        return bool(self._rows("release", key=key))

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        with self._session.connection() as connection:
            return connection.execute(self._sql[name], parameters).fetchall()

    def _run(self, name: str, **parameters: Any) -> None:
        with self._session.connection() as connection:
            connection.execute(self._sql[name], parameters)


def _without(publication: Publication, key: UUID) -> bytes:
    versions = {one: version for one, version in publication.versions.items() if one != str(key)}
    return packed(msgspec.structs.replace(publication, versions=versions))


def _place(place: LetterPlace) -> dict[str, Any]:
    return {
        "source": place.source,
        "seq": place.position.sequence,
        "sub": place.position.sub_sequence,
        "number": place.number,
    }
