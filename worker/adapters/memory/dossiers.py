"""The Dossiers port over the ledger's twin."""

from collections.abc import Sequence
from uuid import UUID

from worker.adapters.memory.ledger import MemoryLedger
from worker.domain.event import Kind
from worker.upkeep import Entry


class MemoryDossiers:
    """Dossiers without a database; away while its ledger is."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def dossier(self, key: UUID) -> Sequence[Entry]:
        found = [
            Entry(
                state.course_id,
                version,
                at,
                event.item_id,
                event.score,
                event.max_score,
                event.occurred_at,
                event.graded_at,
                event.kind is Kind.VOIDED,
                event.source,
                revision,
            )
            for state, version in self._ledger.current().items()
            if state.student_key == key
            for at, (event, revision) in self._ledger.rows(state).items()
        ]
        return sorted(found, key=lambda entry: (entry.course_id, entry.occurred_at, entry.key))

    def close(self) -> None:
        pass
