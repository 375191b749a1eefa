"""The files of a backfill, and the name under which the ledger knows each of them.

A file is known by its content, not by its path: moved, copied or given twice it is the same source. What else
decides which rows become which events, and where each of them goes, is part of the name as well: how its
columns are read, the realm, the key of the pseudonyms, the decoder's revision, the order of its rows.
Under another reading the same file is another source, and is read anew; the ledger finds its duplicates.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import UUID

from scripts.backfilling.windows import WINDOW
from scripts.frame.script import WrongArguments
from worker.domain.event import REVISION_OF_NORMALISER, length_prefixed
from worker.local.event_files import SUFFIXES, open_file

REJECTED = ".rejected.csv"
SHARES, LANES = 2, 2
"""A long file is taken by so many processes, each of which writes by so many lanes."""
_LONG = 10_000
_BLOCK_BYTES = 1 << 20


class Input(NamedTuple):
    """One file: where it is, the digest of its bytes, and how many lines it has once inflated."""

    path: Path
    sha256: str
    lines: int

    @property
    def long(self) -> bool:
        """Whether it is worth more than one lane, and processes of its own."""
        return self.lines > _LONG

    @property
    def lanes(self) -> int:
        """By how many lanes it is written."""
        return SHARES * LANES if self.long else 1


class Reading(NamedTuple):
    """What beside the bytes decides which events a file gives, and where they go: ledger or stream."""

    columns: str
    realm: str
    kid: str
    way: str = "ledger"

    def sources(self, found: Input) -> list[str]:
        """The source of each lane of a file."""
        how = (*self, str(REVISION_OF_NORMALISER), f"windows of {WINDOW}")
        digest = hashlib.blake2b(length_prefixed(*(part.encode() for part in how)), digest_size=6).hexdigest()
        return [f"file:{found.sha256}:{lane + 1}of{found.lanes}-{digest}" for lane in range(found.lanes)]


def lane_of(student_key: UUID, lanes: int) -> int:
    """Which lane a student belongs to: two lanes with one student would undo each other's folds."""
    return student_key.int % lanes


def find(given: Sequence[Path]) -> list[Path]:
    """The files of attempts among files and folders, a folder's by name.

    Raises:
        WrongArguments: something is not there, or is no file of attempts.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _is_input(file))
            if not inside:
                raise WrongArguments(f"{path} holds no file whose name ends in one of {', '.join(SUFFIXES)}")
            found += inside
        elif not path.is_file():
            raise WrongArguments(f"{path} is not there")
        elif not _is_input(path):
            raise WrongArguments(
                f"{path}: the name of a file of attempts ends in one of {', '.join(SUFFIXES)}"
            )
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _is_input(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(SUFFIXES) and not name.endswith(REJECTED)


def inspect(path: Path, advance: Callable[[int], None] = lambda _: None) -> Input:
    """Read a file once to its end, so that a damaged one is told before anything of it is committed.

    `advance` is told how many of its bytes were read, as it lies there and once more inflated.

    Raises:
        OSError: it cannot be read, or its compression is broken or ends too early.
    """
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        for block in _blocks(raw):
            digest.update(block)
            advance(len(block))
    lines, last = 0, b"\n"
    try:
        with open_file(path) as content:
            for block in _blocks(content):
                lines += block.count(b"\n")
                last = block[-1:]
                advance(len(block))
    except EOFError as error:
        raise OSError(f"{path} is cut short: {error}") from None
    return Input(path, digest.hexdigest(), lines + (last != b"\n"))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block
