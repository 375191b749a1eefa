"""The ports of a new epoch in a few values."""

from collections.abc import Callable, Mapping
from datetime import datetime

from worker.adapters.memory.ledger import MemoryLedger
from worker.batch import Source
from worker.domain.errors import Fatal
from worker.domain.position import Position


class MemoryEpochs:
    """Epochs without a database; away while its ledger is, and always alone."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.epoch = 1
        self.begun: dict[datetime, int] = {}
        self._ledger = ledger

    def others(self) -> int:
        self._ledger.current()
        return 0

    def present(self) -> int:
        self._ledger.current()
        return self.epoch

    def raised_for(self, restored_to: datetime) -> int | None:
        self._ledger.current()
        return self.begun.get(restored_to)

    def begin(self, epoch: int, restored_to: datetime, by: str) -> None:  # noqa: ARG002
        self._ledger.current()
        if epoch <= self.epoch or restored_to in self.begun:
            msg = "not new"
            raise Fatal(msg)
        self.epoch = self.begun[restored_to] = epoch

    def behind(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        progress = self._ledger.progress()
        return {
            source: progress[source].committed
            for source, position in checkpoints.items()
            if source in progress and progress[source].committed < position
        }

    def accept(self, checkpoints: Mapping[Source, Position]) -> Mapping[Source, Position]:
        return self._ledger.accept(checkpoints)

    def close(self) -> None:
        pass


class MemoryPastEpochs:
    """PastEpochs over a count of keys by epoch."""

    def __init__(self) -> None:
        self.keys: dict[int, int] = {}

    def count(self, advance: Callable[[int], None]) -> Mapping[int, int]:
        advance(sum(self.keys.values()))
        return dict(self.keys)

    def drop_all_but(self, epoch: int, advance: Callable[[int], None]) -> int:
        advance(sum(self.keys.values()))
        dropped = sum(count for one, count in self.keys.items() if one != epoch)
        self.keys = {one: count for one, count in self.keys.items() if one == epoch}
        return dropped

    def close(self) -> None:
        pass
