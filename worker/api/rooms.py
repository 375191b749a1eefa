"""What is kept of a class, and what of it is one school's own.

A course is known by its id alone, and two schools may call theirs the same. Their students are told apart by
the realm that issued their ids, which stands in the seal. So a class of several realms is computed for each
of them as well, and everybody is told of their own alone.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from worker.domain.classroom import Classroom, Ranking
from worker.domain.identity import SealBroken, realm_of
from worker.reads import Item

T = TypeVar("T")


class School(msgspec.Struct, frozen=True):
    """A class as one school sees it."""

    classroom: Classroom
    items: list[Item]


class Rankings(msgspec.Struct, frozen=True):
    """The means of a class, for percentiles; `apart` only where there are several issuers."""

    issuers: list[str]
    whole: Ranking
    apart: dict[str, Ranking]

    def of(self, realm: str) -> Ranking | None:
        """The own school's; None where it has no learner."""
        return _own(self.issuers, self.whole, self.apart, realm)


class Room(msgspec.Struct, frozen=True):
    """A class with all that its views need; `stamp` tells whether any state has changed since."""

    classroom: Classroom
    items: list[Item]
    sealed: dict[str, bytes]
    versions: dict[str, str]
    stamp: str
    issuers: list[str]
    apart: dict[str, School]

    def of(self, realm: str) -> School | None:
        """The own school's; None where it has no learner."""
        return _own(self.issuers, School(self.classroom, self.items), self.apart, realm)

    @property
    def rankings(self) -> Rankings:
        apart = {realm: school.classroom.ranking for realm, school in self.apart.items()}
        return Rankings(self.issuers, self.classroom.ranking, apart)


def by_issuer(learners: Collection[UUID], sealed: Mapping[UUID, bytes]) -> Mapping[str, Sequence[UUID]]:
    """Who belongs to which realm; whose seal does not tell is nobody's."""
    found: dict[str, list[UUID]] = {}
    for key in learners:
        try:
            found.setdefault(realm_of(sealed[key]), []).append(key)
        except (KeyError, SealBroken):
            continue
    return dict(sorted(found.items()))


def _own(issuers: Sequence[str], whole: T, apart: Mapping[str, T], realm: str) -> T | None:
    if len(issuers) > 1:
        return apart.get(realm)
    return whole if issuers in ([], [realm]) else None
