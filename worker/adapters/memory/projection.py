"""The Projection port in two dictionaries; its methods are atomic as the scripts are."""

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from worker.batch import DELETIONS, Resident, Source, StateKey, residence
from worker.domain.errors import ChainBroken, ProjectionUnavailable
from worker.domain.position import Position
from worker.domain.window import HEADER_SIZE, Version, header
from worker.ports import Loaded, Peeked, Write


class MemoryProjection:
    """Projection without Redis; `away` makes every call raise, `snapshot`/`restore` are a stale replica."""

    def __init__(self) -> None:
        self.away = False
        self.values: dict[StateKey, bytes] = {}
        self.marks: dict[Source, Position] = {}
        self.waters: dict[Source, datetime] = {}
        self.chain: bytes | None = None
        self._tokens = itertools.count()
        self._lock = threading.RLock()

    def load_or_claim(self, source: Source, keys: Sequence[StateKey]) -> Loaded:
        self._reach()
        with self._lock:
            claim = self._claim()
            values: list[bytes | None] = []
            for key in keys:
                value = self._state(key)
                values.append(value)
                if value is None:
                    self.values[key] = claim
            return Loaded(values, claim, self.marks.get(source))

    def write(self, source: Source, seen: Position | None, reach: Position, writes: Sequence[Write]) -> bool:
        self._reach()
        with self._lock:
            held = [self._apply(write, absence_deletes=True) for write in writes]
            if not all(held) or self.marks.get(source) != seen:
                return False
            self.marks[source] = reach if seen is None else max(seen, reach)
            return True

    def peek(self, keys: Sequence[StateKey]) -> Sequence[Peeked]:
        self._reach()
        return [self._peek(key) for key in keys]

    def _peek(self, key: StateKey) -> Peeked:
        with self._lock:
            if key in self.values:
                return Peeked(self._state(key), None)
            claim = self.values[key] = self._claim()
            return Peeked(None, claim)

    def install(self, writes: Sequence[Write]) -> Sequence[bool]:
        self._reach()
        with self._lock:
            return [self._apply(write, absence_deletes=False) for write in writes]

    def watermarks(self) -> Mapping[Source, datetime]:
        self._reach()
        return dict(self.waters)

    def set_watermark(self, source: Source, moment: datetime | None) -> None:
        self._reach()
        self.waters.pop(source, None)
        if moment is not None:
            self.waters[source] = moment

    def residents(self, page: int) -> Iterator[Sequence[Resident]]:
        standing = [residence(key) for key in self.values]
        for start in range(0, len(standing), page):
            self._reach()
            yield standing[start : start + page]

    def drop(self, residents: Sequence[Resident]) -> int:
        self._reach()
        with self._lock:
            named = [key for key in self.values if residence(key) in set(residents)]
            for key in named:
                del self.values[key]
        return len(named)

    def states(self, keys: Sequence[StateKey]) -> list[bytes | None]:
        self._reach()
        return [self._state(key) for key in keys]

    def markers(self, sources: Sequence[Source]) -> Mapping[Source, Position]:
        self._reach()
        return {source: self.marks[source] for source in sources if source in self.marks}

    def forget_marker(self, source: Source, last: Position) -> bool:
        self._reach()
        with self._lock:
            if self.marks.get(source) != last:
                return False
            del self.marks[source]
            return True

    def unlink(self, number: int, keys: Sequence[StateKey]) -> bool:
        self._reach()
        with self._lock:
            for key in keys:
                self.values.pop(key, None)
            before = None if number == 1 else Position(number - 1)
            if self.marks.get(DELETIONS) != before:
                return False
            self.marks[DELETIONS] = Position(number)
            return True

    def begin_sweep(self) -> bytes:
        self._reach()
        self.chain = self._token()
        return self.chain

    def drop_stale(
        self, chain: bytes, current: Sequence[tuple[StateKey, Version | None]]
    ) -> tuple[bytes, int]:
        self._reach()
        with self._lock:
            if self.chain != chain:
                raise ChainBroken
            dropped = 0
            for key, version in current:
                value = self.values.get(key)
                if value is not None and (version is None or value[:HEADER_SIZE] != header(version)):
                    del self.values[key]
                    dropped += 1
            self.chain = self._token()
            return self.chain, dropped

    def end_sweep(self, chain: bytes, floors: Mapping[Source, Position]) -> None:
        self._reach()
        with self._lock:
            if self.chain != chain:
                raise ChainBroken
            for source, floor in floors.items():
                self.marks[source] = max(floor, self.marks.get(source, floor))
            self.chain = None

    def close(self) -> None:
        pass

    def snapshot(self) -> tuple[dict[StateKey, bytes], dict[Source, Position], bytes | None]:
        """What a replica holds now."""
        return dict(self.values), dict(self.marks), self.chain

    def restore(self, replica: tuple[dict[StateKey, bytes], dict[Source, Position], bytes | None]) -> None:
        """Fail over to that replica: every later write is lost."""
        values, marks, self.chain = replica
        self.values, self.marks = dict(values), dict(marks)

    def _apply(self, write: Write, *, absence_deletes: bool) -> bool:
        current = self.values.get(write.key, b"")[:HEADER_SIZE]
        if write.value == b"" and not current and absence_deletes:
            return True
        if current != write.expected:
            return False
        if write.value:
            self.values[write.key] = write.value
        elif write.value == b"":
            del self.values[write.key]
        return True

    def _state(self, key: StateKey) -> bytes | None:
        value = self.values.get(key)
        return value if value is not None and value.startswith(b"S") else None

    def _claim(self) -> bytes:
        return b"T" + next(self._tokens).to_bytes(HEADER_SIZE - 1, "big")

    def _token(self) -> bytes:
        return str(next(self._tokens)).encode()

    def _reach(self) -> None:
        if self.away:
            raise ProjectionUnavailable
