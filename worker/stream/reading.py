"""Reading scores: from Redis, else from the ledger, mending what was missing on the way.

A reader never waits for a writer. Where a writer's claim stands, it serves the ledger's answer and installs
nothing; where nothing stands, it claims, rebuilds and installs by comparing with its own claim.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worker.batch import StateKey
from worker.domain import window
from worker.domain.errors import ProjectionUnavailable
from worker.domain.window import HEADER_SIZE, UnknownFormat, Version, Window
from worker.ports import Ledger, LedgerState, Peeked, Projection, Write
from worker.stream.projecting import state_value


class Read(NamedTuple):
    """A state as served: its window, the ledger version it reflects, and whether Redis was away."""

    window: Window
    version: Version
    degraded: bool = False


class ScoreReader:
    """Reads states; the ledger must be the writer endpoint, because a reader may only serve, not install."""

    def __init__(self, ledger: Ledger, projection: Projection) -> None:
        self._ledger = ledger
        self._projection = projection

    def read(self, key: StateKey, at_least: Version | None = None) -> Read | None:
        """The scores of one student in one course; see `read_all`."""
        return self.read_all([key], {} if at_least is None else {key: at_least}).get(key)

    def read_all(
        self, keys: Sequence[StateKey], at_least: Mapping[StateKey, Version] | None = None
    ) -> Mapping[StateKey, Read]:
        """The states of these keys; those that the ledger has none of are left out.

        `at_least` holds versions that the caller has seen in the ledger: a state of another version is mended
        before it is served.

        Raises:
            LedgerUnavailable: a state is not in Redis, and PostgreSQL is away.
        """
        try:
            peeked = self._projection.peek(keys)
        except ProjectionUnavailable:
            states = self._ledger.read(keys)
            return {key: _of_ledger(state, degraded=True) for key, state in states.items()}
        seen = at_least or {}
        found: dict[StateKey, Read] = {}
        rest: dict[StateKey, bytes | None] = {}
        for key, look in zip(keys, peeked, strict=True):
            read = _of_redis(look, seen.get(key))
            if read is not None:
                found[key] = read
            else:
                rest[key] = look.claim if look.value is None else look.value[:HEADER_SIZE]
        return {**found, **self._mend(rest)} if rest else found

    def _mend(self, expected: Mapping[StateKey, bytes | None]) -> Mapping[StateKey, Read]:
        states = self._ledger.read(list(expected))
        writes = [
            Write(key, header, b"" if key not in states else state_value(states[key]))
            for key, header in expected.items()
            if header is not None
        ]
        degraded = bool(writes) and not self._install(writes)
        return {key: _of_ledger(state, degraded=degraded) for key, state in states.items()}

    def _install(self, writes: Sequence[Write]) -> bool:
        """False only when Redis is away: losing to a writer is as good as winning."""
        try:
            self._projection.install(writes)
        except ProjectionUnavailable:
            return False
        return True


def _of_redis(look: Peeked, at_least: Version | None) -> Read | None:
    if look.value is None:
        return None
    version = window.version_of(look.value)
    if at_least is not None and version != at_least:
        return None
    try:
        return Read(window.unpack(look.value[HEADER_SIZE:]), version)
    except UnknownFormat:
        return None


def _of_ledger(state: LedgerState, *, degraded: bool) -> Read:
    return Read(window.unpack(window.rebuild(state.attempts)), state.version, degraded)
