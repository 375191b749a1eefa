"""The Registers port over the ledger's twin."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from worker.adapters.memory.ledger import MemoryLedger
from worker.batch import StateKey
from worker.domain.event import Kind, Register, ScoreEvent, micros, order_of, ratio_micros
from worker.domain.window import Attempt
from worker.registers import AttemptId, Known, Standing


class MemoryRegisters:
    """Registers without a database; away while its ledger is."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def known(self, students: Collection[UUID]) -> Mapping[UUID, Known]:
        ledger = self._ledger
        present = (
            {key.student_key for key in ledger.current()} | ledger.tombstones.keys() | ledger.lifted.keys()
        )
        found = {student: ledger.aliases.get(student, student) for student in students}
        return {
            student: Known(key, key in ledger.tombstones, self._refused_until(key))
            for student, key in found.items()
            if key in present
        }

    def horizons(self, courses: Collection[str]) -> Mapping[str, datetime]:
        self._ledger.current()
        horizons = self._ledger.horizons
        known = {course: {horizons.get(None), horizons.get(course)} - {None} for course in courses}
        return {course: max(filter(None, found)) for course, found in known.items() if found}

    def writers(self, attempts: Collection[AttemptId]) -> Mapping[AttemptId, Standing]:
        rows = {attempt: self._ledger.registers(attempt.state).get(attempt.key) for attempt in attempts}
        return {attempt: _standing(*row) for attempt, row in rows.items() if row is not None}

    def standing(self, states: Sequence[StateKey]) -> Mapping[StateKey, Mapping[int, Standing]]:
        rows = {state: self._ledger.registers(state) for state in states}
        return {
            state: {key: _standing(*row) for key, row in held.items()} for state, held in rows.items() if held
        }

    def close(self) -> None:
        pass

    def _refused_until(self, key: UUID) -> datetime | None:
        return None if key in self._ledger.tombstones else self._ledger.refused_until.get(key)


def _standing(event: ScoreEvent, register: Register) -> Standing:
    ratio = ratio_micros(event.score, event.max_score)
    attempt = Attempt(micros(event.occurred_at), register.key, ratio)
    scored = event.kind is Kind.SCORED
    return Standing(register.check, order_of(event, register), attempt if scored else None)
