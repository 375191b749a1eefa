"""Many events in one Kinesis record: how a producer packs them, how a worker opens whatever arrives.

    {"envelope":1,"count":2,"students":{"<student_key>":"<sealed_id>"}}
    {...one event...}
    {...one event...}

compressed with zstd (gzip is read as well). A record without that first line is plain: one event, a JSON
list, or newline-delimited events. This is why 2,000 records a second carry tens of thousands of events.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import zstandard

from worker.domain import identity as ids
from worker.domain.errors import Poison, Reason
from worker.domain.event import ScoreEvent
from worker.domain.formats import native

MAX_INFLATED = 8 * 1024 * 1024
MAX_EVENTS = 20_000
"""More lines than any producer of ours packs; a record beyond it is refused whole, not line by line."""
PACK_EVENTS = 2_000
PACK_BYTES = 200 * 1024
VERSION = 1

_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b"
_STEP = 256
"""So few bytes of a zstd frame inflate to at most 8 MiB: 64 blocks of 128 KiB."""
_MAX_COMMAS = 1_000_000
"""More than any list of events holds; 8 MiB of nothing but commas would take 300 MB as objects."""


class Header(msgspec.Struct, frozen=True):
    """The first line of an envelope: its version, how many events follow, the sealed id of each student."""

    envelope: int
    count: int
    students: dict[str, str] = {}


class Opened(NamedTuple):
    """A record's events, still undecoded, and the sealed ids that came with them."""

    events: Sequence[bytes]
    students: Mapping[str, str]


class _Names(msgspec.Struct):
    """What tells a header from an event, whatever else either holds."""

    envelope: msgspec.Raw = msgspec.Raw()
    course_id: msgspec.Raw = msgspec.Raw()


_header = msgspec.json.Decoder(Header)
_names = msgspec.json.Decoder(_Names)
_cut_header = re.compile(rb'\{\s*"envelope"\s*:')
_list = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode


def pack(events: Sequence[ScoreEvent]) -> Iterator[bytes]:
    """Envelopes of at most 2,000 events and 200 KB each, in the given order."""
    for start in range(0, len(events), PACK_EVENTS):
        yield from _pack_within(events[start : start + PACK_EVENTS])


def _pack_within(events: Sequence[ScoreEvent]) -> Iterator[bytes]:
    packed = seal(events)
    if len(packed) <= PACK_BYTES or len(events) == 1:
        yield packed
        return
    middle = len(events) // 2
    yield from _pack_within(events[:middle])
    yield from _pack_within(events[middle:])


def seal(events: Sequence[ScoreEvent]) -> bytes:
    """One envelope of these events, whatever its size."""
    students = {str(event.student_key): ids.text(event.sealed_id) for event in events}
    lines = [_encode(Header(VERSION, len(events), students)), *(native.encode(event) for event in events)]
    return zstandard.ZstdCompressor(level=3).compress(b"\n".join(lines))


def open_record(data: bytes) -> Opened:
    """Open a Kinesis record of any accepted shape.

    Raises:
        Poison: the record as a whole cannot be read; its events are not known.
    """
    inflated = inflate(data).strip()
    if not inflated:
        raise Poison(Reason.EMPTY_RECORD)
    first, _, rest = inflated.partition(b"\n")
    if b'"envelope"' in first and first.startswith(b"{"):
        header = _open_header(first)
        if header is not None:
            return _bounded(_lines(rest), header)
    if inflated.startswith(b"["):
        return _bounded(_elements(inflated))
    if rest and _is_one_document(inflated):
        return Opened([inflated], {})
    return _bounded(_lines(inflated))


def inflate(data: bytes) -> bytes:
    """Decompress by magic number; plain bytes come back as they are.

    Raises:
        Poison: the stream is broken, or inflates to more than 8 MiB.
    """
    try:
        if data.startswith(_ZSTD):
            return _inflate_zstd(data)
        if data.startswith(_GZIP):
            return _inflate_gzip(data)
    except (zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError):
        raise Poison(Reason.BAD_COMPRESSION) from None
    if len(data) > MAX_INFLATED:
        raise Poison(Reason.RECORD_TOO_LARGE)
    return data


def _inflate_zstd(data: bytes) -> bytes:
    """The content of exactly one frame."""
    size = zstandard.frame_content_size(data)
    if size > MAX_INFLATED:
        raise Poison(Reason.RECORD_TOO_LARGE)
    if size > 0:
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    # Without a size, decompress() neither tells a bomb from a cut frame nor sees what follows the frame.
    frame = zstandard.ZstdDecompressor().decompressobj()
    inflated = bytearray()
    for start in range(0, len(data), _STEP):
        inflated += frame.decompress(data[start : start + _STEP])
        if len(inflated) > MAX_INFLATED:
            raise Poison(Reason.RECORD_TOO_LARGE)
    if not frame.eof or frame.unused_data:
        raise Poison(Reason.BAD_COMPRESSION)
    return bytes(inflated)


def _inflate_gzip(data: bytes) -> bytes:
    inflated = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_INFLATED + 1)
    if len(inflated) > MAX_INFLATED:
        raise Poison(Reason.RECORD_TOO_LARGE)
    return inflated


def _open_header(line: bytes) -> Header | None:
    """The header in a record's first line, or None where that line is an event or part of one."""
    if not _claims_header(line):
        return None
    try:
        header = _header.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Poison(Reason.UNKNOWN_ENVELOPE) from None
    if header.envelope != VERSION:
        raise Poison(Reason.UNKNOWN_ENVELOPE)
    return header


def _claims_header(line: bytes) -> bool:
    try:
        names = _names.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _cut_header.match(line) is not None
    return bool(bytes(names.envelope)) and not bytes(names.course_id)


def _lines(data: bytes) -> list[bytes]:
    # Only at \n, unlike splitlines(): \r is white space inside JSON.
    return [line for piece in data.split(b"\n") if (line := piece.strip())]


def _elements(data: bytes) -> list[bytes]:
    if data.count(b",") > _MAX_COMMAS:
        raise Poison(Reason.TOO_MANY_EVENTS)
    try:
        return [bytes(element) for element in _list.decode(data)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Poison(Reason.NOT_JSON) from None


def _is_one_document(data: bytes) -> bool:
    """Whether a text of several lines is one pretty-printed event rather than an event a line."""
    try:
        _any.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _bounded(events: list[bytes], header: Header | None = None) -> Opened:
    if len(events) > MAX_EVENTS:
        raise Poison(Reason.TOO_MANY_EVENTS)
    if header is not None and header.count != len(events):
        raise Poison(Reason.COUNT_MISMATCH)
    if not events:
        raise Poison(Reason.EMPTY_RECORD)
    return Opened(events, {} if header is None else header.students)


def single(raw: bytes, students: dict[str, str]) -> bytes:
    """An envelope around one undecoded event, so that it can be delivered again by itself.

    Even a plain one needs it: by itself it may look like something else, such as a list of events.
    """
    return _encode(Header(VERSION, 1, students)) + b"\n" + raw.replace(b"\n", b" ")
