"""Files of attempts, as people have them: CSV or newline-delimited JSON, gzipped or not.

Trying the product on one's own scores must not need a program first. A file is read one row at a time, so
its size does not matter, and every row comes out: one that cannot be understood is yielded as the bytes it
was, to be sent and dead-lettered like any other bad record, because a row dropped here is a row no count
would ever show.
"""

import csv
import gzip
import re
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import orjson

from worker.local.columns import ColumnsError, ToEvent, event_mapper

_SUFFIXES = (".csv", ".csv.gz", ".ndjson", ".ndjson.gz")
_SAMPLE = 1_000  # lines whose keys together count as the columns of a file without a header
_BOM = b"\xef\xbb\xbf"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is not UTF-8


class FileEvent(NamedTuple):
    """One row of a file.

    Attributes:
        line: its first line in the file, from 1 (a header is line 1).
        event: the native event; or the row as it stands in the file, without its line end, where it is not
            UTF-8, not a JSON object, not CSV, or has another number of cells than the header.
    """

    line: int
    event: dict[str, object] | bytes


def read_events(path: Path, columns: str = "") -> Iterator[FileEvent]:
    """Read a file of attempts, lazily and in its order; blank lines are no rows.

    Args:
        path: a file whose name ends in .csv, .csv.gz, .ndjson or .ndjson.gz.
        columns: where the fields come from (see `worker.local.columns`).

    Raises:
        ColumnsError: at once, before a row is read; the columns do not give an event.
        ValueError: at once; the name has none of the four endings.
        OSError: the file is missing, or (while reading) its compression is broken.
        EOFError: while reading; the compressed file ends too early.
    """
    name = path.name.lower()
    if not name.endswith(_SUFFIXES):
        raise ValueError(f"{path.name}: the name of a file of attempts ends in one of {', '.join(_SUFFIXES)}")
    if name.endswith((".csv", ".csv.gz")):
        return _csv_events(path, event_mapper(columns, _csv_header(path), typed=False))
    return _ndjson_events(path, event_mapper(columns, _ndjson_keys(path), typed=True))


def _open(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _csv_header(path: Path) -> list[str]:
    with _open(path) as file, TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        try:
            header = next(csv.reader(text, strict=True), None)
        except csv.Error as error:
            raise ColumnsError([f"the first line is not a header: {error}"], []) from error
    if not header:
        raise ColumnsError(["the first line is not a header"], [])
    return header


def _csv_events(path: Path, to_event: ToEvent) -> Iterator[FileEvent]:
    row_lines: list[str] = []

    def remembered(lines: TextIOWrapper) -> Iterator[str]:
        for line in lines:
            row_lines.append(line)
            yield line

    with _open(path) as file, TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        reader = csv.reader(remembered(text), strict=True)
        header = next(reader)
        while True:
            row_lines.clear()
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:  # the reader starts afresh with the next line
                cells = None
            if cells == []:
                continue
            raw = "".join(row_lines).rstrip("\r\n")
            if cells is None or len(cells) != len(header) or _NOT_UTF8.search(raw):
                yield FileEvent(line, raw.encode("utf-8", "surrogateescape"))
            else:
                yield FileEvent(line, to_event(dict(zip(header, cells, strict=True))))


def _ndjson_keys(path: Path) -> list[str]:
    keys: dict[str, None] = {}
    with _open(path) as file:
        for line in islice(file, _SAMPLE):
            keys.update(dict.fromkeys(_json_object(line.removeprefix(_BOM)) or ()))
    return list(keys)


def _ndjson_events(path: Path, to_event: ToEvent) -> Iterator[FileEvent]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            raw = (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n")
            if raw.strip():
                row = _json_object(raw)
                yield FileEvent(number, raw if row is None else to_event(row))


def _json_object(line: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
