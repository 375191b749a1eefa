"""Reading one student's scores: from Redis, else from the ledger, mending what was missing on the way.

A reader never waits for a writer. Where a writer's claim stands, it serves the ledger's answer and installs
nothing; where nothing stands, it claims, rebuilds and installs by comparing with its own claim.
"""

from typing import NamedTuple

from worker.domain import window
from worker.domain.errors import ProjectionUnavailable
from worker.domain.window import HEADER_SIZE, UnknownFormat, Version, Window
from worker.ports import Ledger, Projection, StateKey, Write
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
        """The scores of one student in one course, None where the ledger has none.

        `at_least` is a version that the caller has seen in the ledger: a state of another version is mended
        before it is served.

        Raises:
            LedgerUnavailable: the state is not in Redis, and PostgreSQL is away.
        """
        try:
            peeked = self._projection.peek(key)
        except ProjectionUnavailable:
            return self._from_ledger(key, None, degraded=True)
        if peeked.value is None:
            return self._from_ledger(key, peeked.claim)
        version = window.version_of(peeked.value)
        if at_least is None or version == at_least:
            try:
                return Read(window.unpack(peeked.value[HEADER_SIZE:]), version)
            except UnknownFormat:
                pass
        return self._from_ledger(key, peeked.value[:HEADER_SIZE])

    def _from_ledger(self, key: StateKey, expected: bytes | None, *, degraded: bool = False) -> Read | None:
        state = self._ledger.read([key]).get(key)
        value = b"" if state is None else state_value(state)
        if expected is not None:
            degraded = not self._install(Write(key, expected, value))
        if state is None:
            return None
        return Read(window.unpack(value[HEADER_SIZE:]), state.version, degraded)

    def _install(self, write: Write) -> bool:
        """False only when Redis is away: losing to a writer is as good as winning."""
        try:
            self._projection.install(write)
        except ProjectionUnavailable:
            return False
        return True
