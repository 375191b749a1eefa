"""The Registers port over the ledger's twin."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from worker.adapters.memory.ledger import MemoryLedger
from worker.domain.event import Kind, Register, ScoreEvent, micros, order_of, ratio_micros
from worker.domain.window import Attempt
from worker.ports import StateKey
from worker.registers import AttemptId, Known, Standing


class MemoryRegisters:
    """Registers without a database; away while its ledger is."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def known(self, students: Collection[UUID]) -> Mapping[UUID, Known]:
        present = {key.student_key for key in self._ledger.current()} | self._ledger.tombstones.keys()
        aliases = self._ledger.aliases
        found = {student: aliases.get(student, student) for student in students}
        return {
            student: Known(key, key in self._ledger.tombstones)
            for student, key in found.items()
            if key in present
        }

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


def _standing(event: ScoreEvent, register: Register) -> Standing:
    ratio = ratio_micros(event.score, event.max_score)
    attempt = Attempt(micros(event.occurred_at), register.key, ratio)
    scored = event.kind is Kind.SCORED
    return Standing(register.check, order_of(event, register), attempt if scored else None)
