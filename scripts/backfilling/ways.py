"""The ways of a file's rows: straight into ledger and projection, or over the stream."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple, Protocol

from scripts.backfilling.dealing import Dealing, Dealt, Looked, Terms, Word, deal
from scripts.backfilling.lanes import Lane, Stopped
from scripts.backfilling.manifest import Entry, Manifest
from scripts.backfilling.rejects import Rejects
from scripts.backfilling.rows import Accepted, Rejected
from scripts.backfilling.windows import END, NOTHING_FOLLOWS, WINDOW, Piece, length
from scripts.frame.showing import Advance
from scripts.frame.stopping import Stopping
from worker.batch import Source
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent
from worker.domain.position import Position
from worker.ports import Ledger, Producer
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Policy, World

_LOOK_EVERY = 1_000
_SENT_TOGETHER = 4_000


class File(NamedTuple):
    """One file on its way: its sources, its rows as they are read, what is kept of it, who hears of each.

    `dealing` is how its rows are dealt to lanes where that is not done here.
    """

    sources: Sequence[Source]
    rows: Iterable[Accepted | Rejected]
    entry: Entry
    rejects: Rejects
    advance: Advance
    dealing: Dealing | None = None

    def dealt(self, terms: Terms) -> Generator[Word]:
        """The transactions of its rows, and what was read for them."""
        yield from deal(self.rows, terms) if self.dealing is None else self.dealing(terms)

    def note(self, looked: Looked) -> None:
        """Add rows to the accounts."""
        entry = self.entry
        entry.read += looked.accepted + len(looked.rejected)
        entry.accepted += looked.accepted
        entry.rejected += len(looked.rejected)
        for row in looked.rejected:
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
    """Into ledger and projection, in lanes; the ledger knows how far.

    Args:
        worlds: the ports of each lane.
        decoder: see `Lane`.
        policy: of the pipelines; its limit of events is the size of a transaction.
        stopping: heard by the lanes.
        window: lines that are put into order together at the most.
    """

    def __init__(
        self,
        worlds: Sequence[World],
        decoder: Decoder,
        policy: Policy,
        stopping: Stopping,
        window: int = WINDOW,
    ) -> None:
        self._worlds = worlds
        self._window = window
        self._decoder = decoder
        self._policy = policy
        self._stopping = stopping

    def done(self, sources: Sequence[Source], entry: Entry) -> bool:
        return entry.done and all(at_end(found) for found in positions(self._worlds[0].ledger, sources))

    def take(self, file: File) -> None:
        with self._lanes(file.sources) as lanes:
            self._deal(file, lanes)
            for lane in lanes:
                lane.put(NOTHING_FOLLOWS)
                lane.put(None)
            for lane in lanes:
                lane.join()
        if self._stopping.asked:
            raise Stopped
        progress = self._worlds[0].ledger.progress()
        found = sum((progress[source].accounting for source in file.sources), Accounting())
        file.entry.outcomes = {outcome.value: found[outcome] for outcome in Outcome}
        file.entry.done = True

    def _deal(self, file: File, lanes: Sequence[Lane]) -> None:
        """Every row to its lane that the lane has not done yet."""
        entry = file.entry
        entry.read = entry.accepted = entry.rejected = 0
        shown = passed = 0
        window = length(entry.lines, self._window)
        terms = Terms([lane.begun for lane in lanes], self._policy.limits.events, window)
        with closing(file.dealt(terms)) as dealt:
            for word in dealt:
                if isinstance(word, Looked):
                    passed += word.passed
                    file.note(word)
                elif isinstance(word, Dealt):
                    lanes[word.lane].put(Piece(word.high, word.packed))
                written = passed + entry.rejected + sum(lane.done for lane in lanes)
                reached = (entry.read + written) // 2  # to read a row is half of the work
                file.advance(reached - shown)
                shown = reached
        if self._stopping.asked:
            raise Stopped
        file.advance(entry.read - shown)

    @contextmanager
    def _lanes(self, sources: Sequence[Source]) -> Iterator[list[Lane]]:
        lanes: list[Lane] = []
        try:
            for source, world in zip(sources, self._worlds, strict=False):
                ahead = self._window // self._policy.limits.events // len(sources) + 1
                lanes.append(Lane(source, world, self._decoder, self._policy, self._stopping, ahead=ahead))
            yield lanes
        except BaseException:
            for lane in lanes:
                lane.abandon()
            for lane in lanes:
                lane.wait()
            raise


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
