"""What one ledger transaction did: an outcome for every event, a version for every touched state."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from worker.batch import Batch, DeadLetter, Delivered
from worker.domain import envelope
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Reason
from worker.domain.event import Kind, order_of, ratio_micros
from worker.domain.position import Position
from worker.domain.window import Placed, Version
from worker.ports import Touched

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
        """Count the winners; returns the ordinals of the events that changed nothing.

        Nearly every state has as many attempts merged as the batch has events of it, each of them new: all
        its events have won then, and nobody has to find out which.
        """
        at, events = self._batch.at, self._batch.events
        states = [*map(self._numbers.__getitem__, zip(merged.courses, merged.students, strict=True))]
        merged_of = Counter(states)
        mixed = {state for state, revision in zip(states, merged.revisions, strict=True) if revision}
        mixed.update(state for state, count in Counter(at).items() if merged_of[state] != count)
        inserts: list[list[Placed] | None] = [[] if bumped else None for bumped in self._bumped]
        doubtful: list[int] = []
        for order, (state, delivered) in enumerate(zip(at, events, strict=True)):
            if state in mixed:
                doubtful.append(order)
            else:
                _insert(inserts, state, delivered)
        winners, losers = self._winners(doubtful)
        for state, key, revision in zip(states, merged.attempt_keys, merged.revisions, strict=True):
            if state in mixed:
                winner = events[winners.pop((state, key))]
                if revision:
                    inserts[state] = None
                else:
                    _insert(inserts, state, winner)
        self._inserts = inserts
        revised = len(merged.revisions) - [*merged.revisions].count(0)
        self._counts[Outcome.REVISED] = revised
        self._counts[Outcome.APPLIED] = len(merged.revisions) - revised
        return sorted([*winners.values(), *losers])

    def _winners(self, orders: Iterable[int]) -> tuple[dict[tuple[int, int], int], list[int]]:
        """Per attempt of these events the ordinal of its last writer; and those of the others."""
        at, events = self._batch.at, self._batch.events
        winners: dict[tuple[int, int], int] = {}
        losers: list[int] = []
        for order in orders:
            delivered = events[order]
            attempt = (at[order], delivered.register.key)
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


def _insert(inserts: list[list[Placed] | None], state: int, delivered: Delivered) -> None:
    """Note an attempt to fold into its state; a void asks for a rebuild."""
    held = inserts[state]
    if held is None:
        return
    event = delivered.event
    if event.kind is not Kind.SCORED:
        inserts[state] = None
        return
    register = delivered.register
    held.append((register.occurred, register.key, ratio_micros(event.score, event.max_score)))
