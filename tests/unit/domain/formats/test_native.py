"""The native event: what is accepted and how, and what is refused with a reason and the field at fault."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import IDENTITY, NOW, minutes, score_event
from worker.domain import identity
from worker.domain.errors import Poison, Reason
from worker.domain.event import Kind, ScoreEvent
from worker.domain.formats import native
from worker.domain.formats.native import MAX_EVENT_BYTES

REALM = "north school"
KEY = UUID("8a1c8e1c-53d0-4a6b-9d5e-6e1b8c0f4a77")
MINIMAL = {
    "student_id": "ada",
    "course_id": "algebra",
    "item_id": "quiz-1",
    "score": 6,
    "max_score": 10,
    "occurred_at": "2026-03-02T11:00:00Z",
}
FULL = MINIMAL | {
    "attempt": 3,
    "event_id": "evt-7",
    "graded_at": "2026-03-02T11:30:00Z",
    "kind": "scored",
    "source": "moodle",
}
TRUSTED = {name: value for name, value in MINIMAL.items() if name != "student_id"} | {"student_key": str(KEY)}


def read(raw: bytes, *, sealed_id: str | None = None) -> ScoreEvent:
    wire = native.parse(raw)
    return native.canonical(wire, sealed_id=sealed_id, identity=IDENTITY, realm=REALM, arrived_at=NOW)


def event(base: Mapping[str, object] = MINIMAL, **fields: object) -> ScoreEvent:
    return read(json.dumps({**base, **fields}).encode())


def refusal(raw: bytes) -> tuple[Reason, str | None]:
    with pytest.raises(Poison) as caught:
        read(raw)
    return caught.value.reason, caught.value.field


def caught(base: Mapping[str, object], **fields: object) -> Poison | None:
    try:
        event(base, **fields)
    except Poison as poison:
        return poison
    return None


def literal(field: str, text: str | bytes) -> bytes:
    """An otherwise valid event with these very bytes as one field's value."""
    members = {name: json.dumps(value).encode() for name, value in FULL.items()}
    members[field] = text if isinstance(text, bytes) else text.encode()
    return b"{" + b",".join(json.dumps(name).encode() + b":" + v for name, v in members.items()) + b"}"


def test_a_minimal_event_and_its_defaults() -> None:
    student_key, sealed_id = IDENTITY.identify("ada", REALM)
    assert event() == ScoreEvent(
        student_key=student_key,
        sealed_id=sealed_id,
        course_id="algebra",
        item_id="quiz-1",
        score=6.0,
        max_score=10.0,
        occurred_at=NOW - timedelta(hours=1),
        graded_at=NOW - timedelta(hours=1),
        attempt=None,
        event_id=None,
        kind=Kind.SCORED,
        source="default",
    )


def test_every_field() -> None:
    found = event(FULL)
    assert (found.attempt, found.event_id, found.source) == (3, "evt-7", "moodle")
    assert found.graded_at == datetime(2026, 3, 2, 11, 30, tzinfo=UTC)


def test_what_is_not_on_the_list_is_dropped() -> None:
    assert event(name="Ada Lovelace", comment={"deep": ["free text"]}, envelope=1) == event()


@pytest.mark.parametrize("field", ["attempt", "event_id", "graded_at", "student_key", "sealed_id"])
def test_null_is_the_same_as_absent(field: str) -> None:
    assert event({**MINIMAL, field: None}) == event()


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("null", None),
        ("0", 0.0),
        ("-0", 0.0),
        ("-0.0", 0.0),
        ("1e-999", 0.0),
        ("7.25", 7.25),
        ("-3", -3.0),
        ("12.5e2", 1250.0),
        ("10000", 10_000.0),
        ("-10000", -10_000.0),
        ("0." + "3" * 5_000, 1 / 3),
    ],
)
def test_scores_that_are_accepted(text: str, score: float | None) -> None:
    assert read(literal("score", text)).score == score


@pytest.mark.parametrize("max_score", ["0", "0.0", "-0.0"])
@pytest.mark.parametrize("score", ["null", "0", "12"])
def test_a_task_without_points_is_accepted_with_any_score(score: str, max_score: str) -> None:
    raw = literal("score", score).replace(b'"max_score":10', b'"max_score":' + max_score.encode())
    assert read(raw).max_score == 0


NUMBERS_OF_NO_USE = ["true", "false", '"12"', '""', "[1]", "[]", "{}", "1e999", "-1e999", "1" * 5_000]


@pytest.mark.parametrize("field", ["score", "max_score"])
@pytest.mark.parametrize("text", [*NUMBERS_OF_NO_USE, "1000000.0001", "-1000000.0001"])
def test_a_score_of_the_wrong_type_or_size_is_refused(field: str, text: str) -> None:
    assert refusal(literal(field, text)) == (Reason.INVALID_FIELD, field)


@pytest.mark.parametrize("field", ["score", "max_score", "attempt"])
@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "nan", "+1", "01", "1.", ".5", "0x10", "1_0", "-"]
)
def test_numbers_that_json_does_not_know(field: str, text: str) -> None:
    assert refusal(literal(field, text)) == (Reason.NOT_JSON, None)


@pytest.mark.parametrize("text", ["null", "-1", "-0.001"])
def test_a_maximum_is_a_number_and_not_negative(text: str) -> None:
    assert refusal(literal("max_score", text)) == (Reason.INVALID_FIELD, "max_score")


@pytest.mark.parametrize("text", [*NUMBERS_OF_NO_USE, "-1", "1.5", str(2**63), str(2**64), "1e30"])
def test_an_attempt_is_a_whole_number_of_63_bits(text: str) -> None:
    assert refusal(literal("attempt", text)) == (Reason.INVALID_FIELD, "attempt")


@pytest.mark.parametrize(("text", "attempt"), [("0", 0), (str(2**63 - 1), 2**63 - 1)])
def test_the_ends_of_the_range_of_attempts(text: str, attempt: int) -> None:
    assert read(literal("attempt", text)).attempt == attempt


@pytest.mark.parametrize(
    ("score", "max_score", "accepted"),
    [
        (1_000, 1, True),
        (-1_000, 1, True),
        (1_000.5, 1, False),
        (-1_000.5, 1, False),
        (1e-5, 1e-9, False),
        (1e-320, 2e-323, True),
        (1e-320, 5e-324, False),
        (1e6, 1e3, True),
        (1e6, 999.9, False),
        (1e6, 0, True),
        (None, 1e-9, True),
    ],
)
def test_a_ratio_lies_within_a_thousand(score: float | None, max_score: float, *, accepted: bool) -> None:
    raw = json.dumps({**MINIMAL, "score": score, "max_score": max_score}).encode()
    if accepted:
        assert read(raw).score == score
    else:
        assert refusal(raw) == (Reason.RATIO_OUT_OF_RANGE, "score")


IDENTIFIERS = ["course_id", "item_id", "event_id", "source", "student_id"]


@pytest.mark.parametrize("field", IDENTIFIERS)
@pytest.mark.parametrize(
    "value", ["x", "x" * 256, "\U0001f393" * 256, " ", "a\nb", "\u2028\u0085\x7f", "\x01", "é"]
)
def test_identifiers_of_1_to_256_characters(field: str, value: str) -> None:
    found = event(FULL, **{field: value})
    if field == "student_id":
        assert IDENTITY.open(found.sealed_id) == (REALM, value)
    else:
        assert getattr(found, field) == value


@pytest.mark.parametrize("field", IDENTIFIERS)
@pytest.mark.parametrize(
    "text",
    [
        '""',
        '"' + "x" * 257 + '"',
        '"\\u0000"',
        '"a\\u0000b"',
        "1",
        "true",
        '["a"]',
        '{"a":1}',
        "[" * 50 + "]" * 50,
    ],
)
def test_identifiers_that_are_refused(field: str, text: str) -> None:
    assert refusal(literal(field, text)) == (Reason.INVALID_FIELD, field)


@pytest.mark.parametrize("field", ["source", "kind", "course_id", "item_id", "occurred_at"])
def test_these_fields_may_be_absent_or_given_but_not_null(field: str) -> None:
    assert refusal(literal(field, "null")) == (Reason.INVALID_FIELD, field)


@pytest.mark.parametrize("field", ["course_id", "item_id", "occurred_at", "score", "max_score", "student_id"])
def test_a_missing_field_is_named(field: str) -> None:
    rest = {name: value for name, value in FULL.items() if name != field}
    assert refusal(json.dumps(rest).encode()) == (Reason.MISSING_FIELD, field)


def test_student_id_null_is_missing() -> None:
    assert refusal(literal("student_id", "null")) == (Reason.MISSING_FIELD, "student_id")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:00-00:01", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-03-02T12:05:00Z", NOW + minutes(5)),
        ("2026-03-03T11:59:00+23:59", NOW),
        ("2026-03-01T12:01:00-23:59", NOW),
        ("2026-03-02t11:00:00z", NOW - minutes(60)),
        ("2026-03-02 11:00:00Z", NOW - minutes(60)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        # more than six digits are rounded, half up
        ("2026-03-02T11:00:00.0000005Z", NOW - minutes(60) + timedelta(microseconds=1)),
        ("2026-03-02T11:00:00.00000049999Z", NOW - minutes(60)),
        ("2026-03-02T11:00:00.9999995Z", NOW - minutes(60) + timedelta(seconds=1)),
        ("1969-12-31T23:59:59.9999999Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("field", ["occurred_at", "graded_at"])
def test_times_that_are_accepted(field: str, text: str, moment: datetime) -> None:
    found = event(FULL, **{field: text})
    assert getattr(found, field) == moment
    assert getattr(found, field).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "2026-03-02T12:05:00.000001Z",
        "2026-03-02T12:05:00-00:01",
        "2262-04-12T00:00:00Z",
        # astimezone() would overflow on these
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00-23:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
@pytest.mark.parametrize("field", ["occurred_at", "graded_at"])
def test_times_out_of_range(field: str, text: str) -> None:
    assert refusal(literal(field, json.dumps(text))) == (Reason.TIME_OUT_OF_RANGE, field)


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-02T11:00:00",  # naive
        "2026-03-02 11:00:00",
        "2026-03-02",
        "2026-03-02T11:00Z",
        "2026-03-02T11:00:60Z",
        "2026-03-02T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",  # rounds into the year 10000
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026-03-02T11:00:00+24:00",
        "2026-03-02T11:00:00 Z",
        " 2026-03-02T11:00:00Z",
        "2026-03-02T11:00:00,5Z",
        "٢٠٢٦-03-02T11:00:00Z",
        "1772449200",
        "yesterday",
        "",
        1772449200,
        1772449200.5,
        True,
        [],
        {},
    ],
)
@pytest.mark.parametrize("field", ["occurred_at", "graded_at"])
def test_what_is_no_time(field: str, value: object) -> None:
    assert refusal(literal(field, json.dumps(value))) == (Reason.INVALID_FIELD, field)


def test_the_present_is_that_of_the_arrival() -> None:
    wire = native.parse(json.dumps(MINIMAL).encode())
    with pytest.raises(Poison, match="time_out_of_range: occurred_at"):
        native.canonical(wire, sealed_id=None, identity=IDENTITY, realm="r", arrived_at=NOW - minutes(66))


@pytest.mark.parametrize(
    "score", [{}, {"score": 5}, {"score": None, "max_score": 10}, {"score": 1e6, "max_score": 1}]
)
def test_a_void_needs_no_score_and_carries_none(score: dict[str, object]) -> None:
    bare = {name: value for name, value in MINIMAL.items() if name not in ("score", "max_score")}
    found = event(bare, kind="voided", attempt=1, **score)
    assert (found.kind, found.score, found.max_score) == (Kind.VOIDED, None, 0.0)


def test_a_void_is_still_checked() -> None:
    raw = json.dumps({**MINIMAL, "kind": "voided", "score": "five"}).encode()
    assert refusal(raw) == (Reason.INVALID_FIELD, "score")


@pytest.mark.parametrize("kind", ['"deleted"', '"Scored"', '""', "0", "true", "[]"])
def test_an_unknown_kind(kind: str) -> None:
    assert refusal(literal("kind", kind)) == (Reason.INVALID_FIELD, "kind")


SEALED = IDENTITY.identify("ada", "elsewhere").sealed_id


@pytest.mark.parametrize(
    ("own", "header"),
    [
        (identity.text(SEALED), None),
        (None, identity.text(SEALED)),
        (identity.text(SEALED), "AAAA"),  # the nearer one
        (identity.text(SEALED) + "=" * (-len(identity.text(SEALED)) % 4), None),
    ],
)
def test_a_trusted_producer_sends_the_pseudonym_and_the_sealed_id(
    own: str | None, header: str | None
) -> None:
    raw = json.dumps({**TRUSTED, "sealed_id": own}).encode()
    found = read(raw, sealed_id=header)
    assert (found.student_key, found.sealed_id) == (KEY, SEALED)


@pytest.mark.parametrize("header", [None, ""])
def test_a_pseudonym_alone_is_not_enough(header: str | None) -> None:
    with pytest.raises(Poison, match="missing_field: sealed_id"):
        read(json.dumps(TRUSTED).encode(), sealed_id=header)
    with pytest.raises(Poison, match="missing_field: sealed_id"):  # not even beside a raw id
        read(json.dumps(TRUSTED | MINIMAL).encode(), sealed_id=header)


def test_where_both_are_given_the_pseudonym_stands() -> None:
    found = read(json.dumps(TRUSTED | MINIMAL).encode(), sealed_id=identity.text(SEALED))
    assert (found.student_key, found.sealed_id) == (KEY, SEALED)


@pytest.mark.parametrize("sealed", ["A", "====", "not base64!", "é", "AAAA\n", "x" * 2049, "", 5, ["AAAA"]])
def test_a_sealed_id_that_is_no_base64(sealed: object) -> None:
    raw = json.dumps({**TRUSTED, "sealed_id": sealed}).encode()
    assert refusal(raw) == (Reason.INVALID_FIELD, "sealed_id")


@pytest.mark.parametrize("key", ["", "x", str(KEY)[:-1], str(KEY) + "0", f"{{{KEY}}}", 5, [str(KEY)]])
def test_a_student_key_that_is_no_uuid(key: object) -> None:
    raw = json.dumps({**TRUSTED, "student_key": key, "sealed_id": "AAAA"}).encode()
    assert refusal(raw) == (Reason.INVALID_FIELD, "student_key")


@pytest.mark.parametrize("key", [str(KEY).upper(), KEY.hex])
def test_other_spellings_of_a_uuid_are_the_same_student(key: str) -> None:
    raw = json.dumps({**TRUSTED, "student_key": key, "sealed_id": "AAAA"}).encode()
    assert read(raw).student_key == KEY
    assert native.student_of(raw) == KEY


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        json.dumps(MINIMAL).encode() * 2,
        json.dumps(MINIMAL).encode() + b",",
        b"{'a':1}",
        b'{"a":1,}',
        b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode(),
        json.dumps(MINIMAL).encode("utf-16"),
        json.dumps(MINIMAL).encode()[:-1],
        literal("more", "[" * 20_000 + "]" * 20_000),
        literal("more", '{"a":' * 5_000 + "1" + "}" * 5_000),
        # escapes without their other half, and control characters as they are
        literal("item_id", rb'"\ud800"'),
        literal("item_id", rb'"\udc00\ud800"'),
        literal("more", rb'"\ud83c"'),
        literal("item_id", b'"a\nb"'),
        literal("item_id", b'"a\rb"'),
        literal("item_id", b'"\x00"'),
        literal("more", b'"a\x0bb"'),
        literal("item_id", rb'"\x41"'),
    ],
)
def test_what_is_not_json(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError:
        assert refusal(raw) == (Reason.INVALID_UTF8, None)
    else:
        assert refusal(raw) == (Reason.NOT_JSON, None)


@pytest.mark.parametrize("raw", [b"null", b"true", b"17", b'"text"', b"[]", b"[{}]"])
def test_json_that_is_no_event(raw: bytes) -> None:
    assert refusal(raw) == (Reason.INVALID_FIELD, None)


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe2\x80", b"\xf5\x80\x80\x80"])
def test_invalid_utf8_matters_where_it_is_read(bad: bytes) -> None:
    text = b'"a' + bad + b'"'
    assert refusal(literal("course_id", text)) == (Reason.INVALID_UTF8, None)
    assert refusal(literal("course_id", text)[:-1]) == (Reason.INVALID_UTF8, None)
    assert read(literal("comment", text)) == event(FULL)  # dropped unread


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES, MAX_EVENT_BYTES + 1, 2 * 1024 * 1024])
def test_an_event_has_64_kib_at_most(size: int) -> None:
    raw = literal("comment", '"' + "x" * (size - len(literal("comment", '""'))) + '"')
    assert len(raw) == size
    if size <= MAX_EVENT_BYTES:
        assert read(raw) == event(FULL)
    else:
        assert refusal(raw) == (Reason.EVENT_TOO_LARGE, None)


def test_of_a_field_given_twice_the_last_counts() -> None:
    twice = json.dumps(MINIMAL)[:-1] + ', "score": 7, "course_id": "geometry"}'
    found = read(twice.encode())
    assert (found.score, found.course_id) == (7.0, "geometry")


CANARY = "canary_7f3a"
TRICKS = [
    CANARY,
    f"required field `{CANARY}`",
    f"Object missing required field `{CANARY}`",
    f"x - at `$.{CANARY}`",
    "x - at `$.course_id`",
    f"`$.{CANARY}",
    f"\n - at `$.{CANARY}`\n",
    CANARY * 40,
]


@pytest.mark.parametrize("field", [*FULL, "student_key", "sealed_id"])
@pytest.mark.parametrize("trick", TRICKS)
def test_a_refusal_quotes_no_value_and_names_the_right_field(field: str, trick: str) -> None:
    for value in (trick, [trick], {trick: trick}, {"score": {trick: 1}}):
        poison = caught(FULL, **{field: value})
        if poison is None:
            assert field in (*IDENTIFIERS, "sealed_id")  # a text is what they are
            continue
        assert CANARY not in f"{poison} {poison!r} {poison.reason} {poison.field} {poison.args}"
        assert poison.field == field


@pytest.mark.parametrize("trick", TRICKS)
def test_a_refusal_names_no_unknown_field(trick: str) -> None:
    assert refusal(json.dumps({trick: 1}).encode()) == (Reason.MISSING_FIELD, "course_id")
    assert refusal(json.dumps({**FULL, trick: trick, "score": "x"}).encode()) == (
        Reason.INVALID_FIELD,
        "score",
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"17",
        b"[]",
        b"{}",
        b'{"student_key":1}',
        b'{"student_key":"x"}',
        b'{"student_key":"\xff"}',
        b"[" * 10**5,
    ],
)
def test_no_student_can_be_told_from_these(raw: bytes) -> None:
    with pytest.raises(Poison, match="missing_field: student_key"):
        native.student_of(raw)


def test_the_student_of_an_event_that_is_otherwise_not_valid() -> None:
    raw = literal("comment", b'"\xff"')[:-1] + b',"student_key":"%s","score":[]}' % str(KEY).encode()
    assert native.student_of(raw) == KEY


IDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=256)
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


@given(VALID)
def test_what_is_encoded_is_read_back(valid: ScoreEvent) -> None:
    line = native.encode(valid)
    assert b"\n" not in line
    assert read(line, sealed_id=identity.text(valid.sealed_id)) == valid


@given(VALID)
def test_an_encoded_event_holds_the_pseudonym_and_nothing_else_of_the_student(valid: ScoreEvent) -> None:
    members = msgspec.json.decode(native.encode(valid))
    assert members["student_key"] == str(valid.student_key)
    assert not members.keys() & {"student_id", "sealed_id"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"attempt": 2, "event_id": "e-1", "graded_at": "2026-03-02T12:00:00+02:00"},
        {"score": None},
        {"score": 7, "attempt": 3.0},
        {"kind": "voided"},
        {"score": "7"},
        {"score": True},
        {"score": 2e6},
        {"max_score": -1},
        {"attempt": 1.5},
        {"attempt": -1},
        {"attempt": 2**64},
        {"student_id": 7},
        {"student_id": ""},
        {"course_id": "a\0b"},
        {"occurred_at": "2026-03-02"},
        {"occurred_at": "2026-03-02T12:00:00"},
        {"occurred_at": 1772452800},
        {"occurred_at": None},
        {"kind": "deleted"},
        {"nobody": "asked"},
    ],
)
def test_fields_are_judged_as_their_json_is(fields: dict[str, object]) -> None:
    row = {"student_id": "s", "course_id": "c", "item_id": "i", "score": 1.5, "max_score": 2}
    row |= {"occurred_at": "2026-03-02T11:00:00Z", **fields}

    def judged(read: Callable[[], native.NativeEvent]) -> native.NativeEvent | tuple[object, object]:
        try:
            return read()
        except Poison as poison:
            return poison.reason, poison.field

    assert judged(lambda: native.from_fields(row)) == judged(lambda: native.parse(json.dumps(row).encode()))
