"""The DisclosureLog port in two lists: the chain itself is that of the domain."""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from worker.batch import StateKey
from worker.domain import chain
from worker.domain.chain import START, Anchor, Link
from worker.domain.errors import LedgerUnavailable
from worker.domain.window import Version
from worker.reads import Disclosed, Disclosure


class Book:
    """The rows and anchors of all writers, for a test to look at and to tamper with."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.anchors: list[Anchor] = []
        self.lock = threading.RLock()


class MemoryDisclosures:
    """DisclosureLog without a database; `away` makes every call raise, writers of one `book` share it.

    Args:
        book: where the rows stand.
        versions: gives the versions of states, those that exist.
    """

    def __init__(
        self,
        book: Book | None = None,
        versions: Callable[[Sequence[StateKey]], Mapping[StateKey, Version]] = lambda _keys: {},
    ) -> None:
        self.away = False
        self._versions = versions
        self.book = book or Book()
        self._chain = uuid.uuid4()
        self._number = self._anchored = 0
        self._head = START

    def record(self, disclosures: Sequence[Disclosure]) -> None:
        self._reach()
        with self.book.lock:
            for disclosure in disclosures:
                self._number += 1
                link = chain.linked(self._head, self._chain, self._number, **disclosure._asdict())
                self._head = link.digest
                self.book.links.append(link)

    def look(self, keys: Sequence[StateKey], disclosures: Sequence[Disclosure]) -> Mapping[StateKey, Version]:
        self._reach()
        found = self._versions(keys)
        if len(found) == len(keys):
            self.record(disclosures)
        return found

    def anchor(self) -> None:
        self._reach()
        if self._number == self._anchored:
            return
        with self.book.lock:
            before = self.book.anchors[-1].digest if self.book.anchors else START
            digest = chain.anchored(before, self._chain, self._number, self._head)
            number = len(self.book.anchors) + 1
            self.book.anchors.append(Anchor(number, self._chain, self._number, self._head, digest))
        self._anchored = self._number

    def of_student(
        self, student_key: UUID, before: tuple[datetime, UUID, int] | None, limit: int
    ) -> Sequence[Disclosed]:
        self._reach()
        found = [
            Disclosed(
                link.at,
                link.who,
                link.role,
                link.what,
                link.course_id,
                link.purpose,
                (link.chain, link.number),
            )
            for link in self.book.links
            if student_key in link.students
        ]
        found.sort(key=lambda one: (one.at, *one.place), reverse=True)
        return [one for one in found if before is None or (one.at, *one.place) < before][:limit]

    def broken(self) -> Sequence[str]:
        self._reach()
        links = sorted(self.book.links, key=lambda link: (link.chain, link.number))
        return chain.broken(links, self.book.anchors)

    def close(self) -> None:
        pass

    def _reach(self) -> None:
        if self.away:
            raise LedgerUnavailable
