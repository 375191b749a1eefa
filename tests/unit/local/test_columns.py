"""The columns language: every kind of right side, and every complaint at once."""

import pytest

from worker.local.columns import FIELDS, ColumnsError, event_mapper

NAMES = ("student_id", "course_id", "item_id", "score", "max_score", "occurred_at")
ROW = dict(zip(NAMES, ("s1", "c1", "q1", "7", "10", "2026-03-01T10:00:00Z"), strict=True))


def mapped(spec: str, **row: object) -> dict[str, object]:
    full = {**ROW, **row}
    return event_mapper(spec, list(full), typed=False)([*full.values()])


def mapped_json(spec: str, **row: object) -> dict[str, object]:
    full = {**ROW, **row}
    return event_mapper(spec, list(full), typed=True)(full)


def test_fields_are_taken_from_columns_of_their_own_name() -> None:
    assert mapped("") == {**ROW, "score": 7, "max_score": 10}


def test_a_column_a_template_and_a_fixed_value() -> None:
    event = mapped(
        "student_id=who, course_id={m}-{y}, max_score=50.5, source=lms", who="ann", m="AAA", y="2013J"
    )
    assert (event["student_id"], event["course_id"]) == ("ann", "AAA-2013J")
    assert (event["max_score"], event["source"]) == (50.5, "lms")


def test_a_column_comes_before_a_fixed_value_and_before_a_template() -> None:
    assert mapped("max_score=100", **{"100": "20"})["max_score"] == 20
    assert mapped("item_id={q}", **{"{q}": "odd", "q": "even"})["item_id"] == "odd"


def test_a_comma_inside_braces_belongs_to_the_column() -> None:
    assert mapped("item_id={q, r}%s", **{"q, r": "5"})["item_id"] == "5%s"


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("{start}+{day}d", "2013-10-04T00:00:00Z"),
        ("start+{day}d", "2013-10-04T00:00:00Z"),
        ("{start} - {day}d", "2013-09-28T00:00:00Z"),
        ("{start}-{before}d", "2013-10-09T00:00:00Z"),
        ("{start}T{hour}:30", "2013-10-01T09:30:00Z"),
        ("start+10d", "2013-10-11T00:00:00Z"),
        ("start+{day}d-1d", "2013-10-03T00:00:00Z"),
        ("2014-01-31+{day}d", "2014-02-03T00:00:00Z"),
        ("2014-01-31", "2014-01-31T00:00:00Z"),
        ("{start}+{half}d", "2013-10-01T12:00:00Z"),
        ("{start}+{word}d", "2013-10-01+soond"),
        ("{word}+{day}d", "soon+3d"),
        ("{start}+{vast}d", "2013-10-01+999999999d"),
        ("{start}+{none}d", ""),
        ("zoned+{day}d", "2013-10-04T08:00:00+02:00"),
    ],
)
def test_days_are_added_to_a_date(side: str, expected: str) -> None:
    cells = {"start": "2013-10-01", "day": "3", "before": "-8", "half": "0.5", "hour": "09", "word": "soon"}
    cells |= {"vast": "999999999", "none": " ", "zoned": "2013-10-01 08:00+02:00"}
    assert mapped(f"occurred_at={side}", **cells)["occurred_at"] == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01 09:05", "2026-03-01T09:05:00Z"),
        ("2026-03-01T09:05:01.5", "2026-03-01T09:05:01.500000Z"),
        ("2026-03-01T09:05:01+00:00", "2026-03-01T09:05:01+00:00"),
        ("2026-03-01T09:05-05:00", "2026-03-01T09:05:00-05:00"),
        ("2026-02-30", "2026-02-30"),
        ("2026-02-30T09:05:01+00:00", "2026-02-30T09:05:01+00:00"),
        ("20260301", "20260301"),
        ("1772323200", "1772323200"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_a_time_without_an_offset_is_utc_and_other_text_stays(cell: str, expected: str) -> None:
    assert mapped("", occurred_at=cell)["occurred_at"] == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("7", 7),
        (" 7.50 ", 7.5),
        ("-.5e1", -5.0),
        ("", None),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1e999", "1e999"),
        ("7,5", "7,5"),
        ("1_000", "1_000"),
        ("\u0667", "\u0667"),
        ("absent", "absent"),
    ],
)
def test_a_score_is_a_number_or_null_or_the_text_it_was(cell: str, expected: object) -> None:
    value = mapped("", score=cell)["score"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("cell", "expected"), [("3", 3), ("3.0", 3), ("3.5", "3.5"), ("9" * 30, "9" * 30)])
def test_an_attempt_is_a_whole_number_or_the_text_it_was(cell: str, expected: object) -> None:
    value = mapped("", attempt=cell)["attempt"]
    assert value == expected
    assert type(value) is type(expected)


def test_empty_optional_cells_are_absent_and_empty_required_ones_are_not_hidden() -> None:
    event = mapped(
        "graded_at={d}+{n}d", d="2026-01-01", n="", attempt="", event_id=" ", kind="", max_score=""
    )
    assert event == {**ROW, "score": 7, "max_score": ""}


def test_json_values_keep_their_types() -> None:
    row = {"score": "7", "max_score": 10.0, "attempt": None, "student_id": 5, "occurred_at": "2026-03-01"}
    assert mapped_json("", **row) == {
        **ROW,
        "score": "7",
        "max_score": 10.0,
        "student_id": 5,
        "occurred_at": "2026-03-01T00:00:00Z",
    }
    assert mapped_json("student_id={student_id}", student_id=5)["student_id"] == "5"
    assert mapped_json("", score=None)["score"] is None


def test_a_key_that_an_object_lacks_is_absent() -> None:
    to_event = event_mapper("", NAMES, typed=True)
    assert to_event({"student_id": "s", "kind": "voided"}) == {"student_id": "s", "kind": "voided"}


def test_everything_wrong_is_said_at_once_with_the_columns_of_the_file() -> None:
    spec = "studentid=a, course_id={mod}-{term}, max_score=full, occurred_at=noon, score, item_id=b}"
    with pytest.raises(ColumnsError) as caught:
        event_mapper(spec + ", max_score=5", ["a", "b", "b", "mod"], typed=False)
    assert str(caught.value).splitlines() == [
        "the columns of the file do not give an event:",
        f"  - 'studentid' is not a field (fields: {', '.join(FIELDS)})",
        "  - 'score' is not of the form field=column",
        "  - max_score is given twice",
        "  - student_id: no such column; say where it comes from (student_id=...)",
        "  - course_id: {term} is not a column of the file",
        "  - item_id: a brace in 'b}' has no partner",
        "  - score: no such column; say where it comes from (score=...)",
        "  - max_score: 'full' is not a column of the file",
        "  - occurred_at: 'noon' is not a column of the file",
        "columns of the file: a, b, b, mod",
    ]


@pytest.mark.parametrize("spec", ["student_id=id_studnet", "score=5", "attempt=try", "graded_at={d}+{x}d"])
def test_a_fixed_value_that_can_only_be_a_mistyped_column_is_refused(spec: str) -> None:
    with pytest.raises(ColumnsError, match="is not a column of the file"):
        mapped(spec, d="2026-01-01")


def test_a_column_that_is_there_twice_is_refused_when_it_is_used() -> None:
    columns = [*NAMES, "note", "note"]
    event_mapper("", columns, typed=False)
    with pytest.raises(ColumnsError, match="item_id: the file has more than one column 'note'"):
        event_mapper("item_id=note", columns, typed=False)
