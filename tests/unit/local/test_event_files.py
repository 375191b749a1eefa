"""Files of attempts: four formats, one result; nothing a file holds is lost on the way."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard

from worker.local.columns import ColumnsError
from worker.local.event_files import FileEvent, Share, read_events

HEADER = "student_id,course_id,item_id,attempt,score,max_score,occurred_at,graded_at"
OBJECT = '{"student_id":"s","course_id":"c","item_id":"q","score":1,"max_score":2,"occurred_at":"2026-03-01"}'
Write = Callable[[str, str | bytes], Path]

OULAD_COLUMNS = (
    "student_id=id_student, course_id={code_module}-{code_presentation}, item_id=id_assessment,"
    "max_score=100, occurred_at={presentation_start}+{submitted_day}d"
)
# Invented rows in the shape of the Open University's table, for machines that do not have it.
OULAD_LIKE = """\
code_module,code_presentation,presentation_start,id_assessment,assessment_type,weight,due_day,id_student,submitted_day,is_banked,score
ZZZ,2013B,2013-02-01,100,TMA,12.5,19,7000001,-8,0,66
ZZZ,2013J,2013-10-01,101,CMA,0.0,,7000002,100,0,
ZZZ,2013J,2013-10-01,101,Exam,100.0,222,7000001,222,1,100
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: str | bytes) -> Path:
        raw = content if isinstance(content, bytes) else content.encode()
        path = tmp_path / name
        if path.suffix == ".gz":
            raw = gzip.compress(raw)
        elif path.suffix == ".zst":
            raw = zstandard.compress(raw)
        path.write_bytes(raw)
        return path

    return written


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "A.CSV"])
def test_a_csv_row_is_a_native_event(write: Write, name: str) -> None:
    rows = f"{HEADER}\ns1,c1,q1,2,7.5,10,2026-03-01,\n\ns2,c1,q1,,,10,2026-03-01T08:00:00Z,2026-03-02\n"
    assert list(read_events(write(name, rows))) == [
        FileEvent(
            2,
            {
                "student_id": "s1",
                "course_id": "c1",
                "item_id": "q1",
                "attempt": 2,
                "score": 7.5,
                "max_score": 10,
                "occurred_at": "2026-03-01T00:00:00Z",
            },
        ),
        FileEvent(
            4,
            {
                "student_id": "s2",
                "course_id": "c1",
                "item_id": "q1",
                "score": None,
                "max_score": 10,
                "occurred_at": "2026-03-01T08:00:00Z",
                "graded_at": "2026-03-02T00:00:00Z",
            },
        ),
    ]


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz", "a.ndjson.zst"])
def test_an_ndjson_object_goes_through_the_same_columns(write: Write, name: str) -> None:
    row = {
        "who": "s1",
        "course_id": "c1",
        "item_id": "q1",
        "score": 7,
        "max_score": 10,
        "occurred_at": "2026-03-01",
    }
    lines = orjson.dumps(row) + b"\n \n" + orjson.dumps({**row, "kind": "voided", "note": "x"})
    first = {**row, "student_id": "s1", "occurred_at": "2026-03-01T00:00:00Z"}
    del first["who"]
    expected = [FileEvent(1, first), FileEvent(3, {**first, "kind": "voided"})]
    assert list(read_events(write(name, lines), "student_id=who")) == expected


def test_csv_rows_that_are_none_come_out_as_their_bytes_and_the_rest_goes_through(write: Write) -> None:
    good = b"s1,c1,q1,1,7,10,2026-03-01,"
    bad = [
        b"s1,c1",
        b"s1,c1,q1,1,7,10,2026-03-01,,",
        b"s\xff,c1,q1,1,7,10,2026-03-01,",
        b'"s1"x,c1,q1,1,7,10,,',
    ]
    lines = [HEADER.encode(), good, bad[0], good, bad[1], bad[2], good, bad[3], good]
    rows = list(read_events(write("a.csv", b"\r\n".join(lines))))
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [row.event for row in rows if isinstance(row.event, bytes)] == bad
    assert len([row for row in rows if isinstance(row.event, dict)]) == 4


def test_a_quote_that_never_closes_hides_nothing(write: Write) -> None:
    rest = b's1,c1,q1,1,7,10,2026-03-01,"\ns2,c1,q1,1,7,10,2026-03-01,'
    assert list(read_events(write("a.csv", HEADER.encode() + b"\n" + rest))) == [FileEvent(2, rest)]


def test_a_cell_may_span_lines_and_the_line_is_where_the_row_begins(write: Write) -> None:
    row = 's1,c1,"a\nb",1,7,10,2026-03-01,\n'
    rows = list(read_events(write("a.csv", f"{HEADER}\n{row}{row}")))
    assert [(row.line, isinstance(row.event, dict) and row.event["item_id"]) for row in rows] == [
        (2, "a\nb"),
        (4, "a\nb"),
    ]


@pytest.mark.parametrize("above", [997, 998, 999, 1_000, 1_998])
def test_rows_are_the_same_wherever_a_block_of_lines_ends(write: Write, above: int) -> None:
    plain = "s1,c1,q1,1,7,10,2026-03-01,\n"
    odd = ['s1,c1,"a\nb\nc",1,7,10,2026-03-01,\n', "s1,c1\n", "\n", '"s1"x,c1,q1,1,7,10,,\n']
    rows = list(read_events(write("a.csv", f"{HEADER}\n{plain * above}{''.join(odd)}{plain * 3}")))
    assert [row.line for row in rows] == [*range(2, above + 3), above + 5, *range(above + 7, above + 11)]
    assert [row.line for row in rows if isinstance(row.event, bytes)] == [above + 5, above + 7]
    first, *_ = (row.event for row in rows if row.line == above + 2)
    assert isinstance(first, dict)
    assert first["item_id"] == "a\nb\nc"


@pytest.mark.parametrize("columns", ["", "student_id={student_id}-{course_id}"])
@pytest.mark.parametrize("name", ["a.csv", "quoted.csv", "a.ndjson"])
def test_those_who_share_a_file_read_every_row_once(write: Write, name: str, columns: str) -> None:
    def line(number: int) -> str:
        student, item = f"s{number % 40}", "a\nb" if number % 900 == 1 and name == "quoted.csv" else "q"
        if number % 100 == 7:
            return "s7,c" if name.endswith(".csv") else "[1]"
        if name.endswith(".csv"):
            return (
                f'{student},c,"{item}",1,1,2,2026-03-01,'
                if "\n" in item
                else f"{student},c,q,1,1,2,2026-03-01,"
            )
        return OBJECT.replace('"s"', f'"{student}"')

    rows = "".join(f"{line(n)}\n" for n in range(2_500))
    path = write(name, f"{HEADER}\n{rows}" if name.endswith(".csv") else rows)
    whole = [*read_events(path, columns)]
    parts = [[*read_events(path, columns, Share(number, 3))] for number in range(3)]
    students = [{row.event["student_id"] for row in part if isinstance(row.event, dict)} for part in parts]
    assert all(students)
    assert len(set.union(*students)) == sum(map(len, students)) == 40
    assert [isinstance(row.event, bytes) for part in parts[1:] for row in part].count(True) == 0
    assert sorted((row for part in parts for row in part), key=lambda row: row.line) == whole


def test_ndjson_lines_that_are_no_objects_come_out_as_their_bytes(write: Write) -> None:
    bad = [b"[1]", b"17", b'{"score": NaN}', b"\xff{}", b"{"]
    rows = list(read_events(write("a.ndjson", b"\r\n".join([*bad, OBJECT.encode()]))))
    assert [row.event for row in rows[:5]] == bad
    assert isinstance(rows[5].event, dict)


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
def test_a_byte_order_mark_is_no_content(write: Write, name: str) -> None:
    csv = f"{HEADER}\ns,c,q,1,1,2,2026-03-01,\n"
    [row] = read_events(write(name, "\ufeff" + (csv if name == "a.csv" else OBJECT)))
    assert isinstance(row.event, dict)
    assert row.event["student_id"] == "s"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", ""),
        ("a.csv", "\n"),
        ("a.csv", '"open'),
        ("a.csv", "student_id;score\n"),
        ("a.ndjson", ""),
        ("a.ndjson", "[]\n{\n"),
    ],
)
def test_a_file_without_the_columns_is_refused_before_a_row_is_read(
    write: Write, name: str, content: str
) -> None:
    with pytest.raises(ColumnsError, match="columns of the file: "):
        read_events(write(name, content))


def test_an_optional_key_may_appear_late_in_the_file(write: Write) -> None:
    row = {
        "student_id": "s",
        "course_id": "c",
        "item_id": "q",
        "score": 1,
        "max_score": 2,
        "occurred_at": "2026-03-01",
    }
    lines = [orjson.dumps(row)] * 1_500 + [orjson.dumps({**row, "attempt": 3})]
    *_, last = read_events(write("a.ndjson", b"\n".join(lines)))
    assert isinstance(last.event, dict)
    assert last.event["attempt"] == 3


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scores\.xlsx: .* \.csv, \.csv\.gz, \.csv\.zst, \.ndjson,"):
        read_events(tmp_path / "scores.xlsx")


def test_a_missing_file_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "scores.csv")


@pytest.mark.parametrize(("name", "pack"), [("a.csv.gz", gzip.compress), ("a.csv.zst", zstandard.compress)])
def test_a_file_cut_short_is_an_error_and_not_its_end(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    rows = "".join(f"s{i},c,q,1,1,2,2026-03-01,\n" for i in range(50_000))
    path.write_bytes(pack(f"{HEADER}\n{rows}".encode())[:-1_000])
    with pytest.raises(EOFError):
        list(read_events(path))


def test_a_zstd_file_may_have_many_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.zst"
    path.write_bytes(b"".join(zstandard.compress(OBJECT.encode() + b"\n") for _ in range(500)))
    assert [row.line for row in read_events(path)] == list(range(1, 501))


@pytest.mark.parametrize("content", [b"student_id,score\n", zstandard.compress(b"[]\n") + b"rubbish"])
def test_a_damaged_zstd_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ndjson.zst"
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged"):
        read_events(path)


def test_the_open_university_table_gives_every_row_with_its_null_scores(write: Write) -> None:
    given = os.environ.get("OULAD_SCORES")
    path, rows, nulls = (Path(given), 173_912, 173) if given else (write("oulad.csv.gz", OULAD_LIKE), 3, 1)
    events = [row.event for row in read_events(path, OULAD_COLUMNS)]
    assert len(events) == rows
    kept = [event for event in events if isinstance(event, dict)]
    assert len(kept) == rows
    assert sum(event["score"] is None for event in kept) == nulls
    assert len({(event["student_id"], event["item_id"]) for event in kept}) == rows
    assert {event["max_score"] for event in kept} == {100}
    assert kept[0]["occurred_at"] == "2013-01-24T00:00:00Z"
