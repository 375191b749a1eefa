"""Files of attempts, as people have them: CSV or newline-delimited JSON, plain, gzip or zstd.

Trying the product on one's own scores must not need a program first. A file is read one row at a time, so
its size does not matter, and every row comes out: one that cannot be understood is yielded as the bytes it
was, to be sent and dead-lettered like any other bad record, because a row dropped here is a row no count
would ever show.
"""

import csv
import gzip
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from zlib import crc32

import orjson
import zstandard

from worker.local.columns import ColumnsError, ToEvent, ToStudent, event_mapper, student_mapper

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
"""How the name of a file of attempts ends."""
_SAMPLE = 1_000  # lines whose keys together count as the columns of a file without a header
_TOGETHER = 1_000  # lines that are read together
_STEP = 4_096  # so few bytes of a zstd file inflate to 128 MB at the most
_BOM = b"\xef\xbb\xbf"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is not UTF-8


class Share(NamedTuple):
    """The rows of some students, for whoever shares a file with others.

    Attributes:
        number: of this share, from 0; to the first belongs what is nobody's, too.
        of: how many there are.
    """

    number: int
    of: int

    def has(self, student: object) -> bool:
        """Whether it is the share of a student, by the id as it stands in the file."""
        return crc32(str(student).encode(errors="replace")) % self.of == self.number


WHOLE = Share(0, 1)
"""Every row."""


class FileEvent(NamedTuple):
    """One row of a file.

    Attributes:
        line: its first line in the file, from 1 (a header is line 1).
        event: the native event; or the row as it stands in the file, without its line end, where it is not
            UTF-8, not a JSON object, not CSV, or has another number of cells than the header.
    """

    line: int
    event: dict[str, object] | bytes


def read_events(path: Path, columns: str = "", share: Share = WHOLE) -> Iterator[FileEvent]:
    """Read a file of attempts, lazily and in its order; blank lines are no rows.

    Args:
        path: a file whose name ends in one of `SUFFIXES`.
        columns: where the fields come from (see `worker.local.columns`).
        share: whose rows are wanted; the others are passed over.

    Raises:
        ColumnsError: at once, before a row is read; the columns do not give an event.
        ValueError: at once; the name has none of the endings.
        OSError: the file is missing, or (while reading) its compression is broken.
        EOFError: while reading; the compressed file ends too early.
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise ValueError(f"{path.name}: the name of a file of attempts ends in one of {', '.join(SUFFIXES)}")
    if name.endswith(SUFFIXES[:3]):
        header = _csv_header(path)
        to_event = event_mapper(columns, header, typed=False)
        return _csv_events(path, to_event, share, student_mapper(columns, header, typed=False))
    keys = _ndjson_keys(path)
    to_event = event_mapper(columns, keys, typed=True)
    return _ndjson_events(path, to_event, share, student_mapper(columns, keys, typed=True))


def open_file(path: Path) -> BinaryIO:
    """The content of a file, inflated where its name says that it is compressed.

    Raises:
        OSError: the file is missing, or (while reading) its compression is broken.
        EOFError: while reading; the compressed file ends too early.
    """
    name = path.name.lower()
    if name.endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    if name.endswith(".zst"):
        return cast("BinaryIO", BufferedReader(_Zstd(path.open("rb")), 1 << 17))
    return path.open("rb")


class _Zstd(RawIOBase):
    """The frames of a zstd file; zstandard's own reader takes a file that was cut short for its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            if self._frame is not None and self._frame.eof:
                rest, self._frame = self._frame.unused_data, None
            else:
                rest = b""
            packed = rest or self._file.read(_STEP)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the compressed file ended before the end of its last frame")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                self._held = self._frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise OSError(f"not a zstd file, or damaged ({error})") from None
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _csv_header(path: Path) -> list[str]:
    with open_file(path) as file, TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        try:
            header = next(csv.reader(text, strict=True), None)
        except csv.Error as error:
            raise ColumnsError([f"the first line is not a header: {error}"], []) from error
    if not header:
        raise ColumnsError(["the first line is not a header"], [])
    return header


def _csv_events(path: Path, to_event: ToEvent, share: Share, student_of: ToStudent) -> Iterator[FileEvent]:
    with open_file(path) as file, TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        width, before, whole = len(next(reader)), reader.line_num, share == WHOLE
        while lines := [*islice(text, _TOGETHER)]:
            for line, cells, raw in _rows(before, lines, text):
                if cells is not None and len(cells) == width:
                    if whole or share.has(student_of(cells)):
                        yield FileEvent(line, to_event(cells))
                elif cells != [] and not share.number:
                    yield FileEvent(line, raw.rstrip("\r\n").encode("utf-8", "surrogateescape"))
            before += len(lines)


def _rows(before: int, lines: list[str], more: Iterator[str]) -> Iterable[tuple[int, list[str] | None, str]]:
    """The rows that begin in some lines: number of the first line, cells, the row as it stands.

    There are no cells of what is no CSV or not UTF-8. What the last row takes of `more` is added to `lines`.
    """
    text = "".join(lines)
    if '"' not in text and (text.isascii() or not _NOT_UTF8.search(text)):  # a line is a row
        with suppress(csv.Error):  # then the other way finds out which row it is
            cells = [*csv.reader(lines, strict=True)]
            return zip(range(before + 1, before + len(lines) + 1), cells, lines, strict=True)
    return _rows_with_quotes(before, lines, more)


def _rows_with_quotes(
    before: int, lines: list[str], more: Iterator[str]
) -> Iterator[tuple[int, list[str] | None, str]]:
    def remembered() -> Iterator[str]:
        yield from lines[:begin_here]
        for line in more:
            lines.append(line)
            yield line

    begin_here = len(lines)
    reader = csv.reader(remembered(), strict=True)
    while (at := reader.line_num) < begin_here:
        try:
            cells = next(reader)
        except csv.Error:  # the reader starts afresh with the next line
            cells = None
        raw = "".join(lines[at : reader.line_num])
        yield before + at + 1, None if _NOT_UTF8.search(raw) else cells, raw


def _ndjson_keys(path: Path) -> list[str]:
    keys: dict[str, None] = {}
    with open_file(path) as file:
        for line in islice(file, _SAMPLE):
            keys.update(dict.fromkeys(_json_object(line.removeprefix(_BOM)) or ()))
    return list(keys)


def _ndjson_events(path: Path, to_event: ToEvent, share: Share, student_of: ToStudent) -> Iterator[FileEvent]:
    whole = share == WHOLE
    with open_file(path) as file:
        for number, line in enumerate(file, start=1):
            raw = (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n")
            row = _json_object(raw)
            if row is not None:
                if whole or share.has(student_of(row)):
                    yield FileEvent(number, to_event(row))
            elif raw.strip() and not share.number:
                yield FileEvent(number, raw)


def _json_object(line: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
