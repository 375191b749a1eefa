"""Whatever arrives becomes events and dead letters: nothing is raised, nothing lost, nothing said twice."""

import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import IDENTITY, NOW, score_event
from worker.batch import Batch, DeadLetter, Delivered, Record
from worker.domain import envelope, identity
from worker.domain.errors import Reason
from worker.domain.event import Kind, ScoreEvent, register_of
from worker.domain.formats import native
from worker.domain.position import ORIGIN, Position
from worker.stream.decoding import WHOLE_RECORD, Decoder, Limits, batches, refused

REALM = "north school"
DECODER = Decoder(IDENTITY, REALM)
HERE = Position(10**55 + 7, 3)
ADA = IDENTITY.identify("ada", REALM)
BEN = IDENTITY.identify("ben", REALM)


def line(**fields: object) -> bytes:
    """A valid event of a raw student id on one line."""
    valid = {"student_id": "ada", "course_id": "algebra", "item_id": "quiz-1", "score": 6, "max_score": 10}
    return json.dumps({**valid, "occurred_at": "2026-03-02T11:00:00Z", **fields}).encode()


def keyed(student: UUID, **fields: object) -> bytes:
    """A valid event as envelopes carry it."""
    return line(student_id=None, student_key=str(student), **fields)


def literal(field: str, value: bytes) -> bytes:
    """An otherwise valid event with these very bytes as one field's value."""
    return line(**{field: "@"}).replace(b'"@"', value)


def header(count: int, *students: identity.Identified) -> bytes:
    known = {str(student.student_key): identity.text(student.sealed_id) for student in students}
    return json.dumps({"envelope": 1, "count": count, "students": known}).encode()


def decode(data: bytes, position: Position = HERE) -> tuple[list[Delivered], list[DeadLetter]]:
    return DECODER.decode(Record(data, position, NOW))


def only_letter(data: bytes) -> DeadLetter:
    events, letters = decode(data)
    assert events == []
    (letter,) = letters
    return letter


GOOD = line(attempt=1), line(attempt=2)


def as_lines(*events: bytes) -> bytes:
    return b"\n".join(events)


def as_windows_lines(*events: bytes) -> bytes:
    return b"\r\n".join(events)


def as_list(*events: bytes) -> bytes:
    return b"[" + b",".join(events) + b"]"


def as_envelope(*events: bytes) -> bytes:
    return as_lines(header(len(events), ADA), *events)


def compressed(*events: bytes) -> bytes:
    return zstandard.compress(as_envelope(*events))


BAD_JSON = [
    # on a line of its own; inside a list it would break the list
    (b"nonsense", Reason.NOT_JSON, None),
    (b"{", Reason.NOT_JSON, None),
    (line()[:-1], Reason.NOT_JSON, None),
    (line() + b",", Reason.NOT_JSON, None),
    (line() + line(), Reason.NOT_JSON, None),
    (b"\xef\xbb\xbf" + line(), Reason.NOT_JSON, None),
    (literal("score", b"NaN"), Reason.NOT_JSON, None),
    (literal("score", b"-Infinity"), Reason.NOT_JSON, None),
    (literal("item_id", b'"a\x00b"'), Reason.NOT_JSON, None),
    (literal("item_id", b'"a\rb"'), Reason.NOT_JSON, None),
    (literal("item_id", rb'"\ud800"'), Reason.NOT_JSON, None),
    (literal("comment", rb'"\udfff"'), Reason.NOT_JSON, None),
    (literal("comment", b"[" * 20_000 + b"]" * 20_000), Reason.NOT_JSON, None),
    (b"\xff\xfe\x00", Reason.INVALID_UTF8, None),
    (b"\x28\xb5\x2f\xfd" + b"\xff" * 20, Reason.INVALID_UTF8, None),
    (b"\x1f\x8b" + b"\xff" * 20, Reason.INVALID_UTF8, None),
    (header(1, ADA)[:-5], Reason.NOT_JSON, None),
    (b"[1", Reason.INVALID_FIELD, None),
]
BAD_EVENTS = [
    (b"null", Reason.INVALID_FIELD, None),
    (b"17", Reason.INVALID_FIELD, None),
    (b'"text"', Reason.INVALID_FIELD, None),
    (b"true", Reason.INVALID_FIELD, None),
    (b"[]", Reason.INVALID_FIELD, None),
    (as_list(line(), line()), Reason.INVALID_FIELD, None),
    (b"{}", Reason.MISSING_FIELD, "course_id"),
    (header(1, ADA), Reason.MISSING_FIELD, "course_id"),
    (b'{"envelope":9}', Reason.MISSING_FIELD, "course_id"),
    (line(envelope=1, count=5, score="x"), Reason.INVALID_FIELD, "score"),
    (line(score=True), Reason.INVALID_FIELD, "score"),
    (line(score="12"), Reason.INVALID_FIELD, "score"),
    (line(score=10**400), Reason.INVALID_FIELD, "score"),
    (literal("score", b"1e999"), Reason.INVALID_FIELD, "score"),
    (line(score=2e6), Reason.INVALID_FIELD, "score"),
    (line(max_score=-1), Reason.INVALID_FIELD, "max_score"),
    (line(score=10_001), Reason.RATIO_OUT_OF_RANGE, "score"),
    (line(course_id=["algebra"]), Reason.INVALID_FIELD, "course_id"),
    (line(course_id="x" * 257), Reason.INVALID_FIELD, "course_id"),
    (line(item_id="a\0b"), Reason.INVALID_FIELD, "item_id"),
    (line(source=""), Reason.INVALID_FIELD, "source"),
    (line(attempt=1.5), Reason.INVALID_FIELD, "attempt"),
    (line(attempt=10**40), Reason.INVALID_FIELD, "attempt"),
    (line(kind="deleted"), Reason.INVALID_FIELD, "kind"),
    (line(kind="required field `score`"), Reason.INVALID_FIELD, "kind"),
    (line(occurred_at="2026-03-02T11:00:00"), Reason.INVALID_FIELD, "occurred_at"),
    (line(occurred_at="0001-01-01T00:00:00+23:59"), Reason.TIME_OUT_OF_RANGE, "occurred_at"),
    (line(graded_at="9999-12-31T23:59:59-23:59"), Reason.TIME_OUT_OF_RANGE, "graded_at"),
    (line(graded_at="2026-03-02T12:05:01Z"), Reason.TIME_OUT_OF_RANGE, "graded_at"),
    (line(student_id=None), Reason.MISSING_FIELD, "student_id"),
    (keyed(BEN.student_key), Reason.MISSING_FIELD, "sealed_id"),
    (keyed(BEN.student_key, sealed_id="no base64"), Reason.INVALID_FIELD, "sealed_id"),
    (line(student_key="ben"), Reason.INVALID_FIELD, "student_key"),
    (literal("course_id", b'"\xff"'), Reason.INVALID_UTF8, None),
    (line(comment="x" * 65_536), Reason.EVENT_TOO_LARGE, None),
    (line(comment="x" * 2**21), Reason.EVENT_TOO_LARGE, None),
]


@pytest.mark.parametrize(
    ("carrier", "bad", "reason", "field"),
    [
        *(
            (carrier, *case)
            for carrier in (as_lines, as_envelope, compressed)
            for case in BAD_JSON + BAD_EVENTS
        ),
        *((as_list, *case) for case in BAD_EVENTS),
    ],
)
def test_a_bad_event_is_one_dead_letter_and_the_rest_of_its_record_goes_through(
    carrier: Callable[..., bytes], bad: bytes, reason: Reason, field: str | None
) -> None:
    events, (letter,) = decode(carrier(GOOD[0], bad, GOOD[1]))
    assert [(delivered.number, delivered.event.attempt) for delivered in events] == [(0, 1), (2, 2)]
    assert (letter.number, letter.reason, letter.field, letter.position) == (1, reason, field, HERE)
    assert_redelivers_itself(letter)


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        case
        for case in BAD_JSON + BAD_EVENTS
        if not case[0].startswith((b"[", b"\x28", b"\x1f", b'{"envelope"'))
    ],
)
def test_also_where_it_is_all_that_the_record_holds(bad: bytes, reason: Reason, field: str | None) -> None:
    letter = only_letter(bad)
    assert (letter.number, letter.reason, letter.field) == (0, reason, field)
    assert_redelivers_itself(letter)


def assert_redelivers_itself(letter: DeadLetter) -> None:
    """The payload alone meets the same fate again, as the same one event or record."""
    again = only_letter(letter.payload)
    assert (again.reason, again.field) == (letter.reason, letter.field)
    assert again.payload == letter.payload
    assert again.number == (WHOLE_RECORD if letter.number == WHOLE_RECORD else 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY_RECORD),
        (b" \r\n\t ", Reason.EMPTY_RECORD),
        (b"[]", Reason.EMPTY_RECORD),
        (b"[" + line(), Reason.NOT_JSON),
        (as_list(line(), b"NaN"), Reason.NOT_JSON),
        (zstandard.compress(line())[:-1], Reason.BAD_COMPRESSION),
        (gzip.compress(line())[:-1], Reason.BAD_COMPRESSION),
        (zstandard.compress(bytes(9 * 2**20)), Reason.RECORD_TOO_LARGE),
        (gzip.compress(bytes(9 * 2**20)), Reason.RECORD_TOO_LARGE),
        (b"x" * (8 * 2**20 + 1), Reason.RECORD_TOO_LARGE),
        (b"{}\n" * 20_001, Reason.TOO_MANY_EVENTS),
        (as_lines(header(2, ADA), line()), Reason.COUNT_MISMATCH),
        (as_lines(header(1, ADA), line(), line()), Reason.COUNT_MISMATCH),
        (as_lines(b'{"envelope":2,"count":1}', line()), Reason.UNKNOWN_ENVELOPE),
        (as_lines(b'{"envelope":1,"count":1,"students":[]}', line()), Reason.UNKNOWN_ENVELOPE),
        (as_lines(header(1, ADA)[:-5], line()), Reason.UNKNOWN_ENVELOPE),
        (
            as_lines(header(1, ADA).replace(b"students", b'students":{"\xff":""},"'), line()),
            Reason.UNKNOWN_ENVELOPE,
        ),
    ],
)
def test_an_unreadable_record_is_one_dead_letter_with_all_of_it(data: bytes, reason: Reason) -> None:
    letter = only_letter(data)
    assert letter == DeadLetter(HERE, WHOLE_RECORD, reason, None, data)
    assert_redelivers_itself(letter)


@pytest.mark.parametrize("sized", [True, False])
def test_zstd_cut_anywhere_is_one_dead_letter(*, sized: bool) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=sized).compress(as_envelope(*GOOD))
    assert len(decode(frame)[0]) == 2
    for end in range(len(frame)):
        assert_redelivers_itself(only_letter(frame[:end]))


def test_gzip_cut_anywhere_is_one_dead_letter() -> None:
    packed = gzip.compress(as_lines(*GOOD))
    assert len(decode(packed)[0]) == 2
    for end in range(len(packed)):
        assert_redelivers_itself(only_letter(packed[:end]))


def test_a_raw_student_id_is_pseudonymised_under_the_realm_of_this_edge() -> None:
    (delivered,), _ = decode(line(student_id="ada"))
    assert (delivered.event.student_key, delivered.event.sealed_id) == ADA
    assert IDENTITY.open(delivered.event.sealed_id) == (REALM, "ada")


def test_what_is_delivered() -> None:
    (first, second), _ = decode(as_lines(line(attempt=1), line(attempt=2)))
    assert (first.position, first.number, second.number) == (HERE, 0, 1)
    assert first.register == register_of(first.event)
    assert first.key == (ADA.student_key, "algebra")


def test_in_an_envelope_each_student_gets_their_own_sealed_id() -> None:
    data = as_lines(header(2, ADA, BEN), keyed(BEN.student_key), keyed(ADA.student_key))
    events, letters = decode(data)
    assert letters == []
    assert [(d.event.student_key, d.event.sealed_id) for d in events] == [BEN, ADA]


def test_a_redelivery_takes_the_sealed_id_of_its_own_student_along() -> None:
    bad = keyed(BEN.student_key, score="x")
    data = as_lines(header(3, ADA, BEN), keyed(ADA.student_key), bad, line())
    events, (letter,) = decode(data)
    assert len(events) == 2
    assert identity.text(BEN.sealed_id).encode() in letter.payload
    assert identity.text(ADA.sealed_id).encode() not in letter.payload
    # once the producer's mistake is mended, the same payload is a whole event
    (mended,), _ = decode(letter.payload.replace(b'"x"', b"7"))
    assert (mended.event.student_key, mended.event.sealed_id, mended.event.score) == (*BEN, 7.0)


def test_a_redelivery_is_one_line_even_where_the_event_was_not() -> None:
    pretty = json.dumps(json.loads(line(score="x")), indent=2).replace("\n", "\r\n").encode()
    for data in (pretty, as_list(pretty, pretty)):
        for letter in decode(data)[1]:
            assert (letter.reason, letter.field) == (Reason.INVALID_FIELD, "score")
            assert letter.payload.count(b"\n") == 1  # after the first line
            assert_redelivers_itself(letter)


@pytest.mark.parametrize("padding", [b" " * 70_000, b"\t" * 70_000, b"\r" * 70_000])
def test_white_space_around_an_event_does_not_count_as_its_size(padding: bytes) -> None:
    events, letters = decode(as_lines(padding + GOOD[0] + padding, GOOD[1]))
    assert (len(events), letters) == (2, [])


@pytest.mark.parametrize(
    "event",
    [score_event(), score_event(score=None), score_event(void=True), score_event(attempt=None, event_id="e")],
)
def test_what_the_database_refused_can_be_delivered_again(event: ScoreEvent) -> None:
    delivered = Delivered(event, register_of(event), HERE, 5)
    letter = refused(delivered)
    assert letter[:4] == (HERE, 5, Reason.REFUSED_BY_DATABASE, None)
    (again,), letters = decode(letter.payload)
    assert (again.event, again.register, letters) == (event, delivered.register, [])


# Fuzz: from plain noise to valid records with a few bytes wrong, in every wrapping.

MEMBERS = st.sampled_from(
    sorted(json.loads(line(sealed_id="", student_key="", kind="", graded_at="", envelope="")))
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [
            "voided",
            "envelope",
            "required field `canary`",
            "x - at `$.canary`",
            "\ud800",
            "\0",
            "2026-03-02T11:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            str(BEN.student_key),
        ]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=2),
    max_leaves=4,
)
CHANGED = st.dictionaries(MEMBERS, VALUES, max_size=3).map(lambda fields: line(**fields))
PIECES = st.one_of(
    CHANGED,
    st.just(line()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.just(header(2, ADA, BEN)),
    st.just(keyed(ADA.student_key)),
    st.binary(max_size=12),
    st.sampled_from(
        [b"", b" ", b"\r", b"[", b"{", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xef\xbb\xbf", b"\xff"]
    ),
)
SHAPES: st.SearchStrategy[Callable[..., bytes]] = st.sampled_from(
    [as_lines, as_windows_lines, as_list, as_envelope, lambda *pieces: b"".join(pieces)]
)
CARRIERS: st.SearchStrategy[Callable[[bytes], bytes]] = st.sampled_from(
    [
        bytes,
        bytes,
        zstandard.compress,
        zstandard.ZstdCompressor(write_content_size=False).compress,
        gzip.compress,
    ]
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    data = draw(CARRIERS)(draw(SHAPES)(*draw(st.lists(PIECES, max_size=4))))
    mutable = bytearray(data)
    for place, change in draw(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=2)):
        if mutable:
            mutable[place % len(mutable)] = change
    return bytes(mutable[: draw(st.none() | st.none() | st.integers(0, 400))])


@settings(max_examples=5_000)
@given(st.binary(max_size=100) | records() | records() | records())
def test_nothing_that_arrives_is_an_exception(data: bytes) -> None:
    events, letters = decode(data)
    assert len(events) + len(letters) >= 1
    numbers = sorted([delivered.number for delivered in events] + [letter.number for letter in letters])
    assert numbers == ([WHOLE_RECORD] if WHOLE_RECORD in numbers else list(range(len(numbers))))
    for letter in letters:
        assert_redelivers_itself(letter)
        assert letter.field is None or letter.field in native.NativeEvent.__struct_fields__
    for delivered in events:  # and what is let through is all right
        (again,), _ = decode(envelope.seal([delivered.event]))
        assert (again.event, again.register) == (delivered.event, delivered.register)


def test_a_record_with_one_bad_line_gives_the_others_as_if_they_were_alone() -> None:
    """Read all at once where all are good, else one by one: no event may tell the difference."""
    lines = [keyed(ADA.student_key, attempt=1), line(student_id="cleo"), keyed(BEN.student_key, attempt=2)]
    good, none = decode(b"\n".join([header(3, ADA, BEN), *lines]))
    assert (len(good), none) == (3, [])
    for bad in (
        b"{",
        b"[]",
        literal("item_id", b'"a\\u0000b"'),
        line(event_id="x" * 300),
        line(pad="x" * 2**16),
    ):
        found, (letter,) = decode(b"\n".join([header(4, ADA, BEN), lines[0], bad, *lines[1:]]))
        assert [(one.event, one.register) for one in found] == [(one.event, one.register) for one in good]
        assert ([one.number for one in found], letter.number) == ([0, 2, 3], 1)


@pytest.mark.parametrize(
    ("students", "reason"),
    [
        ({}, Reason.MISSING_FIELD),
        ({str(ADA.student_key): ""}, Reason.MISSING_FIELD),
        ({str(ADA.student_key): "not base64!"}, Reason.INVALID_FIELD),
        ({"nobody": "x", str(ADA.student_key): "AA$"}, Reason.INVALID_FIELD),
    ],
)
def test_a_pseudonym_counts_only_with_its_seal(students: dict[str, str], reason: Reason) -> None:
    first = json.dumps({"envelope": 1, "count": 1, "students": students}).encode()
    letter = only_letter(first + b"\n" + keyed(ADA.student_key))
    assert (letter.reason, letter.field) == (reason, "sealed_id")


# Batches: whole records cut into transactions.


def stream(shape: Sequence[Sequence[int]]) -> list[Record]:
    """A record for each list, an event for each number: of that student, or bad if negative."""
    return [
        Record(
            as_lines(*(line(student_id=f"s{n}", score="bad" if n < 0 else 1) for n in numbers)),
            Position(at),
            NOW,
        )
        for at, numbers in enumerate(shape, 1)
    ]


def cut(data: Iterable[Record], events: int = 2_000, keys: int = 1_000) -> list[Batch]:
    return list(batches("test", data, DECODER, Limits(events, keys)))


def outline(found: Iterable[Batch]) -> list[tuple[int, int, int]]:
    return [(batch.high.sequence, len(batch.events), len(batch.dead_letters)) for batch in found]


def pieces(batch: Batch) -> list[tuple[Position, int]]:
    """Where every event and dead letter of a batch stood, in that order."""
    found = [(delivered.position, delivered.number) for delivered in batch.events]
    return sorted(found + [(letter.position, letter.number) for letter in batch.dead_letters])


SHAPE = st.lists(st.lists(st.integers(-2, 6), min_size=1, max_size=12), max_size=8)


@given(SHAPE, st.integers(1, 8), st.integers(1, 5))
def test_however_records_are_cut(shape: list[list[int]], events: int, keys: int) -> None:
    data = stream(shape)
    found = cut(data, events, keys)
    whole = [decode(record.data, record.position) for record in data]

    # nothing is lost, doubled or out of order
    assert [d for batch in found for d in batch.events] == [d for delivered, _ in whole for d in delivered]
    assert [d for batch in found for d in batch.dead_letters] == [d for _, letters in whole for d in letters]
    assert sum(batch.read for batch in found) == sum(map(len, shape))
    placed = [*itertools.chain(*map(pieces, found))]
    assert placed == sorted(placed), "dead letters keep their place"
    # no transaction is empty or larger than it may be
    assert all(batch.read for batch in found)
    assert all(batch.read <= events and len(batch.keys) <= keys for batch in found)
    # the position never passes a record of which something is still to come (R1), and ends at the last
    assert [batch.high for batch in found] == sorted(batch.high for batch in found)
    for at, (batch, later) in enumerate(itertools.pairwise(found), 1):
        coming = min(itertools.chain(*map(pieces, found[at:])))
        assert batch.high < coming[0]
        # the marker moves with every part, and stays before what is still to come
        assert batch.reach < later.reach
        assert batch.reach <= coming[0]._replace(events=coming[1])
    assert not data or found[-1].high == data[-1].position


@pytest.mark.parametrize(
    ("shape", "events", "keys", "expected"),
    [
        ([], 3, 3, []),
        #  position   events  letters
        ([[1], [1], [1]], 3, 3, [(3, 3, 0)]),
        ([[1], [1], [1], [1]], 3, 3, [(3, 3, 0), (4, 1, 0)]),
        ([[1, 1], [1, 1]], 3, 3, [(1, 3, 0), (2, 1, 0)]),  # cut inside record 2: position 1 until its end
        ([[1, 1, 1, 1, 1]], 2, 9, [(-1, 2, 0), (-1, 2, 0), (1, 1, 0)]),  # larger than any transaction
        ([[1, 2, 3], [1, 2]], 9, 2, [(-1, 2, 0), (1, 2, 0), (2, 1, 0)]),  # the third student is one too many
        ([[1, 2, 1, 2, 1]], 9, 2, [(1, 5, 0)]),  # known students are not
        ([[-1], [1], [-1, -1]], 9, 9, [(3, 1, 3)]),
        ([[-1, -1], [1]], 2, 9, [(1, 0, 2), (2, 1, 0)]),  # letters fill a transaction too
        (
            [[-1, 1, 1, -1, 1]],
            2,
            9,
            [(-1, 1, 1), (-1, 1, 1), (1, 1, 0)],
        ),  # letters count, in their place
        ([[-1, -1, -1, -1, -1]], 2, 9, [(-1, 0, 2), (-1, 0, 2), (1, 0, 1)]),  # a record of nothing else
        ([[1, -1, 2, -1]], 9, 1, [(-1, 1, 1), (1, 1, 1)]),  # a letter after the last student that fits is in
    ],
)
def test_cuts_by_hand(
    shape: list[list[int]], events: int, keys: int, expected: list[tuple[int, int, int]]
) -> None:
    assert ORIGIN.sequence == -1
    assert outline(cut(stream(shape), events, keys)) == expected


def test_the_marker_of_a_part_stands_before_the_next_piece_whatever_it_is() -> None:
    found = cut(stream([[1], [-1, 1, -1, -1, 1]]), events=2)
    assert [batch.reach for batch in found] == [
        Position(2, events=1),
        Position(2, events=3),
        Position(2),
    ]
    assert outline(found) == [(1, 1, 1), (1, 1, 1), (2, 1, 1)]


def test_the_limits_of_the_protocol() -> None:
    assert Limits() == (2_000, 1_000)
    many = [score_event(f"s{n % 1_500}", attempt=n) for n in range(4_500)]
    data = [Record(data, Position(at), NOW) for at, data in enumerate(envelope.pack(many))]
    found = cut(data)
    assert [len(batch.keys) for batch in found] == [1_000] * 4 + [500]
    assert [d.event for batch in found for d in batch.events] == many
    assert {d.event.kind for batch in found for d in batch.events} == {Kind.SCORED}


def test_batches_are_made_as_they_are_asked_for() -> None:
    taken: list[int] = []

    def arriving() -> Iterable[Record]:
        for record in stream([[random.Random(4).randrange(9)]] * 5):
            taken.append(record.position.sequence)
            yield record

    first = next(batches("test", arriving(), DECODER, Limits(2, 9)))
    assert (first.high, taken) == (Position(2), [1, 2])
