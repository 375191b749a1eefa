import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.aggregate import join, split

MAGIC = b"\xf3\x89\x9a\xc2"

# Written by Amazon's own library (aws_kinesis_agg 1.2.3): partition keys p and q, an explicit hash key, data
# `first` and `second`.
BY_AMAZON = bytes.fromhex(
    "f3899ac20a01700a01711201351a0b080010001a0566697273741a0a08011a067365636f6e64e89333b1ae814154c44c31f2e52c4113"
)


def sealed(message: bytes) -> bytes:
    return MAGIC + message + hashlib.md5(message).digest()


def test_what_the_producer_library_packed_comes_out_in_its_order() -> None:
    assert split(BY_AMAZON) == [b"first", b"second"]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_what_is_joined_is_split_again(records: list[bytes]) -> None:
    assert split(join(records)) == records


@given(st.binary(max_size=200))
def test_anything_else_comes_back_as_it_is(data: bytes) -> None:
    assert split(data) == [data]


@given(st.binary(max_size=100))
def test_no_bytes_under_a_right_digest_break_it(message: bytes) -> None:
    found = split(sealed(message))
    assert all(isinstance(record, bytes) for record in found)


@pytest.mark.parametrize(
    "broken",
    [
        join([b"a", b"b"])[:-1],
        join([b"a", b"b"])[:-1] + b"\x00",
        MAGIC,
        MAGIC + b"\x00" * 16,
        sealed(b"\x1a\x7f" + b"cut"),
        sealed(b"\x1a\x02\x08\x00"),
        sealed(b"\xff" * 12),
        sealed(b"\x1b"),
        sealed(b"\x08"),
        sealed(b"\x1d\x00"),
    ],
    ids=["short", "digest", "magic", "empty", "cut", "no data", "endless", "group", "no number", "cut fixed"],
)
def test_what_only_looks_like_an_aggregate_is_handed_on_whole(broken: bytes) -> None:
    assert split(broken) == [broken]


def test_fields_of_later_versions_are_stepped_over() -> None:
    record = b"\x08\x00\x1a\x01x" + b"\x22\x03\x0a\x01t"  # tags
    message = (
        b"\x1a"
        + bytes([len(record)])
        + record
        + b"\x28\x96\x01"
        + b"\x31"
        + b"\x00" * 8
        + b"\x3d"
        + b"\x00" * 4
    )
    assert split(sealed(message)) == [b"x"]


def test_an_aggregate_may_be_empty() -> None:
    assert split(sealed(b"\x0a\x01p")) == []
