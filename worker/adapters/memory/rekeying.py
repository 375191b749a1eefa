"""The Rekeying port over the ledger's twin."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from worker.adapters.memory.ledger import MemoryLedger
from worker.upkeep import Filed, Rekeyed


class MemoryRekeying:
    """Rekeying without a database; away while its ledger is."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def count_students(self) -> int:
        self._ledger.current()
        return len(self._ledger.sealed)

    def students(self, after: UUID | None, page: int) -> Sequence[Filed]:
        self._ledger.current()
        keys = sorted(key for key in self._ledger.sealed if after is None or key > after)
        return [
            Filed(
                key,
                self._ledger.sealed[key],
                frozenset(alias for alias, canonical in self._ledger.aliases.items() if canonical == key),
            )
            for key in keys[:page]
        ]

    def add_aliases(self, aliases: Mapping[UUID, UUID]) -> int:
        self._ledger.current()
        taken = {alias for alias, canonical in aliases.items() if self._is_of(alias) not in (None, canonical)}
        for alias, canonical in aliases.items():
            if alias not in taken and alias != canonical:
                self._ledger.aliases[alias] = canonical
        return len(taken)

    def rekey(self, changes: Sequence[Rekeyed]) -> int:
        self._ledger.current()
        taken = 0
        for old, new, sealed_id in changes:
            if self._is_of(new) not in (None, old):
                taken += 1
            else:
                self._ledger.rename(old, new, sealed_id)
        return taken

    def former(self, keys: Collection[UUID]) -> frozenset[UUID]:
        return frozenset(self._ledger.aliases.keys() & set(keys))

    def close(self) -> None:
        pass

    def _is_of(self, key: UUID) -> UUID | None:
        return self._ledger.aliases.get(key, key if key in self._ledger.sealed else None)
