"""The columns language: how the columns of somebody's file become the fields of a native event.

Every platform exports under other names, few write a date the way the stream wants it, and some only
count days since a term began. A short text says where each field comes from, so that nobody has to
rewrite a file of a million rows before they can try it:

    student_id=id_student, course_id={module}-{term}, occurred_at={term_start}+{day}d, max_score=100

The right side is a column; or a template with {column} in it; for the two times also either of them with
+{column}d or -3d behind it, which adds days; or, where the file has no such column, a fixed value. A field
that is not named is taken from the column of its own name. A field is empty when all columns of its
template are; a time also when one part of its sum is. In JSON a plain column keeps its type, a template
makes text of it: student_id={id} is the way to send a numeric id.

Values are never mended: what is not a number or a date goes on as it stands and becomes a dead letter,
which is where its owner will look for it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import repeat
from math import isfinite
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

REQUIRED = ("student_id", "course_id", "item_id", "score", "max_score", "occurred_at")
OPTIONAL = ("attempt", "graded_at", "event_id", "kind", "source")
FIELDS = REQUIRED + OPTIONAL
_NUMBERS = frozenset({"attempt", "score", "max_score"})
_TIMES = frozenset({"occurred_at", "graded_at"})
_NEVER_FIXED = frozenset({"student_id", "score"})  # one value for all rows can only be a mistyped column

_ENTRY = re.compile(r"(?:\{[^{}]*\}|[^,])+")
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_DAYS = re.compile(r"(?P<base>.+?)\s*(?P<sign>[+-])\s*(?P<days>\{[^{}]+\}|[0-9]+)d")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].+)?")
_UTC = "+00:00"
_IN_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|\+00:00)")
_ABSENT = object()
_CELLS = 1 << 14
_DATE = len("2026-03-02")

Object: TypeAlias = Mapping[str, object]
Cells: TypeAlias = Sequence[str]
Row: TypeAlias = Any
"""An `Object`, or `Cells` in the order of the columns."""
ToEvent: TypeAlias = Callable[[Row], dict[str, object]]
ToStudent: TypeAlias = Callable[[Row], object]


class ColumnsError(ValueError):
    """The columns of a file do not give an event; the text lists all that is wrong and the file's columns."""

    def __init__(self, problems: Sequence[str], columns: Sequence[str]) -> None:
        lines = ["the columns of the file do not give an event:", *(f"  - {problem}" for problem in problems)]
        super().__init__("\n".join([*lines, f"columns of the file: {', '.join(columns) or 'none'}"]))


def event_mapper(spec: str, columns: Sequence[str], *, typed: bool) -> ToEvent:
    """Compile a columns text for a file.

    Args:
        spec: the columns text; empty when the file uses the names of the fields.
        columns: the names in the file's header, or the keys seen in its first objects.
        typed: the rows are JSON objects, whose values keep their types; otherwise they are cells, one for
            each of the columns.

    Returns:
        A function from one row to one native event. Times come out as RFC 3339, without an offset as UTC.

    Raises:
        ColumnsError: an entry names no field or no column, or a required field has none.
    """
    problems: list[str] = []
    sides = _right_sides(spec, problems)
    table = _Table(columns, typed)
    takes: dict[str, _Take] = {}
    for field in FIELDS:
        if field in OPTIONAL and field not in sides and field not in columns and not typed:
            continue  # an object further on may still have it, a row of cells cannot
        try:
            takes[field] = _take(field, sides.get(field), table)
        except ValueError as problem:
            problems.append(f"{field}: {problem}")
    if problems:
        raise ColumnsError(problems, columns)
    return _mapper(takes, table)


def student_mapper(spec: str, columns: Sequence[str], *, typed: bool) -> ToStudent:
    """What names the student of a row, of columns that give an event; see `event_mapper`."""
    column, make = _take("student_id", _right_sides(spec, []).get("student_id"), _Table(columns, typed))
    if column is None and make is not None:
        return make
    name = column or "student_id"
    return partial(_value, name) if typed else itemgetter(columns.index(name))


def _mapper(takes: Mapping[str, "_Take"], table: "_Table") -> ToEvent:
    """All fields that are one column's value at once, for most are; then what is made of some."""
    plain = {field: take.column for field, take in takes.items() if take.column is not None}
    pick = table.picker([*plain.values()])
    made = [(field, take.make) for field, take in takes.items() if field in plain and take.make is not None]
    whole = [(field, take.make) for field, take in takes.items() if take.column is None and take.make]

    def to_event(row: Row) -> dict[str, object]:
        event: dict[str, object] = dict(zip(plain, pick(row), strict=True))
        for field, make in made:
            value = event[field] = make(event[field])
            if value is _ABSENT:
                del event[field]
        for field, make_of in whole:
            if (value := make_of(row)) is not _ABSENT:
                event[field] = value
        return event

    return to_event


def _right_sides(spec: str, problems: list[str]) -> dict[str, str]:
    sides: dict[str, str] = {}
    for entry in filter(None, map(str.strip, _ENTRY.findall(spec))):
        field, equals, side = (part.strip() for part in entry.partition("="))
        if not equals or not side:
            problems.append(f"'{entry}' is not of the form field=column")
        elif field not in FIELDS:
            problems.append(f"'{field}' is not a field (fields: {', '.join(FIELDS)})")
        elif field in sides:
            problems.append(f"{field} is given twice")
        else:
            sides[field] = side
    return sides


class _Take(NamedTuple):
    """What makes a field: of one column's value, or where that is None of the whole row; as it is without."""

    column: str | None
    make: Callable[[Any], object] | None


class _Table(NamedTuple):
    """The columns of a file, and whether its rows are objects."""

    columns: Sequence[str]
    typed: bool

    def picker(self, columns: Sequence[str]) -> Callable[[Row], Iterable[object]]:
        """What gives the values of some columns."""
        if self.typed:
            return lambda row: map(row.get, columns, repeat(_ABSENT))
        if len(columns) > 1:
            return itemgetter(*map(self.columns.index, columns))
        places = [*map(self.columns.index, columns)]
        return lambda cells: [cells[at] for at in places]

    def text_of(self, column: str) -> Callable[[Row], str]:
        """What gives a column's value as text."""
        return partial(_value_text, column) if self.typed else itemgetter(self.columns.index(column))


def _take(field: str, side: str | None, table: _Table) -> _Take:
    name = field if side is None else side
    if table.columns.count(name) > 1:
        raise ValueError(f"the file has more than one column '{name}'")
    if name in table.columns or (side is None and field in OPTIONAL):
        return _Take(name, partial(_from_json, field) if table.typed else _from_cells(field))
    if side is None:
        raise ValueError(f"no such column; say where it comes from ({field}=...)")
    text, convert = _text(field, side, table), _remembered(field)
    return _Take(None, lambda row: convert(text(row)))


def _from_cells(field: str) -> Callable[[Any], object] | None:
    """Cells repeat, scores and dates a thousand times a file; a name that must be there goes on as it is."""
    if field in _TIMES:
        return _time_remembered(field)
    return None if field in REQUIRED and field not in _NUMBERS else _remembered(field)


def _time_remembered(field: str) -> Callable[[Any], object]:
    """A date comes again, a moment hardly ever: to look for it would take as long as to read it."""
    remembered = _remembered(field)
    return lambda cell: remembered(cell) if len(cell) <= _DATE or cell.isspace() else _time(cell)


def _remembered(field: str) -> Callable[[Any], object]:
    return lru_cache(_CELLS)(partial(_from_cell, field))


def _text(field: str, side: str, table: _Table) -> Callable[[Row], str]:
    if field in _TIMES and (shift := _DAYS.fullmatch(side)):
        base = _text(field, shift["base"], table)
        days = _template(shift["days"], table)
        return lambda row: _shifted(base(row), shift["sign"], days(row))
    if side in table.columns:
        return table.text_of(side)
    if "{" in side or "}" in side:
        return _template(side, table)
    if field in _NUMBERS:
        fits = isinstance(_number(field, side), int | float)
    else:
        fits = field not in _TIMES or _moment(side) is not None
    if not fits or field in _NEVER_FIXED:
        raise ValueError(f"'{side}' is not a column of the file")
    return lambda _row: side


def _template(template: str, table: _Table) -> Callable[[Row], str]:
    parts = _PLACEHOLDER.split(template)
    names = parts[1::2]
    if unknown := [name for name in names if name not in table.columns]:
        raise ValueError(f"{', '.join(f'{{{name}}}' for name in unknown)} is not a column of the file")
    if any(brace in literal for literal in parts[::2] for brace in "{}"):
        raise ValueError(f"a brace in '{template}' has no partner")
    pattern = "%s".join(literal.replace("%", "%%") for literal in parts[::2])
    texts = [table.text_of(name) for name in names]

    def fill(row: Row) -> str:
        cells = tuple([text(row) for text in texts])
        return pattern % cells if not names or any(cell.strip() for cell in cells) else ""

    return fill


def _value(name: str, row: Object) -> object:
    return row.get(name)


def _value_text(name: str, row: Object) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _from_json(field: str, value: object) -> object:
    if value is None and field in OPTIONAL:
        return _ABSENT
    return _time(value) if field in _TIMES and isinstance(value, str) else value


def _from_cell(field: str, cell: object) -> object:
    if not isinstance(cell, str):
        return _ABSENT
    if not cell.strip():
        return None if field == "score" else _ABSENT if field in OPTIONAL else cell
    if field in _NUMBERS:
        return _number(field, cell)
    return _time(cell) if field in _TIMES else cell


def _number(field: str, cell: str) -> int | float | str:
    text = cell.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _DECIMAL.fullmatch(text) or not isfinite(number := float(text)):
        return cell  # "nan" too: as a float it would be sent as null and pass for activity
    if field != "attempt":
        return number
    return int(number) if number.is_integer() and abs(number) < 2**53 else cell


def _moment(text: str) -> datetime | None:
    text = text.strip()
    moment = _parsed(text) if _TIME.fullmatch(text) else None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _time(text: str) -> str:
    if _IN_UTC.fullmatch(text):  # to read it and to write it anew takes longer
        return text
    moment = _moment(text)
    return text if moment is None else _text_of(moment)


def _text_of(moment: datetime) -> str:
    return moment.isoformat().replace(_UTC, "Z")


@lru_cache(_CELLS)
def _shifted(base: str, sign: str, days: str) -> str:
    if not base.strip() or not days.strip():
        return ""
    moment, count = _moment(base), _number("", days)
    if moment is None or isinstance(count, str):
        return f"{base}{sign}{days}d"
    try:
        return _text_of(moment + timedelta(days=count if sign == "+" else -count))
    except OverflowError:
        return f"{base}{sign}{days}d"
