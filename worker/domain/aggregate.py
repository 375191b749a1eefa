"""KPL aggregates: many user records in one Kinesis record, as the Kinesis Producer Library packs them.

KCL's daemon splits them before a shard process sees them; whoever reads the stream without the daemon must do
the same, or the positions and the events would be others. Amazon's own Python library for it prints the
content of what it cannot read, which is education records, and its last release changes the import path of
the process; the format is a page long.

    0xF3 0x89 0x9A 0xC2 | protobuf AggregatedRecord | MD5 of the protobuf

    AggregatedRecord: 1 partition_key_table, 2 explicit_hash_key_table (strings), 3 records (Record, repeated)
    Record:           1 partition_key_index, 2 explicit_hash_key_index (numbers), 3 data (bytes), 4 tags
"""

import hashlib
from collections.abc import Iterator, Sequence

_MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST = 16
_RECORDS = 3
_DATA = 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Malformed(Exception):
    """Not what protobuf would write."""


def split(data: bytes) -> Sequence[bytes]:
    """The user records of an aggregate in their order; anything else comes back alone, as it is.

    What only looks like an aggregate is handed on whole, as KCL does: its decoding will say what it is.
    """
    if not data.startswith(_MAGIC) or len(data) <= len(_MAGIC) + _DIGEST:
        return [data]
    message, digest = data[len(_MAGIC) : -_DIGEST], data[-_DIGEST:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        return [data]
    try:
        return [_data_of(record) for field, record in _fields(message) if field == _RECORDS]
    except _Malformed:
        return [data]


def join(records: Sequence[bytes], partition_key: str = "envelope") -> bytes:
    """An aggregate of these user records, as a KPL with one partition key writes it."""
    message = _tagged(1, partition_key.encode())
    for record in records:
        message += _tagged(_RECORDS, b"\x08\x00" + _tagged(_DATA, record))
    return _MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def _data_of(record: bytes) -> bytes:
    """The last one wins where a field is there twice, as in protobuf; a record without data is malformed."""
    data = [content for field, content in _fields(record) if field == _DATA]
    if not data:
        raise _Malformed
    return data[-1]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of bytes with their numbers; others are stepped over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise _Malformed
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise _Malformed
    if at > len(message):
        raise _Malformed


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Malformed
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed


def _tagged(field: int, content: bytes) -> bytes:
    size, head = len(content), bytearray([field << 3 | _BYTES])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content
