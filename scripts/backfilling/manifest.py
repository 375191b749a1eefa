"""The manifest: what a backfill has done with each file, for its owner and for the next run.

What is committed only the ledger knows; a manifest that is lost or old costs time and nothing else.
"""

from datetime import datetime
from pathlib import Path

import msgspec

from scripts.frame.script import WrongArguments


class Entry(msgspec.Struct):
    """One file under one reading.

    Attributes:
        path: where it was found last.
        arrived_at: when it was first seen: rows dated later are refused, in every run the same.
        sent: the last line that the stream has acknowledged, where it goes over the stream.
        outcomes: what became of the accepted rows, where the ledger has told.
    """

    path: str
    arrived_at: datetime
    lines: int
    read: int = 0
    accepted: int = 0
    rejected: int = 0
    sent: int = 0
    done: bool = False
    outcomes: dict[str, int] = {}


_decoder = msgspec.json.Decoder(dict[str, Entry])


class Manifest:
    """All entries, by the source of a file's first lane; every change is on disk at once.

    Args:
        path: the JSON file; it need not be there yet.
        keeps: False writes nothing.

    Raises:
        WrongArguments: the file is no manifest.
    """

    def __init__(self, path: Path, *, keeps: bool = True) -> None:
        self._path = path
        self._keeps = keeps
        self._entries: dict[str, Entry] = {}
        if path.exists():
            try:
                self._entries = _decoder.decode(path.read_bytes())
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise WrongArguments(
                    f"{path} is no manifest of a backfill; name another with --manifest"
                ) from None

    def entry(self, source: str, path: Path, arrived_at: datetime, lines: int) -> Entry:
        """The file's entry, a new one where it is seen for the first time."""
        entry = self._entries.setdefault(source, Entry(str(path), arrived_at, lines))
        entry.path = str(path)
        return entry

    def save(self) -> None:
        """Put it on disk, whole or not at all.

        Raises:
            OSError: it cannot be written there.
        """
        if not self._keeps:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f"{self._path.name}.partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(self._entries), indent=2))
        partial.replace(self._path)
