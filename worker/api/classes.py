"""Class figures for many readers: computed by one process, served by all.

Reading every state of a course for every request would cost more than all events do. So a class that
somebody looks at is computed from its states every few seconds by whichever process holds the turn, kept in
Redis, and read from there; a class that nobody has looked at for a while costs nothing.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import zstandard

from worker.api.desk import Clerk
from worker.api.rooms import Rankings, Room, School, by_issuer
from worker.batch import StateKey
from worker.domain import window
from worker.domain.classroom import Publication, classroom, publish
from worker.domain.errors import ProjectionUnavailable, Unavailable
from worker.domain.risk import Thresholds
from worker.domain.window import Version, Window
from worker.logs import redact
from worker.reads import Days, Records
from worker.stream.reading import ScoreReader

T = TypeVar("T")
_log = logging.getLogger(__name__)
_PAGE = 1_000
_WANTED_SECONDS = 600
_WANTED_AGAIN_SECONDS = 60.0
_OLDEST = timedelta(seconds=60)
_LOCAL_SECONDS = 1.0
"""How long a process serves what it has decoded without asking Redis again."""
_SPREAD = 0.4
"""By how much that is less at random, so that classes do not all come due in the same moment."""
_WHILE_RENEWED_SECONDS = 5.0
"""How much longer it may serve that to who asks while somebody else looks again."""


class Rules(NamedTuple):
    """The settings of class figures: at-risk thresholds, and from which ratio an attempt is correct."""

    thresholds: Thresholds = Thresholds()
    correct_from: float = 0.5


class _Made(msgspec.Struct, frozen=True):
    """When the figures of a room are of."""

    as_of: datetime
    degraded: bool


class _Kept(msgspec.Struct, frozen=True):
    """What of a room tells whether it is outdated: to decode all learners of all classes holds up readers."""

    classroom: _Made
    stamp: str


class _Held(NamedTuple):
    until: float
    value: object


class Classes:
    """Gives rooms and rankings; its methods block, with a clerk, and may be called by any thread.

    Args:
        rules: how figures are judged.
        now: the present, aware.
        clock: monotonic seconds.
    """

    def __init__(
        self, rules: Rules, now: Callable[[], datetime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._now = now
        self._clock = clock
        self._local: dict[tuple[str, str], _Held] = {}
        self._wanted: dict[str, float] = {}
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def held(self, kind: str, course_id: str) -> object | None:
        """What this process served a moment ago; never blocks."""
        return self._held(kind, course_id, 0.0)

    def outdated(self, kind: str, course_id: str) -> object | None:
        """The same where it is due to be looked at again, but not old; never blocks."""
        return self._held(kind, course_id, _WHILE_RENEWED_SECONDS)

    def _held(self, kind: str, course_id: str, longer: float) -> object | None:
        found = self._local.get((kind, course_id))
        return found.value if found is not None and self._clock() < found.until + longer else None

    def room(self, clerk: Clerk, course_id: str) -> Room | None:
        """The class, None where the course has no learner.

        Raises:
            LedgerUnavailable: it must be computed, and PostgreSQL is away.
        """
        return self._shared(clerk, course_id, "room", Room)

    def rankings(self, clerk: Clerk, course_id: str) -> Rankings | None:
        """The means of the class, for percentiles; None where the course has no learner.

        Raises:
            LedgerUnavailable: it must be computed, and PostgreSQL is away.
        """
        return self._shared(clerk, course_id, "ranking", Rankings)

    def published(self, clerk: Clerk, course_id: str, realm: str) -> Publication | None:
        """What may be shown of a school's class to its people without row access."""
        room = self.room(clerk, course_id)
        school = None if room is None else room.of(realm)
        if room is None or school is None:
            return None
        # where no seal tells whose learners they are, all realms are shown one and the same
        owner = realm if room.issuers else ""
        last = clerk.records.publication(course_id, owner)
        keys = [learner.student_key for learner in school.classroom.learners]
        current = publish(school.classroom, {key: room.versions[str(key)] for key in keys}, last, owner)
        if current is last or clerk.records.publish(current, last):
            return current
        # another process was first: two of them made from the same one could differ by few
        return clerk.records.publication(course_id, owner)

    def past(self, records: Records, course_id: str, days: Days, as_of: datetime) -> Room | None:
        """The class from the ledger alone: attempts of these days and not after `as_of`."""
        attempts = records.attempts_of(course_id, None, days, as_of)
        if not attempts:
            return None
        windows = {key: window.unpack(window.rebuild(found)) for key, found in attempts.items()}
        sealed = records.sealed_ids(list(attempts))

        def school(learners: Collection[UUID] | None) -> School:
            items = records.items(course_id, days, as_of, self._rules.correct_from, learners)
            figures = classroom(course_id, _only(windows, learners), as_of, self._rules.thresholds)
            return School(figures, list(items))

        return _room(school, windows, sealed=sealed, versions={}, stamp="")

    def refresh(self, clerk: Clerk) -> int:
        """Compute again what is wanted and has changed, if the turn is ours; how many were.

        Raises:
            Unavailable: a dependency is away; nothing is lost.
        """
        with clerk.records.class_turn() as mine:
            if not mine:
                return 0
            courses = clerk.classes.wanted(_WANTED_SECONDS)
            stamps = clerk.records.course_stamps(courses)
            made = 0
            for course in courses:
                kept = _decode(clerk.classes.get("room", course), _kept)
                if kept is None or self._outdated(kept, stamps.get(course)):
                    self._make(clerk, course)
                    made += 1
            return made

    def _outdated(self, kept: _Kept, stamp: str | None) -> bool:
        age = self._now() - kept.classroom.as_of
        return kept.stamp != stamp or kept.classroom.degraded or age > _OLDEST

    def _shared(self, clerk: Clerk, course_id: str, kind: str, form: type[T]) -> T | None:
        found = self.held(kind, course_id)
        if isinstance(found, form):
            return found
        with self._one_at_a_time(course_id):
            found = self.held(kind, course_id)
            if isinstance(found, form):
                return found
            try:
                kept = _decode(clerk.classes.get(kind, course_id), _decoders[form])
            except ProjectionUnavailable:
                kept = None
            if kept is None:
                room = self._make(clerk, course_id)
                made: object | None = room if form is Room or room is None else room.rankings
                kept = made if isinstance(made, form) else None
            if kept is not None:
                spread = random.uniform(1 - _SPREAD, 1)
                self._local[kind, course_id] = _Held(self._clock() + spread * _LOCAL_SECONDS, kept)
                self._want(clerk, course_id)
            return kept

    def _want(self, clerk: Clerk, course_id: str) -> None:
        """Only a course that is there: names that somebody tries must not cost a look every few seconds."""
        if self._clock() < self._wanted.get(course_id, float("-inf")):
            return
        try:
            clerk.classes.want(course_id)
            self._wanted[course_id] = self._clock() + _WANTED_AGAIN_SECONDS
        except ProjectionUnavailable as error:
            _log.info("a wanted class not noted", extra={"error": redact(error)})

    def _make(self, clerk: Clerk, course_id: str) -> Room | None:
        room = _from_states(course_id, clerk.reader, clerk.records, self._now(), self._rules)
        if room is None:
            return None
        try:
            clerk.classes.put("room", course_id, _encode(room))
            clerk.classes.put("ranking", course_id, _encode(room.rankings))
        except ProjectionUnavailable as error:
            _log.info("class figures not shared", extra={"error": redact(error)})
        return room

    def _one_at_a_time(self, course_id: str) -> threading.Lock:
        with self._lock:
            if max(len(self._local), len(self._wanted), len(self._making)) > _PAGE:
                now = self._clock()
                self._local = {k: held for k, held in self._local.items() if now < held.until}
                self._wanted = {course: until for course, until in self._wanted.items() if now < until}
                self._making = {course: lock for course, lock in self._making.items() if lock.locked()}
            return self._making.setdefault(course_id, threading.Lock())


def _from_states(
    course_id: str, reader: ScoreReader, records: Records, now: datetime, rules: Rules
) -> Room | None:
    learners = records.held(course_id)
    if not learners:
        return None
    stamp = records.course_stamps([course_id]).get(course_id, "")
    windows: dict[UUID, Window] = {}
    versions: dict[UUID, Version] = {}
    degraded = False
    for start in range(0, len(learners), _PAGE):
        page = learners[start : start + _PAGE]
        found = reader.read_all([StateKey(held.student_key, course_id) for held in page])
        for key, read in found.items():
            windows[key.student_key], versions[key.student_key] = read.window, read.version
            degraded = degraded or read.degraded
    sealed = {held.student_key: held.sealed_id for held in learners if held.sealed_id is not None}

    def school(learners: Collection[UUID] | None) -> School:
        items = records.items(course_id, Days(), None, rules.correct_from, learners)
        figures = classroom(course_id, _only(windows, learners), now, rules.thresholds)
        return School(msgspec.structs.replace(figures, degraded=degraded), list(items))

    return _room(school, windows, sealed=sealed, versions=versions, stamp=stamp)


def _only(windows: Mapping[UUID, Window], learners: Collection[UUID] | None) -> Mapping[UUID, Window]:
    return windows if learners is None else {key: windows[key] for key in learners}


def _room(
    school: Callable[[Collection[UUID] | None], School],
    learners: Collection[UUID],
    *,
    sealed: Mapping[UUID, bytes],
    versions: Mapping[UUID, Version],
    stamp: str,
) -> Room:
    whole = school(None)
    issuers = by_issuer(learners, sealed)
    several = len(issuers) > 1
    return Room(
        classroom=whole.classroom,
        items=whole.items,
        issuers=list(issuers),
        apart={realm: school(own) for realm, own in issuers.items()} if several else {},
        sealed={str(key): value for key, value in sealed.items()},
        versions={str(key): f"{version.birth}.{version.number}" for key, version in versions.items()},
        stamp=stamp,
    )


def _encode(value: object) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(value))


_kept = msgspec.msgpack.Decoder(_Kept)
_decoders: Mapping[type, msgspec.msgpack.Decoder[Any]] = {
    form: msgspec.msgpack.Decoder(form) for form in (Room, Rankings)
}


def _decode(body: bytes | None, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
    """None also for what another version of the software wrote."""
    if body is None:
        return None
    try:
        return decoder.decode(zstandard.ZstdDecompressor().decompress(body))
    except (msgspec.DecodeError, zstandard.ZstdError):
        return None


def quietly(step: Callable[[], T]) -> T | None:
    """A figure that is only an addition is left out while its dependency is away."""
    try:
        return step()
    except Unavailable:
        return None
