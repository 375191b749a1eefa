"""The DeadLetters port over the ledger's twin."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from worker.adapters.memory.ledger import MemoryLedger
from worker.batch import Source
from worker.domain.errors import Reason
from worker.domain.position import Position
from worker.letters import Failure, Letter, Selection, Settled
from worker.ports import Clock, Vault

_Key = tuple[Source, Position, int]


@dataclasses.dataclass
class _Slip:
    """What the store knows of a letter beside its content."""

    number: int
    stored_at: datetime
    tries: int = 0
    claim: tuple[str, datetime] | None = None


class MemoryLetters:
    """Dead letters without a database; a letter is stored when it is first looked at.

    Args:
        ledger: the twin that buries them.
        vault: seals their payloads, as the real ledger does.
        now: the present, aware.
        life: how long a letter is kept.
    """

    def __init__(
        self, ledger: MemoryLedger, vault: Vault, now: Clock, life: timedelta = timedelta(days=30)
    ) -> None:
        self._ledger = ledger
        self._vault = vault
        self._now = now
        self._life = life
        self._slips: dict[_Key, _Slip] = {}
        self._last = 0

    def counts(self, selection: Selection) -> Mapping[Reason, int]:
        found = Counter(self._ledger.dead_letters[key].reason for key in self._chosen(selection))
        return dict(sorted(found.items()))

    def newest(self) -> int:
        return max((slip.number for slip in self._known().values()), default=0)

    def page(self, selection: Selection, after: int, count: int) -> Sequence[Letter]:
        return [self._letter(key) for key in self._chosen(selection, after)[:count]]

    def claim(
        self, selection: Selection, operator: str, after: int, count: int, seconds: float
    ) -> Sequence[Letter]:
        free = [
            key
            for key in self._chosen(selection, after)
            if not self._held(self._slips[key]) or self._held(self._slips[key], operator)
        ]
        until = self._now() + timedelta(seconds=seconds)
        for key in free[:count]:
            self._slips[key].claim = (operator, until)
        return [self._letter(key) for key in free[:count]]

    def renew(self, operator: str, seconds: float) -> None:
        for slip in self._known().values():
            if self._held(slip, operator):
                slip.claim = (operator, self._now() + timedelta(seconds=seconds))

    def refused(self, source: Source, numbers: Collection[int]) -> Mapping[int, Failure]:
        self._known()
        return {
            position.sequence: Failure(letter.reason, letter.field)
            for (of, position, _), letter in reversed(self._ledger.dead_letters.items())
            if of == source and position.sequence in numbers
        }

    def settle(
        self, operator: str, source: Source, recovered: Collection[int], failed: Mapping[int, Failure]
    ) -> Settled:
        asked = {*recovered, *failed}
        mine = {
            slip.number: key
            for key, slip in self._known().items()
            if slip.number in asked and self._held(slip, operator)
        }
        for key in [key for key in self._slips if key[0] == source and key[1].sequence in mine]:
            del self._ledger.dead_letters[key], self._slips[key]
        for number, key in mine.items():
            failure = failed.get(number)
            if failure is None:
                del self._ledger.dead_letters[key], self._slips[key]
                continue
            letter = self._ledger.dead_letters[key]
            self._ledger.dead_letters[key] = letter._replace(reason=failure.reason, field=failure.field)
            slip = self._slips[key]
            slip.tries, slip.claim = slip.tries + 1, None
        present = {slip.number for slip in self._slips.values()}
        return Settled(len({*recovered} - present), len(present & failed.keys()))

    def release(self, operator: str) -> None:
        for slip in self._known().values():
            if slip.claim is not None and slip.claim[0] == operator:
                slip.claim = None

    def tidy(self) -> int:
        free = {slip.number for slip in self._known().values() if not self._held(slip)}
        copies = [key for key in self._slips if _is_copy(key) and key[1].sequence in free]
        for key in copies:
            del self._ledger.dead_letters[key], self._slips[key]
        return len(copies)

    def close(self) -> None:
        pass

    def _known(self) -> Mapping[_Key, _Slip]:
        self._ledger.current()  # away while the ledger is
        for key in self._ledger.dead_letters:
            if key not in self._slips:
                self._last += 1
                self._slips[key] = _Slip(self._last, self._now())
        return self._slips

    def _held(self, slip: _Slip, operator: str | None = None) -> bool:
        if slip.claim is None or slip.claim[1] <= self._now():
            return False
        return operator in (None, slip.claim[0])

    def _chosen(self, selection: Selection, after: int = 0) -> list[_Key]:
        present = {slip.number for slip in self._known().values()}
        found = [
            (slip.number, key)
            for key, slip in self._slips.items()
            if slip.number > after
            and self._matches(selection, key, slip)
            and not (_is_copy(key) and key[1].sequence in present)
        ]
        return [key for _, key in sorted(found)]

    def _matches(self, selection: Selection, key: _Key, slip: _Slip) -> bool:
        reasons, first, last, shard, newest = selection
        reason = self._ledger.dead_letters[key].reason
        return (
            slip.stored_at + self._life > self._now()
            and (reasons is None or reason in reasons)
            and (first is None or slip.stored_at >= first)
            and (last is None or slip.stored_at < last)
            and (shard is None or key[0].endswith(f":{shard}"))
            and (newest is None or slip.number <= newest)
        )

    def _letter(self, key: _Key) -> Letter:
        slip, letter = self._slips[key], self._ledger.dead_letters[key]
        sealed = self._vault.seal(letter.payload)
        return Letter(slip.number, key[0], letter.reason, letter.field, sealed, slip.stored_at, slip.tries)


def _is_copy(key: _Key) -> bool:
    return key[0].startswith("redrive:")
