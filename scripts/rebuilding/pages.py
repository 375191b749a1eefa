"""What is done with a page of states, or of what stands in Redis, by whichever process has it.

A page travels as bytes and texts: a UUID takes ten times as long from one process to another.
"""

import os
from collections.abc import Iterable
from random import uniform
from struct import Struct
from time import sleep
from typing import NamedTuple, Self
from uuid import UUID

from worker import wiring
from worker.batch import Resident, StateKey
from worker.ports import Projection
from worker.settings import load
from worker.stream.rebuilding import Examined, Rebuilding

_KEY = Struct("16s")


class States(NamedTuple):
    """The keys of some states, in columns."""

    students: bytes
    courses: list[str]

    @classmethod
    def of(cls, keys: Iterable[StateKey]) -> Self:
        students, courses = zip(*keys, strict=True)
        return cls(b"".join(student.bytes for student in students), list(courses))

    def keys(self) -> list[StateKey]:
        return [*map(StateKey, _uuids(self.students), self.courses)]


class Residents(NamedTuple):
    """Where some of Redis' states stand, in columns."""

    students: bytes
    digests: list[bytes]

    @classmethod
    def of(cls, residents: Iterable[Resident]) -> Self:
        some = list(residents)
        return cls(b"".join(one.student_key.bytes for one in some), [one.course_digest for one in some])

    def residents(self) -> list[Resident]:
        return [*map(Resident, _uuids(self.students), self.digests)]


def _uuids(joined: bytes) -> list[UUID]:
    return [UUID(bytes=key) for (key,) in _KEY.iter_unpack(joined)]


class _Process:
    """What one process works with."""

    rebuilding: Rebuilding
    projection: Projection
    changes: bool
    absent: bool


def begin(*given: bool) -> None:
    """Connect this process; `given`: whether anything is changed, and whether what is missing is written."""
    settings = load(os.environ)
    ledger = wiring.ledger(settings)
    _Process.projection = wiring.projection(settings, ledger.epoch())
    _Process.rebuilding = Rebuilding(ledger, _Process.projection, _pause)
    _Process.changes, _Process.absent = given


def examined(states: States) -> Examined:
    """Compare some states with the ledger, or make them equal to it."""
    if _Process.changes:
        return _Process.rebuilding.mend(states.keys(), absent=_Process.absent)
    return _Process.rebuilding.examine(states.keys())


class Counted(NamedTuple):
    """Of some of Redis' states, how many there were and how many of them the ledger does not have."""

    residents: int
    strangers: int


def counted(residents: Residents) -> Counted:
    """Look for states that the ledger does not have; where anything is changed, they are removed."""
    some = residents.residents()
    strangers = _Process.rebuilding.strangers(some)
    if _Process.changes:
        _Process.projection.drop(strangers)
    return Counted(len(some), len(strangers))


def _pause() -> None:
    sleep(uniform(0.1, 0.3))
