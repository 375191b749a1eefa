"""The files of an export: for their owner's eyes alone, and never over something that stands there.

The record gets its name last, so that it says: all of this export is there. A run that was killed before that
may have named the table already; what tells its table from somebody else's file is the record that lies
finished and without its name beside it.
"""

import os
from pathlib import Path

from scripts.frame.script import WrongArguments


class OwnersFiles:
    """A record and, where it is wanted, a table; None where nothing is to be written.

    Raises:
        WrongArguments: something of somebody else's stands there already.
    """

    def __init__(self, record: Path | None, table: Path | None) -> None:
        if record is not None and record == table:
            msg = f"--out and --csv are two files, {record} is one"
            raise WrongArguments(msg)
        self._record = record
        self._table = table
        self._left = (
            record is not None and table is not None and _part(record).exists() and not _part(table).exists()
        )
        for path in (record, None if self._left else table):
            if path is not None and path.exists():
                msg = f"{path} exists; name another file or remove it"
                raise WrongArguments(msg)

    def write(self, record: bytes, table: bytes) -> None:
        """Write all of both, then give them their names."""
        if self._left and self._table is not None:
            self._table.unlink(missing_ok=True)
        files = [(self._table, table), (self._record, record)]
        for path, content in files:
            if path is not None:
                _write(_part(path), content)
        for path, _ in files:
            if path is not None:
                _part(path).replace(path)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _write(part: Path, content: bytes) -> None:
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
