"""The list of the rows of one file that are no events: line, reason, field, and none of their values."""

import csv
from collections import Counter
from pathlib import Path
from typing import TextIO

from scripts.backfilling.inputs import REJECTED
from scripts.backfilling.rows import Rejected


class Rejects:
    """Written while the file is read, from its beginning in every run, so that it is always of one reading.

    Args:
        path: of the file that is read.
        folder: where the list goes; None: beside the file.
        keeps: False only counts.
    """

    def __init__(self, path: Path, folder: Path | None, *, keeps: bool = True) -> None:
        self.path = (folder or path.parent) / f"{path.name}{REJECTED}"
        self.reasons: Counter[str] = Counter()
        self._keeps = keeps
        self._file: TextIO | None = None
        if keeps:
            self.path.unlink(missing_ok=True)

    def add(self, rejected: Rejected) -> None:
        """One more; the file comes into being with the first.

        Raises:
            OSError: it cannot be written there.
        """
        self.reasons[
            rejected.reason if rejected.field is None else f"{rejected.reason}: {rejected.field}"
        ] += 1
        if not self._keeps:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", newline="")
            csv.writer(self._file).writerow(Rejected._fields)
        csv.writer(self._file).writerow(rejected)

    def close(self) -> None:
        """Everything added is on disk then."""
        if self._file is not None:
            self._file.close()
