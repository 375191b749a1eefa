"""What one ledger transaction did: an outcome for every event, a version for every touched state."""

from collections.abc import Sequence
from typing import Any

from worker.domain import envelope
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Reason
from worker.domain.event import Kind, micros, order_of, ratio_micros
from worker.domain.position import Position
from worker.domain.window import Attempt, Version
from worker.ports import Batch, DeadLetter, Touched

Place = tuple[int, int]
"""The references of a state: course, student."""


class Outcomes:
    """Reads the answers of one transaction into outcomes per event and touched states.

    `places` are those of the batch's states; references are valid within one call.
    """

    def __init__(
        self, batch: Batch, places: Sequence[Place], merged: Sequence[Any], progress: Position
    ) -> None:
        self._batch = batch
        self._places = places
        self._numbers = {place: number for number, place in enumerate(places)}
        self._progress = progress
        self._versions: dict[int, Version] = {}
        self._counts = dict.fromkeys(Outcome, 0)
        self._counts[Outcome.DEAD_LETTERED] = len(batch.dead_letters)
        self._inserts: dict[int, list[Attempt] | None] = {}
        self.dead_letters: list[DeadLetter] = []
        self.erased: list[int] = []
        """The ordinals of events that a tombstone has refused."""
        self.unchanged: list[int] = self._read_merged(merged)
        self._bumped = frozenset(self._versions)

    def _read_merged(self, merged: Sequence[Any]) -> list[int]:
        """Count the winners; returns the ordinals of the events that changed nothing."""
        winners = self._winners()
        numbers, events, versions, inserts = self._numbers, self._batch.events, self._versions, self._inserts
        revised = 0
        for course_ref, student_ref, attempt_key, revision, birth, version in merged:
            state = numbers[course_ref, student_ref]
            event = events[winners.pop((state, attempt_key))].event
            if state not in versions:
                versions[state] = Version(birth, version)
                inserts[state] = []
            if revision or event.kind is not Kind.SCORED:
                revised += bool(revision)
                inserts[state] = None
                continue
            held = inserts[state]
            if held is not None:
                ratio = ratio_micros(event.score, event.max_score)
                held.append(Attempt(micros(event.occurred_at), attempt_key, ratio))
        self._counts[Outcome.REVISED] = revised
        self._counts[Outcome.APPLIED] = len(merged) - revised
        return sorted({*winners.values(), *self._losers})

    def _winners(self) -> dict[tuple[int, int], int]:
        """Per attempt of the batch the ordinal of its last writer; the others become `_losers`."""
        winners: dict[tuple[int, int], int] = {}
        self._losers: list[int] = []
        for order, (state, delivered) in enumerate(zip(self._batch.at, self._batch.events, strict=True)):
            attempt = (state, delivered.register.key)
            best = winners.setdefault(attempt, order)
            if best != order:
                mine, theirs = order_of(*delivered[:2]), order_of(*self._batch.events[best][:2])
                winners[attempt], loser = (order, best) if mine > theirs else (best, order)
                self._losers.append(loser)
        return winners

    @property
    def unbumped_refs(self) -> list[Place]:
        return sorted(place for number, place in enumerate(self._places) if number not in self._bumped)

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

    def found(self, rows: Sequence[Any]) -> None:
        for course_ref, student_ref, birth, version in rows:
            self._versions[self._numbers[course_ref, student_ref]] = Version(birth, version)

    @property
    def accounting(self) -> Accounting:
        return Accounting(self._batch.read, self._counts)

    def touched(self) -> list[Touched]:
        found = []
        for state, key in enumerate(self._batch.keys):
            bumped = state in self._bumped
            inserts = self._inserts.get(state) if bumped else None
            found.append(Touched(key, self._versions.get(state), bumped, inserts))
        return found
