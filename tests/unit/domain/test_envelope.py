"""What a producer packs comes out as it went in, and of whatever else a record holds nothing is lost."""

import gzip
import itertools
import json
import random
import string
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import IDENTITY, NOW, score_event
from worker.domain import envelope, identity
from worker.domain.envelope import MAX_EVENTS, MAX_INFLATED, PACK_BYTES, inflate, open_record, pack
from worker.domain.errors import Poison, Reason
from worker.domain.event import Kind, ScoreEvent
from worker.domain.formats import native

A, B, C = b'{"a":1}', b'{"b":2}', b'{"c":3}'
Carrier = Callable[[bytes], bytes]
STUDENT = "8a1c8e1c-53d0-4a6b-9d5e-6e1b8c0f4a77"


def header(count: object, **more: object) -> bytes:
    return json.dumps({"envelope": 1, "count": count, "students": {}, **more}).encode()


def zstd(data: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=sized).compress(data)


def events_of(record: bytes) -> list[bytes]:
    return list(open_record(record).events)


def decoded(records: Sequence[bytes]) -> list[ScoreEvent]:
    """The events of records of ours, as a worker reads them."""
    found = []
    for record in records:
        opened = open_record(record)
        for raw in opened.events:
            wire = native.parse(raw)
            sealed = opened.students[str(wire.student_key)]
            found.append(
                native.canonical(wire, sealed_id=sealed, identity=IDENTITY, realm="unused", arrived_at=NOW)
            )
    return found


def refusal(record: bytes) -> Reason:
    with pytest.raises(Poison) as caught:
        open_record(record)
    assert caught.value.field is None
    return caught.value.reason


@contextmanager
def at_most(memory: int) -> Iterator[None]:
    """Whatever happens inside takes no more than so many bytes: a record must not end its worker."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


IDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)
MOMENTS = st.datetimes(datetime(1970, 1, 1), NOW.replace(tzinfo=None), timezones=st.just(UTC))  # noqa: DTZ001
VALID = st.builds(
    score_event,
    IDS,
    IDS,
    IDS,
    score=st.none() | st.floats(-1e6, 1e6),
    max_score=st.just(0.0) | st.floats(1e3, 1e6),
    at=MOMENTS,
    graded=st.none() | MOMENTS,
    attempt=st.none() | st.integers(0, 2**63 - 1),
    event_id=st.none() | IDS,
    void=st.booleans(),
    source=IDS,
)


@given(st.lists(VALID, max_size=20))
def test_events_come_out_as_they_went_in(events: list[ScoreEvent]) -> None:
    assert decoded(list(pack(events))) == events


@given(st.lists(VALID, min_size=1, max_size=10))
def test_the_first_line_names_each_student_once(events: list[ScoreEvent]) -> None:
    opened = open_record(envelope.seal(events))
    assert opened.students == {str(event.student_key): identity.text(event.sealed_id) for event in events}
    for line in opened.events:
        assert not json.loads(line).keys() & {"student_id", "sealed_id"}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (2_000, [2_000]), (2_001, [2_000, 1]), (4_500, [2_000, 2_000, 500])],
)
def test_an_envelope_holds_2000_events_at_most(count: int, sizes: list[int]) -> None:
    events = [score_event(attempt=n) for n in range(count)]
    records = list(pack(events))
    assert [len(open_record(record).events) for record in records] == sizes
    assert decoded(records) == events


def noise(chance: random.Random) -> str:
    return "".join(chance.choices(string.printable[:94], k=256))


def test_a_giant_batch_is_split_by_bytes_and_keeps_its_order() -> None:
    chance = random.Random(4)  # what does not compress
    events = [score_event(noise(chance)[:8], noise(chance), noise(chance), attempt=n) for n in range(2_500)]
    records = list(pack(events))
    assert len(records) > 3
    assert max(map(len, records)) <= PACK_BYTES
    assert decoded(records) == events


def test_one_event_too_large_to_split_still_travels() -> None:
    sealed = random.Random(4).randbytes(PACK_BYTES + 1)
    event = ScoreEvent(IDENTITY.identify("a", "r").student_key, sealed, "c", "i", 1.0, 2.0, NOW, NOW)
    (record,) = pack([event])
    assert len(record) > PACK_BYTES
    assert decoded([record]) == [event]


PLAIN = [
    pytest.param(A, [A], id="one event"),
    pytest.param(A + b"\n", [A], id="one event and a line end"),
    pytest.param(b" \t" + A + b" \r\n ", [A], id="white space around"),
    pytest.param(A + b"\n" + B, [A, B], id="lines"),
    pytest.param(A + b"\r\n" + B + b"\r\n", [A, B], id="lines of Windows"),
    pytest.param(b"\n\n" + A + b"\n \t\r\n\n" + B + b"\n\n", [A, B], id="blank lines"),
    pytest.param(b'{\n  "a": 1\n}', [b'{\n  "a": 1\n}'], id="one event over several lines"),
    pytest.param(b'{\r\n"a": 1\r\n}\r\n', [b'{\r\n"a": 1\r\n}'], id="and of Windows"),
    pytest.param(b"[" + A + b",\n " + B + b" ]", [A, B], id="a list"),
    pytest.param(b"[" + A + b', 1, "x", null, [2]]', [A, b"1", b'"x"', b"null", b"[2]"], id="of anything"),
    pytest.param(b"17", [b"17"], id="a scalar"),
    pytest.param(b"nonsense", [b"nonsense"], id="anything else is one event"),
    pytest.param(header(2) + b"\n" + A + b"\n" + B, [A, B], id="an envelope"),
    pytest.param(header(1) + b"\r\n" + A + b"\r\n", [A], id="an envelope of Windows"),
    pytest.param(header(1, more=[1]) + b"\n" + A, [A], id="an envelope that says more"),
    pytest.param(b'{"count":1,"envelope":1}\n' + A, [A], id="an envelope in another order"),
    pytest.param(b' { "envelope" : 1 , "count" : 1 } \n' + A, [A], id="an envelope with blanks"),
]


@pytest.mark.parametrize(("record", "events"), PLAIN)
@pytest.mark.parametrize(
    "carrier",
    [
        bytes,
        zstd,
        lambda data: zstd(data, sized=False),
        gzip.compress,
        lambda data: gzip.compress(data[:5], mtime=0) + gzip.compress(data[5:], mtime=0),
    ],
    ids=["plain", "zstd", "zstd without size", "gzip", "gzip of two members"],
)
def test_every_accepted_shape(record: bytes, events: list[bytes], carrier: Carrier) -> None:
    assert events_of(carrier(record)) == events


@pytest.mark.parametrize("inside", [b"\r", b"\r\r", b" \r "])
def test_a_carriage_return_between_the_words_of_an_event_does_not_cut_it(inside: bytes) -> None:
    event = b'{"a":' + inside + b'1,"b":2}'
    assert events_of(event + b"\n" + B) == [event, B]
    assert events_of(header(2) + b"\n" + event + b"\n" + B) == [event, B]


@pytest.mark.parametrize("letter", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_what_only_unicode_calls_a_line_end_does_not_cut_an_event(letter: str) -> None:
    event = json.dumps({"a": f"x{letter}y"}, ensure_ascii=False).encode()
    assert events_of(event + b"\n" + B) == [event, B]
    assert events_of(header(1) + b"\n" + event) == [event]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b'{"item_id":"envelope","course_id":"c"}', B),
        (b'{"source": "envelope", "course_id":"c"}', B),
        (b'{"course_id":"c","envelope":"brown"}', B),  # a field that is dropped like any unknown one
        (b'{"course_id":"c","envelope":1,"count":7}', B),
        (b'{"course_id":"c","more":{"envelope":1,"count":1}}', B),
    ],
)
def test_an_event_that_says_envelope_is_no_header(first: bytes, second: bytes) -> None:
    assert events_of(first + b"\n" + second) == [first, second]


def test_a_pretty_event_that_says_envelope_is_no_header() -> None:
    event = b'{"item_id": "envelope",\n "course_id": "c"}'
    assert events_of(event) == [event]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", Reason.EMPTY_RECORD),
        (b" \n\t\r\n", Reason.EMPTY_RECORD),
        (b"[]", Reason.EMPTY_RECORD),
        (header(0), Reason.EMPTY_RECORD),
        (zstd(b""), Reason.EMPTY_RECORD),
        (zstd(b"\n\n", sized=False), Reason.EMPTY_RECORD),
        (gzip.compress(b"", mtime=0), Reason.EMPTY_RECORD),
        (b"[" + A, Reason.NOT_JSON),
        (b"[" + A + b",]", Reason.NOT_JSON),
        (b"[" + A + b"] x", Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b"[" * 100_000 + b"]" * 100_000, Reason.NOT_JSON),
        (zstd(A) + b"x", Reason.BAD_COMPRESSION),
        (zstd(A) + zstd(B), Reason.BAD_COMPRESSION),
        (zstd(A, sized=False) + b"x", Reason.BAD_COMPRESSION),
        (zstd(A, sized=False) + zstd(B, sized=False), Reason.BAD_COMPRESSION),
        (zstd(b"") + zstd(A), Reason.BAD_COMPRESSION),
        (b"\x28\xb5\x2f\xfd", Reason.BAD_COMPRESSION),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, Reason.BAD_COMPRESSION),
        (gzip.compress(A, mtime=0) + b"x", Reason.BAD_COMPRESSION),
        (gzip.compress(A, mtime=0)[:-8] + bytes(8), Reason.BAD_COMPRESSION),
        (b"\x1f\x8b", Reason.BAD_COMPRESSION),
        (b"\x1f\x8b" + b"\xff" * 100, Reason.BAD_COMPRESSION),
        (header(1), Reason.COUNT_MISMATCH),
        (header(1) + b"\n" + A + b"\n" + B, Reason.COUNT_MISMATCH),
        (header(3) + b"\n" + A + b"\n" + B, Reason.COUNT_MISMATCH),
        (header(-1) + b"\n" + A, Reason.COUNT_MISMATCH),
        (header(1) + b'\n{\n"pretty":1}', Reason.COUNT_MISMATCH),
        (header(1, envelope=2) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, envelope=0) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, envelope=True) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, envelope="1") + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, envelope=None) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, envelope=[]) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header("1") + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1.5) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(10**30) + b"\n" + A, Reason.COUNT_MISMATCH),
        (b'{"envelope":1,"count":' + b"9" * 10_000 + b"}\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, students=[]) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, students=None) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, students={STUDENT: 1}) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (header(1, students={STUDENT: "\ud800"}) + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":1}\n' + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":3,"and":"nothing we know"}', Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":1,"count":1,"students":{"\xff":"x"}}\n' + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":1,"count":1,"students":{"s":"\xff"}}\n' + A, Reason.UNKNOWN_ENVELOPE),
        # cut or broken: kept whole, because the events need the sealed ids of this line
        (b'{"envelope":1,"count":1,"students":{"s":\n' + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":1 "count":1}\n' + A, Reason.UNKNOWN_ENVELOPE),
        (b'{ "envelope" :\n' + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":' + b"[" * 100_000 + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
        (b'{"envelope":1,"more":' + b"[" * 100_000 + b"\n" + A, Reason.UNKNOWN_ENVELOPE),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_whole(record: bytes, reason: Reason) -> None:
    assert refusal(record) is reason


SAMPLE = b"\n".join([header(3), A, B, C])
TABLE = bytes(range(256)) * 40


@pytest.mark.parametrize("content", [SAMPLE, TABLE])
@pytest.mark.parametrize("sized", [True, False])
def test_zstd_cut_anywhere_is_broken(content: bytes, *, sized: bool) -> None:
    frame = zstd(content, sized=sized)
    assert inflate(frame) == content
    for end in range(4, len(frame)):  # with less than its first four bytes nothing looks compressed
        assert refusal(frame[:end]) is Reason.BAD_COMPRESSION


def test_gzip_cut_anywhere_is_broken() -> None:
    packed = gzip.compress(SAMPLE, mtime=0)
    for end in range(2, len(packed)):
        assert refusal(packed[:end]) is Reason.BAD_COMPRESSION


@pytest.mark.parametrize("packed", [zstd(SAMPLE), zstd(SAMPLE, sized=False), gzip.compress(SAMPLE, mtime=0)])
def test_a_changed_byte_is_poison_at_worst(packed: bytes) -> None:
    refused = 0
    for place, change in itertools.product(range(len(packed)), (1, 0x80, 0xFF)):
        altered = bytearray(packed)
        altered[place] ^= change
        try:
            open_record(bytes(altered))
        except Poison:
            refused += 1
    assert refused > len(packed) / 2


ZEROS = b"0" * (1024 * 1024)


def zstd_of(mebibytes: int) -> bytes:
    """One frame that does not tell its size."""
    stream = zstandard.ZstdCompressor().compressobj()
    return b"".join([*(stream.compress(ZEROS) for _ in range(mebibytes)), stream.flush()])


def gzip_of(mebibytes: int) -> bytes:
    stream = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join([*(stream.compress(ZEROS) for _ in range(mebibytes)), stream.flush()])


BLOCK_OF_ZEROS = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"0"
RUNS = b"\x28\xb5\x2f\xfd\x00\x38" + BLOCK_OF_ZEROS * 10_000 + b"\x01\x00\x00"
"""40 KB of zstd that are 1.2 GB: the densest there is, 128 KiB in 4 bytes."""


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (zstd(ZEROS * 9), Reason.RECORD_TOO_LARGE),
        (zstd_of(100), Reason.RECORD_TOO_LARGE),
        (RUNS, Reason.RECORD_TOO_LARGE),
        (zstd_of(5) + zstd_of(5), Reason.BAD_COMPRESSION),
        (zstd(ZEROS * 5) + zstd(ZEROS * 5), Reason.BAD_COMPRESSION),
        (gzip_of(100), Reason.RECORD_TOO_LARGE),
        (gzip_of(5) + gzip_of(5), Reason.RECORD_TOO_LARGE),
        (zstd(zstd_of(9)), None),  # only one layer is opened
    ],
    ids=["sized", "unsized", "runs", "two frames", "two sized frames", "gzip", "two members", "nested"],
)
def test_a_bomb_is_refused_without_being_unpacked(bomb: bytes, reason: Reason | None) -> None:
    assert len(bomb) < 200_000
    with at_most(5 * MAX_INFLATED):
        if reason is None:
            assert len(inflate(bomb)) < 10_000
        else:
            assert refusal(bomb) is reason


@pytest.mark.parametrize("size", [MAX_INFLATED, MAX_INFLATED + 1])
@pytest.mark.parametrize(
    "carrier",
    [bytes, zstd, lambda data: zstd(data, sized=False), lambda data: gzip.compress(data, 1, mtime=0)],
    ids=["plain", "zstd", "zstd without size", "gzip"],
)
def test_eight_mebibytes_are_the_limit(carrier: Carrier, size: int) -> None:
    record = carrier(A + b" " * (size - len(A)))
    if size > MAX_INFLATED:
        assert refusal(record) is Reason.RECORD_TOO_LARGE
    else:
        assert events_of(record) == [A]


@pytest.mark.parametrize("count", [MAX_EVENTS, MAX_EVENTS + 1])
@pytest.mark.parametrize(
    "carrier",
    [
        lambda count: b"1\n" * count,
        lambda count: b"1 \r\n \r\n" * count,
        lambda count: b"[" + b"1," * (count - 1) + b"1]",
        lambda count: header(count) + b"\n1" * count,
    ],
    ids=["lines", "blank lines between", "list", "envelope"],
)
def test_twenty_thousand_events_are_the_limit(carrier: Callable[[int], bytes], count: int) -> None:
    if count > MAX_EVENTS:
        assert refusal(carrier(count)) is Reason.TOO_MANY_EVENTS
    else:
        assert events_of(carrier(count)) == [b"1"] * count


@pytest.mark.parametrize(
    "much", [b"[" + b"0," * (MAX_INFLATED // 2 - 2) + b"0]", b"ab\n" * (MAX_INFLATED // 3)]
)
def test_as_many_events_as_fit_are_refused(much: bytes) -> None:
    record = zstd(much)
    with at_most(25 * MAX_INFLATED):
        assert refusal(record) is Reason.TOO_MANY_EVENTS


@pytest.mark.parametrize(
    "raw",
    [A, b'{\n"a":\r\n1}', b"[1,2]", b"[]", b"17", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xff", header(3), b"{"],
)
def test_a_single_event_is_that_one_event_whatever_it_looks_like(raw: bytes) -> None:
    opened = open_record(envelope.single(raw, {STUDENT: "sealed"}))
    assert opened.events == [raw.replace(b"\n", b" ")]
    assert opened.students == {STUDENT: "sealed"}


def test_the_form_on_the_wire() -> None:
    event = score_event(at=NOW, graded=NOW + timedelta(seconds=1))
    void = score_event(attempt=2, void=True)
    first, *lines = zstandard.decompress(envelope.seal([event, void])).split(b"\n")
    key, sealed = str(event.student_key), identity.text(event.sealed_id)
    assert json.loads(first) == {"envelope": 1, "count": 2, "students": {key: sealed}}
    named = {"course_id": "algebra", "item_id": "quiz-1", "student_key": key}
    assert [json.loads(line) for line in lines] == [
        named
        | {
            "attempt": 1,
            "score": 80,
            "max_score": 100,
            "occurred_at": "2026-03-02T12:00:00Z",
            "graded_at": "2026-03-02T12:00:01Z",
        },
        named | {"attempt": 2, "kind": "voided", "occurred_at": "2026-03-02T12:00:00Z"},
    ]
    assert decoded([envelope.seal([event, void])])[1].kind is Kind.VOIDED
