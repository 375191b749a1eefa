"""The Erasing port over the twins of ledger, disclosures and publications."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from worker.adapters.memory.disclosures import Book
from worker.adapters.memory.ledger import MemoryLedger
from worker.batch import StateKey
from worker.domain import chain
from worker.domain.classroom import Publication
from worker.ports import Vault
from worker.upkeep import Deletion, Hold, Letter, LetterPlace, OnHold, Subject

_LIFE = timedelta(days=30)


class MemoryErasing:
    """Erasing without a database; away while its ledger is.

    Args:
        ledger: the twin whose rows are taken out.
        vault: seals the payloads that are given.
        book: the disclosures.
        publications: by course and realm.
    """

    def __init__(
        self,
        ledger: MemoryLedger,
        vault: Vault,
        book: Book | None = None,
        publications: dict[tuple[str, str], Publication] | None = None,
    ) -> None:
        self.ledger = ledger
        self.book = book or Book()
        self.publications = {} if publications is None else publications
        self.holds: dict[UUID, Hold] = {}
        self.erased_at: dict[UUID, datetime] = {}
        self.lifted_at: dict[UUID, datetime] = {}
        self.unnamed: set[UUID] = set()
        self._vault = vault

    def subject(self, keys: Collection[UUID]) -> Subject | None:
        known = {key.student_key for key in self.ledger.current()} | self._tombs().keys()
        found = sorted({self.ledger.aliases.get(key, key) for key in keys} & known)
        if not found:
            return None
        key = found[0]
        aliases = {alias for alias, canonical in self.ledger.aliases.items() if canonical == key}
        return Subject(
            key,
            frozenset({key, *aliases}),
            self._sealed(key),
            sorted({*self._courses(key), *self._tombs().get(key, ())}),
            sum(len(self.ledger.standing(StateKey(key, course))) for course in self._courses(key)),
            self._disclosures(key),
            self.erased_at.get(key),
            self.lifted_at.get(key),
            self.holds.get(key),
        )

    def entomb(self, key: UUID) -> None:
        self.ledger.tombstones.setdefault(key, set())

    def erase(self, key: UUID, by: str, reason: str) -> Deletion:  # noqa: ARG002
        self.ledger.current()
        if key in self.holds:
            raise OnHold
        courses = {*self._courses(key), *self._tombs().get(key, ())}
        gone = [event for course in courses for event in self.ledger.delete(StateKey(key, course))]
        until = [event.graded_at for event in gone]
        if key in self.ledger.refused_until:
            until.append(self.ledger.refused_until[key])
        if until:
            self.ledger.refused_until[key] = max(until)
        self.ledger.lifted.pop(key, None)
        if self.lifted_at.pop(key, None) is not None or key not in self.erased_at:
            self.erased_at[key] = datetime.now(UTC)
        self.ledger.tombstones[key] = courses
        self.ledger.deletions += 1
        return Deletion(self.ledger.deletions, [StateKey(key, course) for course in sorted(courses)])

    def purged(self, key: UUID) -> None:  # noqa: ARG002
        self.ledger.current()

    def forget_publications(self, key: UUID) -> int:
        forgotten = 0
        for place, publication in self.publications.items():
            versions = {one: version for one, version in publication.versions.items() if one != str(key)}
            if len(versions) < len(publication.versions):
                forgotten += 1
                self.publications[place] = msgspec.structs.replace(publication, versions=versions)
        return forgotten

    def unlink_disclosures(self, key: UUID, most: int) -> int:
        self.ledger.current()
        gone = 0
        for at, link in enumerate(self.book.links):
            if gone < most and key in link.students:
                students = [student for student in link.students if student != key]
                self.book.links[at] = link._replace(students=students, redacted=chain.subjects(students))
                gone += 1
        return gone

    def unname(self, key: UUID) -> None:
        self.unnamed.add(key)

    def remains(self, key: UUID) -> Mapping[str, int]:
        return {
            "attempts": sum(
                len(self.ledger.standing(StateKey(key, course))) for course in self._courses(key)
            ),
            "states": len(self._courses(key)),
            "disclosures": self._disclosures(key),
            "sealed ids": int(self._sealed(key) is not None),
            "tombstones": int(key in self.ledger.tombstones),
        }

    def letters(self, after: LetterPlace | None, page: int) -> Sequence[Letter]:
        self.ledger.current()
        expires_at = datetime.now(UTC) + _LIFE
        found = [
            Letter(LetterPlace(*place), self._vault.seal(letter.payload), expires_at)
            for place, letter in sorted(self.ledger.dead_letters.items())
            if after is None or place > after
        ]
        return found[:page]

    def count_letters(self) -> int:
        return len(self.ledger.dead_letters)

    def remove_letters(self, places: Iterable[LetterPlace]) -> None:
        self.ledger.current()
        for place in places:
            self.ledger.dead_letters.pop(place, None)

    def lift(self, key: UUID, by: str, sealed_id: bytes | None) -> bool:  # noqa: ARG002
        self.ledger.current()
        courses = self.ledger.tombstones.pop(key, None)
        if courses is None:
            return False
        self.ledger.lifted[key] = courses
        self.lifted_at[key] = datetime.now(UTC)
        if sealed_id is not None:
            self.unnamed.discard(key)
        return True

    def hold(self, key: UUID, by: str, reason: str) -> bool:
        self.ledger.current()
        if key in self.holds or key in self.ledger.tombstones:
            return False
        self.holds[key] = Hold(reason, by, datetime.now(UTC))
        return True

    def release(self, key: UUID) -> bool:
        self.ledger.current()
        return self.holds.pop(key, None) is not None

    def close(self) -> None:
        pass

    def _tombs(self) -> dict[UUID, set[str]]:
        return {**self.ledger.tombstones, **self.ledger.lifted}

    def _courses(self, key: UUID) -> list[str]:
        return sorted(state.course_id for state in self.ledger.current() if state.student_key == key)

    def _sealed(self, key: UUID) -> bytes | None:
        if key in self.unnamed:
            return None
        return self.ledger.sealed.get(key)

    def _disclosures(self, key: UUID) -> int:
        return sum(key in link.students for link in self.book.links)
