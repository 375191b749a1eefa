"""Rows into ledger and projection by lanes of this process, told as far as it is."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from scripts.backfilling.dealing import Dealt, Terms, deal
from scripts.backfilling.lanes import Lane, Stopped
from scripts.backfilling.rows import Accepted, Rejected
from scripts.backfilling.windows import NOTHING_FOLLOWS, WINDOW
from scripts.frame.stopping import Stopping
from worker.batch import Source
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Policy, World


class Filled(msgspec.Struct, array_like=True):
    """How much further it is.

    Attributes:
        line: every row that begins up to this line of the file has been told.
        rejected: more rows that are no events.
        accepted: how many more are.
        moved: how many more of these are in ledger and projection.
    """

    line: int
    rejected: Sequence[Rejected]
    accepted: int
    moved: int


class Filler:
    """Lanes, each with ports of its own.

    Args:
        worlds: the ports of each lane.
        decoder: see `Lane`.
        policy: of the pipelines; its limit of events is the size of a transaction.
        stopping: heard by the lanes.
        window: lines whose rows are put into order together.
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
        self._decoder = decoder
        self._policy = policy
        self._stopping = stopping
        self._window = window

    def fill(self, sources: Sequence[Source], rows: Iterable[Accepted | Rejected]) -> Generator[Filled]:
        """Every row to the lane of its student, from where each lane was left.

        Raises:
            Stopped: somebody asked to stop; taking the rows again goes on there.
        """
        line = moved = 0
        with self._lanes(sources) as lanes:
            terms = Terms([lane.begun for lane in lanes], self._policy.limits.events, self._window)
            for word in deal(rows, terms):
                if self._stopping.asked:
                    raise Stopped
                before, moved = moved, sum(lane.done for lane in lanes)
                if isinstance(word, Dealt):
                    lanes[word.lane].put(word.piece)
                    yield Filled(line, (), 0, moved - before)
                else:
                    line = word.line
                    yield Filled(line, word.rejected, word.accepted, word.passed + moved - before)
            for lane in lanes:
                lane.put(NOTHING_FOLLOWS)
                lane.put(None)
            for lane in lanes:
                lane.join()
            yield Filled(line, (), 0, sum(lane.done for lane in lanes) - moved)

    @contextmanager
    def _lanes(self, sources: Sequence[Source]) -> Iterator[list[Lane]]:
        lanes: list[Lane] = []
        try:
            for source, world in zip(sources, self._worlds, strict=False):
                lanes.append(Lane(source, world, self._decoder, self._policy, self._stopping))
            yield lanes
        except BaseException:
            for lane in lanes:
                lane.abandon()
            for lane in lanes:
                lane.wait()
            raise
