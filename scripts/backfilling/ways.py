"""The ways of a file's rows: straight into ledger and projection, or over the stream."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol

from scripts.backfilling.filling import Filled, Filler
from scripts.backfilling.lanes import Stopped
from scripts.backfilling.manifest import Entry, Manifest
from scripts.backfilling.rejects import Rejects
from scripts.backfilling.rows import Accepted, Rejected
from scripts.backfilling.sharing import Unread, fill_apart
from scripts.backfilling.windows import END
from scripts.frame.showing import Advance
from scripts.frame.stopping import Stopping
from worker.batch import Source
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.ports import Ledger, Producer
from worker.stream.pipeline import Policy, World
from worker.stream.waiting import Waiting

_LOOK_EVERY = 1_000
_SENT_TOGETHER = 4_000


class File(NamedTuple):
    """One file on its way: its sources, its rows as they are read, what is kept of it, who hears of each.

    `apart` is how others find its rows, where they shall take it straight.
    """

    sources: Sequence[Source]
    rows: Iterable[Accepted | Rejected]
    entry: Entry
    rejects: Rejects
    advance: Advance
    apart: Unread | None = None

    def note(self, filled: Filled) -> None:
        """Add rows to the accounts."""
        entry = self.entry
        entry.read += filled.accepted + len(filled.rejected)
        entry.accepted += filled.accepted
        entry.rejected += len(filled.rejected)
        for row in filled.rejected:
            self.rejects.add(row)

    def events(self, stopping: Stopping) -> Iterator[Accepted]:
        """The rows that are events; counts all of them in the entry.

        Raises:
            Stopped: somebody asked to stop.
        """
        entry, rejects = self.entry, self.rejects
        entry.read = entry.accepted = entry.rejected = 0
        for row in self.rows:
            entry.read += 1
            if entry.read % _LOOK_EVERY == 0 and stopping.asked:
                raise Stopped
            if isinstance(row, Rejected):
                entry.rejected += 1
                rejects.add(row)
            else:
                entry.accepted += 1
                yield row


class Way(Protocol):
    """Takes files all the way, one after the other."""

    def done(self, sources: Sequence[Source], entry: Entry) -> bool:
        """Whether nothing is left to do of a file."""

    def take(self, file: File) -> None:
        """All of a file, from where it was left; its entry says what became of it.

        Raises:
            Stopped: somebody asked to stop; taking it again goes on there.
        """


class Straight:
    """Into ledger and projection; the ledger knows how far.

    Args:
        filler: takes a short file.
        world: its ledger has the books of every file.
        policy: of the pipelines, for the processes that take a long file too.
        stopping: heard by whoever takes it.
    """

    def __init__(self, filler: Filler, world: World, policy: Policy, stopping: Stopping) -> None:
        self._filler = filler
        self._ledger = world.ledger
        self._waiting = Waiting(world, policy)
        self._policy = policy
        self._stopping = stopping

    def done(self, sources: Sequence[Source], entry: Entry) -> bool:
        if not entry.done:
            return False
        found = self._waiting.until_ledger(lambda: positions(self._ledger, sources))
        return all(at_end(position) for position in found)

    def take(self, file: File) -> None:
        entry = file.entry
        entry.read = entry.accepted = entry.rejected = 0
        moved = shown = 0
        with closing(self._filled(file)) as filled:
            for word in filled:
                file.note(word)
                moved += word.moved
                reached = (entry.read + entry.rejected + moved) // 2  # to read a row is half of the work
                file.advance(reached - shown)
                shown = reached
        if self._stopping.asked:
            raise Stopped
        progress = self._waiting.until_ledger(self._ledger.progress)
        found = sum((progress[source].accounting for source in file.sources), Accounting())
        entry.outcomes = {outcome.value: found[outcome] for outcome in Outcome}
        entry.done = True

    def _filled(self, file: File) -> Generator[Filled]:
        if file.apart is None:
            return self._filler.fill(file.sources, file.rows)
        return fill_apart(file.apart, file.sources, self._policy, self._stopping)


class OverStream:
    """As envelopes, at most so many events a second; the manifest knows how far.

    What was sent and not yet written down is sent again after a crash, and is a duplicate then.

    Args:
        producer: the way into the stream.
        per_second: the limit, None for none.
        manifest: where the last acknowledged line is kept.
        stopping: heard between sends.
        delays: how long to wait while the stream takes nothing.
    """

    def __init__(
        self,
        producer: Producer,
        per_second: int | None,
        manifest: Manifest,
        stopping: Stopping,
        delays: Iterator[float],
    ) -> None:
        self._producer = producer
        self._per_second = per_second
        self._manifest = manifest
        self._stopping = stopping
        self._delays = delays
        self._size = min(_SENT_TOGETHER, per_second or _SENT_TOGETHER)
        self._due = time.monotonic()

    def done(self, sources: Sequence[Source], entry: Entry) -> bool:  # noqa: ARG002 - the stream keeps no books
        return entry.done

    def take(self, file: File) -> None:
        begun, part, shown = file.entry.sent, [], 0
        for line, event in file.events(self._stopping):
            if line <= begun:
                continue
            part.append(event)
            if len(part) == self._size:
                self._send(part, line, file.entry)
                part = []
                file.advance(file.entry.read - shown)
                shown = file.entry.read
        if part:
            self._send(part, file.entry.lines, file.entry)
        file.advance(file.entry.read - shown)
        file.entry.done = True

    def _send(self, events: Sequence[ScoreEvent], line: int, entry: Entry) -> None:
        if self._stopping.wait(self._due - time.monotonic()):
            raise Stopped
        if self._per_second is not None:
            self._due = max(self._due, time.monotonic() - 1) + len(events) / self._per_second
        while True:
            try:
                self._producer.send(events)
            except StreamUnavailable:
                if self._stopping.wait(next(self._delays)):
                    raise Stopped from None
                continue
            entry.sent = line
            self._manifest.save()
            return


def at_end(position: Position | None) -> bool:
    """Whether a lane's progress says that nothing follows."""
    return position is not None and position >= END


def positions(ledger: Ledger, sources: Sequence[Source]) -> list[Position | None]:
    """How far each source is committed, None where the ledger has never heard of it."""
    progress = ledger.progress()
    return [None if source not in progress else progress[source].committed for source in sources]
