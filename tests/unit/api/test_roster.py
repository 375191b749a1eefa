"""The roster: every sort, pages that leave nobody out, and cells that no spreadsheet runs."""

import csv
import io
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW, minutes
from worker.api import cursors, roster
from worker.api.answers import RosterLine
from worker.api.problems import BadRequest
from worker.domain.classroom import Learner
from worker.domain.risk import AtRisk, Signal
from worker.domain.score import DEFINITION, CourseScores

SORTS: tuple[roster.Sort, ...] = (
    "student_id",
    "mean_last_n",
    "ewma",
    "latest",
    "trend",
    "last_activity_at",
    "attempts_total",
    "percentile_in_course",
    "at_risk",
)
ORDERS: tuple[roster.Order, ...] = ("asc", "desc")


def learner(n: int, value: float | None) -> Learner:
    figures = CourseScores(
        definition=DEFINITION,
        attempts_total=0 if value is None else int(value * 10),
        attempts_scored=3,
        attempts_window=3,
        mean_last_n=value,
        mean_last_7d=value,
        mean_last_30d=value,
        ewma=value,
        latest=value,
        best=value,
        trend=value,
        last_activity_at=None if value is None else NOW + minutes(value),
        provisional=False,
        over_max=False,
    )
    return Learner(UUID(int=n), figures, value, AtRisk(bool(value), []))


def walk(
    learners: list[Learner], names: dict[UUID, str], *, sort: roster.Sort, order: roster.Order, limit: int
) -> list[Learner]:
    """All pages, one after the other."""
    seen: list[Learner] = []
    cursor: str | None = None
    while True:
        page = roster.page(learners, names, sort=sort, order=order, cursor=cursor, limit=limit)
        seen += page.learners
        if page.next_cursor is None:
            return seen
        assert len(page.learners) == limit
        cursor = page.next_cursor


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sort", SORTS)
@given(
    st.lists(st.none() | st.sampled_from([-0.5, 0.0, 0.5, 1.0]), max_size=12),
    st.integers(1, 5),
)
def test_pages_show_everybody_once_in_order(
    sort: roster.Sort, order: roster.Order, values: list[float | None], limit: int
) -> None:
    learners = [learner(n, value) for n, value in enumerate(values)][::-1]
    names = {one.student_key: f"s{one.scores.ewma}" for one in learners if one.scores.ewma is not None}
    seen = walk(learners, names, sort=sort, order=order, limit=limit)
    assert sorted(one.student_key for one in seen) == [UUID(int=n) for n in range(len(values))]
    if sort in ("attempts_total", "at_risk"):
        return
    told = [one.scores.ewma for one in seen if one.scores.ewma is not None]
    assert [one.scores.ewma for one in seen[: len(told)]] == told, "those without the figure come last"
    if sort != "student_id":
        assert told == sorted(told, reverse=order == "desc")


@pytest.mark.parametrize("order", ORDERS)
def test_equals_stand_in_the_order_of_their_pseudonyms(order: roster.Order) -> None:
    learners = [learner(n, 0.5) for n in (3, 1, 2)]
    page = roster.page(learners, {}, sort="ewma", order=order, cursor=None, limit=9)
    assert [one.student_key.int for one in page.learners] == [1, 2, 3]


def test_a_place_that_is_gone_is_told_instead_of_ending_the_list() -> None:
    gone = cursors.encode(str(UUID(int=9)))
    for cursor in (gone, "!!", cursors.encode(7)):
        with pytest.raises(BadRequest):
            roster.page([learner(1, 0.5)], {}, sort="ewma", order="asc", cursor=cursor, limit=1)


def as_rows(lines: list[RosterLine]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(roster.as_csv(lines).decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    "evil",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
    ],
)
def test_no_cell_runs_as_a_formula(evil: str) -> None:
    (row,) = as_rows([roster.line(learner(1, 0.5), evil)])
    assert row["student_id"] == "'" + evil


def test_names_and_numbers_stay_as_they_are() -> None:
    for name in ('say "hi", ada', "é\u2028", "line\nbreak", "a=b"):
        (row,) = as_rows([roster.line(learner(1, -0.5), name)])
        assert row["student_id"] == name
        assert row["trend"] == "-0.5"
    (row,) = as_rows([roster.line(learner(1, None), None)])
    assert (row["student_id"], row["ewma"], row["at_risk"], row["last_activity_at"]) == ("", "", "no", "")


def test_the_reasons_stand_in_one_cell() -> None:
    reasons = [Signal("falling", -1, 0, "falls"), Signal("inactive", 9, 7, "no activity for 9 days")]
    found = Learner(UUID(int=1), learner(1, 0.5).scores, 50.0, AtRisk(True, reasons))
    (row,) = as_rows([roster.line(found, "ada")])
    assert (row["at_risk"], row["reasons"]) == ("yes", "falls; no activity for 9 days")
