"""What one ledger transaction did: an outcome for every event, a version for every touched state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from worker.domain import envelope
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Reason
from worker.domain.event import Kind, order_of, ratio_micros
from worker.domain.position import Position
from worker.domain.window import Placed, Version
from worker.ports import Batch, DeadLetter, Touched

Place = tuple[int, int]
"""The references of a state: course, student."""


class Merged(NamedTuple):
    """What the merge returned, in columns: the attempts that it wrote, and the states that it bumped."""

    courses: Sequence[int]
    students: Sequence[int]
    attempt_keys: Sequence[int]
    revisions: Sequence[int]
    bumped_courses: Sequence[int]
    bumped_students: Sequence[int]
    births: Sequence[int]
    numbers: Sequence[int]


NOTHING_MERGED = Merged(*[()] * 8)


class Outcomes:
    """Reads the answers of one transaction into outcomes per event and touched states.

    `places` are those of the batch's states; references are valid within one call.
    """

    def __init__(self, batch: Batch, places: Sequence[Place], merged: Merged, progress: Position) -> None:
        self._batch = batch
        self._places = places
        self._numbers = {place: number for number, place in enumerate(places)}
        self._progress = progress
        self._versions: list[Version | None] = [None] * len(places)
        self._inserts: list[list[Placed] | None] = [None] * len(places)
        self._counts = dict.fromkeys(Outcome, 0)
        self._counts[Outcome.DEAD_LETTERED] = len(batch.dead_letters)
        self.dead_letters: list[DeadLetter] = []
        self.erased: list[int] = []
        """The ordinals of events that a tombstone has refused."""
        self.found(merged.bumped_courses, merged.bumped_students, merged.births, merged.numbers)
        self._bumped = [version is not None for version in self._versions]
        self.unchanged: list[int] = self._read(merged)

    def _read(self, merged: Merged) -> list[int]:
        """Count the winners; returns the ordinals of the events that changed nothing."""
        inserts: list[list[Placed] | None] = [[] if bumped else None for bumped in self._bumped]
        winners, losers = self._winners()
        numbers, events = self._numbers, self._batch.events
        revised = 0
        places = zip(merged.courses, merged.students, strict=True)
        for place, key, revision in zip(places, merged.attempt_keys, merged.revisions, strict=True):
            state = numbers[place]
            delivered = events[winners.pop((state, key))]
            event = delivered.event
            if revision or event.kind is not Kind.SCORED:
                revised += bool(revision)
                inserts[state] = None
                continue
            held = inserts[state]
            if held is not None:
                ratio = ratio_micros(event.score, event.max_score)
                held.append((delivered.register.occurred, key, ratio))
        self._inserts = inserts
        self._counts[Outcome.REVISED] = revised
        self._counts[Outcome.APPLIED] = len(merged.revisions) - revised
        return sorted({*winners.values(), *losers})

    def _winners(self) -> tuple[dict[tuple[int, int], int], list[int]]:
        """Per attempt of the batch the ordinal of its last writer; and those of the others."""
        events = self._batch.events
        winners: dict[tuple[int, int], int] = {}
        losers: list[int] = []
        for order, (state, delivered) in enumerate(zip(self._batch.at, events, strict=True)):
            attempt = (state, delivered.register.key)
            best = winners.setdefault(attempt, order)
            if best != order:
                other = events[best]
                later = order_of(delivered.event, delivered.register) > order_of(other.event, other.register)
                winners[attempt], loser = (order, best) if later else (best, order)
                losers.append(loser)
        return winners, losers

    @property
    def unbumped_refs(self) -> list[Place]:
        return sorted(place for place, bumped in zip(self._places, self._bumped, strict=True) if not bumped)

    def classify(self, rows: Sequence[Any]) -> None:
        for order, erased, refused, collides, same in rows:
            delivered = self._batch.events[order]
            if refused and not erased:
                # no dead letter: it is what was dropped on purpose, and a replay brings back a whole term
                self._counts[Outcome.ERASED] += 1
            elif erased or collides:
                self.erased += [order] * erased
                reason = Reason.ERASED if erased else Reason.KEY_COLLISION
                self._counts[Outcome.ERASED if erased else Outcome.DEAD_LETTERED] += 1
                payload = envelope.seal([delivered.event])
                letter = DeadLetter(delivered.position, delivered.number, reason, None, payload)
                self.dead_letters.append(letter)
            elif delivered.position <= self._progress:
                self._counts[Outcome.REDELIVERED] += 1
            else:
                self._counts[Outcome.DUPLICATE if same else Outcome.SUPERSEDED] += 1

    def found(
        self,
        courses: Sequence[int] | None,
        students: Sequence[int] | None,
        births: Sequence[int] | None,
        numbers: Sequence[int] | None,
    ) -> None:
        """The versions of some states, in columns; None where there is no row."""
        places = zip(courses or (), students or (), strict=True)
        for place, birth, number in zip(places, births or (), numbers or (), strict=True):
            self._versions[self._numbers[place]] = Version(birth, number)

    @property
    def accounting(self) -> Accounting:
        return Accounting(self._batch.read, self._counts)

    def touched(self) -> list[Touched]:
        return [*map(Touched, self._batch.keys, self._versions, self._bumped, self._inserts)]
