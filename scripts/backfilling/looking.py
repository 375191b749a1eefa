"""The way of a dry run: every row is read and held against the ledger, and nothing is written anywhere."""

from collections.abc import Sequence
from functools import partial

from scripts.backfilling.manifest import Entry
from scripts.backfilling.ways import File, at_end, positions
from scripts.frame.patience import patiently
from scripts.frame.script import Run
from scripts.jobs.differing import tell
from worker import wiring
from worker.batch import Delivered, Source
from worker.domain.event import register_of
from worker.domain.position import Position
from worker.ports import Ledger
from worker.stream.difference import Difference

_TOGETHER = 1_000


class Looking:
    """Takes files nowhere.

    Args:
        run: asked whether to stop, and told what is waited for.
        ledger: says what is done already; None where only the manifest knows.
        difference: what the rows are held against; None where the ledger is out of reach.
    """

    def __init__(self, run: Run, ledger: Ledger | None, difference: Difference | None) -> None:
        self._run = run
        self._ledger = ledger
        self._difference = difference

    def done(self, sources: Sequence[Source], entry: Entry) -> bool:
        """Whether nothing would be done for a file."""
        ledger = self._ledger
        if ledger is None or not entry.done:
            return entry.done
        found = patiently(self._run, lambda: positions(ledger, sources))
        return all(at_end(position) for position in found)

    def take(self, file: File) -> None:
        """Read all of a file.

        Raises:
            Stopped: somebody asked to stop.
        """
        shown, part = 0, list[Delivered]()
        for line, event in file.events(self._run.stopping):
            part.append(Delivered(event, register_of(event), Position(line), 0))
            if len(part) == _TOGETHER:
                self._compare(part)
                part = []
                file.advance(file.entry.read - shown)
                shown = file.entry.read
        self._compare(part)
        file.advance(file.entry.read - shown)

    def conclude(self) -> None:
        """Report what all files together would change."""
        run, difference = self._run, self._difference
        if difference is None or run.stopping.asked:
            return
        with run.show.progress("states compared", difference.states) as advance:
            tell(run, patiently(run, lambda: difference.conclude(wiring.now(), advance=advance)))

    def _compare(self, part: Sequence[Delivered]) -> None:
        if self._difference is not None and part:
            patiently(self._run, partial(self._difference.take, part))
