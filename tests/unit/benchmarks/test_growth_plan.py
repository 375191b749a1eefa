"""The plan to a billion rows: indexes as deep as measured ones, vacuums by PostgreSQL's own rules."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from benchmarks import reckoning
from benchmarks.growing import page
from benchmarks.growing.plan import School, fitted, levels, tables, terms
from benchmarks.growing.vacuums import (
    FREEZE_AGE,
    PACED,
    Load,
    deleting,
    in_one_table,
    in_tables_of_terms,
)
from benchmarks.result import Result, kept

GROWTH = kept("growth")
MEASURED = reckoning.of_growth(GROWTH)
SCHOOL = School(students=1_000, courses_each=5, attempts_each=100)
LOAD = Load(row_bytes=130, changed=0.035, transactions=8.7)


def test_an_index_is_reckoned_as_deep_as_it_was_measured() -> None:
    """But where its root is about to be full: how full the pages below are is never quite the same."""
    given: Any = GROWTH.figures["room"]
    rooms = [given] if "attempts" in given else list(given.values())
    for room in (table for tables_of_one in rooms for table in tables_of_one.values()):
        for name, per_row in room["index_bytes_per_row"].items():
            size, deep = per_row * room["rows"], room["index_levels"][name]
            assert levels(name, 0.8 * size) <= deep <= levels(name, 1.25 * size), (name, room["rows"])


@pytest.mark.parametrize(("pages", "deep"), [(2, 1), (3, 2), (150, 2), (300, 3), (50_000, 4)])
def test_an_index_gains_a_level_when_its_root_is_full(pages: int, deep: int) -> None:
    assert levels("attempts_pkey", pages * 8192) == deep


def test_tables_take_what_their_rows_were_measured_to_take() -> None:
    found = tables(
        MEASURED, *(MEASURED.room[name].rows for name in ("attempts", "course_scores", "students"))
    )
    sizes = {name: room.rows * room.row_bytes for name, room in MEASURED.room.items()}
    assert found.bytes == pytest.approx(sum(sizes.values()))


def test_terms_go_on_to_the_goal_and_only_some_are_kept() -> None:
    found = terms(MEASURED, SCHOOL, 10_000_000)
    assert [one.number for one in found] == list(range(1, 21))
    assert found[-1].whole.rows == 10_000_000
    assert found[-1].kept.rows == SCHOOL.kept_terms * SCHOOL.rows
    assert found[-1].touched < found[-1].kept.bytes < found[-1].whole.bytes
    assert found[0].whole == found[0].kept


def test_the_line_is_that_of_its_points() -> None:
    line = fitted({10: 5.0, 1_000: 9.0})
    assert (line.at(10), line.at(1_000), line.at(100)) == pytest.approx((5, 9, 7))
    assert fitted({10: 5.0}).at(1e9) == 5


def test_every_row_is_read_by_a_vacuum_of_its_term() -> None:
    found = in_tables_of_terms(SCHOOL, LOAD, 3)
    ends = [one for one in found if one.why == "end of term"]
    assert len(ends) == 3
    rows = sum(one.bytes for one in ends) / LOAD.row_bytes
    assert rows == pytest.approx(3 * SCHOOL.rows, rel=0.02)


def test_one_table_is_vacuumed_seldom_and_against_wraparound() -> None:
    found = in_one_table(SCHOOL, LOAD, 20)
    inserts = [one for one in found if one.why == "inserts"]
    assert all(later.day > sooner.day for sooner, later in pairwise(found))
    # each waits for a fifth of what there is
    assert inserts[20].bytes > inserts[10].bytes > inserts[5].bytes
    first = next(one for one in found if one.why == "wraparound")
    assert first.day * LOAD.transactions * 86_400 == pytest.approx(FREEZE_AGE, rel=0.02)
    assert max(one.bytes for one in found) > max(one.bytes for one in in_tables_of_terms(SCHOOL, LOAD, 20))


def test_a_vacuum_is_paced_by_the_defaults() -> None:
    # 100,000 units of cost a second, 22 for a page that is read and written
    assert pytest.approx(100_000 / 22 * 8192) == PACED


def test_deleting_reads_an_index_as_often_as_memory_is_full_of_dead_rows() -> None:
    assert deleting(1_000, 50, 7) == (1_000, 1, 57)
    # 64 MiB hold 11.18 million
    assert deleting(11_200_000, 0, 7).passes == 2
    assert deleting(50_000_000, 10, 7).bytes == 10 + 5 * 7


def test_a_page_without_a_measurement_says_so() -> None:
    assert set(page.blocks({}).values()) == {"*not measured yet: `make bench-growth`*"}


def test_what_was_not_measured_is_no_figure() -> None:
    figures = {name: value for name, value in GROWTH.figures.items() if name not in ("upkeep", "by_batch")}
    blocks = page.blocks({"growth": msgspec.structs.replace(GROWTH, figures=figures)})
    assert blocks["archive"].count("not measured yet") == 6
    assert "not measured yet" in blocks["vacuum"]


def test_partitions_are_told_where_they_were_measured() -> None:
    parts = {"count": 8, "times": {"cpu_us": 1.034}}
    assert "8 partitions" in page.blocks({"growth": with_figures(partitions=parts)})["parts"]
    assert "1.03 times" in page.blocks({"growth": with_figures(partitions=parts)})["parts"]


def test_upkeep_is_shown_where_it_was_measured() -> None:
    upkeep = {"retention_us_per_state": 6.0, "sweep_us_per_state": 12.0, "freeze_s_per_gb": 0.5}
    blocks = page.blocks({"growth": with_figures(upkeep=upkeep)})
    # ten million states
    assert "| 1 | 2 | not measured yet |" in blocks["archive"]
    assert "0.5 s a gigabyte" in blocks["vacuum"]


def test_a_run_that_looked_at_every_size_is_read_too() -> None:
    rooms: Any = GROWTH.figures["room"]
    alone = rooms if "attempts" in rooms else rooms[max(rooms, key=int)]
    both = {"10000": alone, str(MEASURED.rows): alone}
    found = reckoning.of_growth(with_figures(room=both))
    assert set(found.levels) == {10_000, MEASURED.rows}
    assert found.room == MEASURED.room


def with_figures(**figures: object) -> Result:
    return msgspec.structs.replace(GROWTH, figures={**GROWTH.figures, **figures})
