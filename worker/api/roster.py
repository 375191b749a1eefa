"""A class as pages of a roster and as a table: sorted, cut, and written for people."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from worker.api import cursors
from worker.api.answers import RosterLine
from worker.api.problems import BadRequest
from worker.domain.classroom import Learner

Sort = Literal[
    "student_id",
    "mean_last_n",
    "ewma",
    "latest",
    "trend",
    "last_activity_at",
    "attempts_total",
    "percentile_in_course",
    "at_risk",
]
Order = Literal["asc", "desc"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, the full-width forms included."""


class Page(NamedTuple):
    """Some lines of a roster, and where the next ones begin."""

    learners: Sequence[Learner]
    next_cursor: str | None


def page(
    learners: Iterable[Learner],
    names: Mapping[UUID, str],
    *,
    sort: Sort,
    order: Order,
    cursor: str | None,
    limit: int,
) -> Page:
    """One page; learners without the figure come last, equals in the order of their pseudonyms.

    Raises:
        BadRequest: the cursor is not of this listing.
    """
    figure = _FIGURES[sort]
    known: list[tuple[Any, str, Learner]] = []
    unknown: list[tuple[Any, str, Learner]] = []
    for learner in learners:
        value = names.get(learner.student_key) if sort == "student_id" else figure(learner)
        (unknown if value is None else known).append((value, str(learner.student_key), learner))
    known.sort(key=lambda line: line[1])
    known.sort(key=lambda line: line[0], reverse=order == "desc")
    unknown.sort(key=lambda line: line[1])
    lines = [*known, *unknown]
    after = cursors.decode(cursor, str)
    start = 0
    if after is not None:
        start = next((at + 1 for at, line in enumerate(lines) if line[1] == after), 0)
        if not start:
            raise BadRequest("this cursor's learner is not in the listing any more; start again without it")
    cut = lines[start : start + limit]
    more = start + limit < len(lines)
    return Page([line[2] for line in cut], cursors.encode(cut[-1][1]) if more and cut else None)


def line(learner: Learner, student_id: str | None) -> RosterLine:
    """A learner as a line of the roster."""
    figures = learner.scores
    return RosterLine(
        student_id=student_id,
        student_key=learner.student_key,
        attempts_total=figures.attempts_total,
        attempts_scored=figures.attempts_scored,
        mean_last_n=figures.mean_last_n,
        ewma=figures.ewma,
        latest=figures.latest,
        trend=figures.trend,
        last_activity_at=figures.last_activity_at,
        provisional=figures.provisional,
        percentile_in_course=learner.percentile,
        at_risk=learner.at_risk,
    )


def as_csv(lines: Sequence[RosterLine]) -> bytes:
    """The roster as a table for spreadsheets: UTF-8 with its mark, and no cell that runs as a formula."""
    written = io.StringIO()
    table = csv.writer(written)
    names = [name for name in RosterLine.__struct_fields__ if name != "at_risk"]
    table.writerow([*names, "at_risk", "reasons"])
    for one in lines:
        cells = [_cell(getattr(one, name)) for name in names]
        reasons = "; ".join(reason.text for reason in one.at_risk.reasons)
        table.writerow([*cells, _cell(one.at_risk.flag), reasons])
    return written.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        runs = value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)
        return "'" + value if runs else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_FIGURES: Mapping[Sort, Callable[[Learner], Any]] = {
    "student_id": lambda learner: None,  # noqa: ARG005 - known to the caller alone
    "mean_last_n": lambda learner: learner.scores.mean_last_n,
    "ewma": lambda learner: learner.scores.ewma,
    "latest": lambda learner: learner.scores.latest,
    "trend": lambda learner: learner.scores.trend,
    "last_activity_at": lambda learner: learner.scores.last_activity_at,
    "attempts_total": lambda learner: learner.scores.attempts_total,
    "percentile_in_course": lambda learner: learner.percentile,
    "at_risk": lambda learner: learner.at_risk.flag,
}
