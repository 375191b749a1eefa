"""The page of figures: it is what the results say, shows what is missing, and hides no missed goal."""

from pathlib import Path

import msgspec
import pytest

from benchmarks import report
from benchmarks.latency import Report, of
from benchmarks.result import FOLDER, Goal, Machine, Result, kept, write
from benchmarks.suites import SUITES
from benchmarks.tables import figures, goals, number, words

ROOT = Path(__file__).parents[3]
MET = Goal("P6", "rows a second", 41_000.4, 40_000, "events/s", at_least=True)
MISSED = Goal("P6", "states | a second", 12_000, 20_000, "states/s", at_least=True, binds="one core")


def result(suite: str = "backfill", *given: Goal, **figures: object) -> Result:
    where = Machine("a processor", 2, 4.0, "6.1", "3.11.7")
    return Result(suite, f"python -m benchmarks.{suite}", "2026-11-23", "abc1234", where, given, figures)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with every mark and some prose."""
    path = tmp_path / "docs" / "performance.md"
    path.parent.mkdir()
    names = [report.GOALS, *(suite.name for suite in SUITES)]
    path.write_text("".join(f"## {name}\n\n<!-- {name} -->\n<!-- /{name} -->\n" for name in names))
    return path


@pytest.mark.parametrize("shown", report.ALL, ids=lambda page: page.name)
def test_the_page_is_what_the_results_say(shown: Path) -> None:
    assert report.stale(shown, FOLDER) == [], f"run: {report.AGAIN}"


@pytest.mark.parametrize(("name", "suite", "pictures"), [("growth", "growth", 3), ("scale", "scale", 3)])
def test_a_plan_is_made_of_its_suites_result(name: str, suite: str, pictures: int, tmp_path: Path) -> None:
    page = tmp_path / f"{name}.md"
    page.write_text((ROOT / "docs" / f"{name}.md").read_text())
    results = tmp_path / "results"
    # nothing is known: no table, no picture
    report.make(page, results)
    assert f"make bench-{suite}" in page.read_text()
    write(kept(suite), results)
    made = report.make(page, results)
    assert len([path for path in made if path.suffix == ".png"]) == pictures
    assert report.stale(page, results) == []


def test_a_page_is_made_once_and_then_stays(page: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    write(result("backfill", MET, MISSED, rows=3), results)
    assert report.make(page, results) == [page]
    assert report.stale(page, results) == []
    assert report.make(page, results) == []
    assert "| P6 | rows a second | 41,000 events/s | at least 40,000 events/s | yes |" in page.read_text()
    write(result("backfill", MET), results)
    assert report.stale(page, results) == [
        "performance.md: goals is out of date",
        "performance.md: backfill is out of date",
    ]


def test_what_was_not_measured_is_shown_as_missing(page: Path, tmp_path: Path) -> None:
    report.make(page, tmp_path)
    text = page.read_text()
    assert text.count("*not measured yet*") == len(SUITES)
    for suite in SUITES:
        assert f"*Not measured yet: `make bench-{suite.name}`.*" in text
    assert {suite.goal for suite in SUITES} >= {f"P{number}" for number in range(1, 11)}


def test_a_missed_goal_stays_in_the_table_with_what_binds() -> None:
    table = goals(SUITES, {"backfill": result("backfill", MISSED)})
    assert "| P6 | states \\| a second | 12,000 states/s | at least 20,000 states/s | **no** |" in table
    assert "- **P6** states | a second: one core" in table


def test_a_file_in_another_form_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text('{"machine": "2 cores"}')
    (tmp_path / "cost.json").write_text("{")
    assert report.found(tmp_path) == {}


def test_a_page_without_marks_is_refused(page: Path, tmp_path: Path) -> None:
    page.write_text(page.read_text().replace("<!-- /scale -->", ""))
    with pytest.raises(ValueError, match="scale"):
        report.make(page, tmp_path)


def test_a_picture_of_other_figures_is_out_of_date(page: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    latency = kept("latency")
    write(latency, results)
    made = report.make(page, results)
    pictures = [path for path in made if path.suffix == ".png"]
    assert len(pictures) == 3
    changed = {**latency.figures, "cpu_us_per_event": {"PostgreSQL": 1.0}}
    write(msgspec.structs.replace(latency, figures=changed), results)
    assert "performance/cpu-at-the-rate.png shows other figures, or is not there" in report.stale(
        page, results
    )
    (results / "latency.json").unlink()
    report.make(page, results)
    assert [*(page.parent / "performance").iterdir()] == [], "a picture of no result is removed"


def test_a_result_that_lacks_a_figure_has_no_picture_of_it(page: Path, tmp_path: Path) -> None:
    write(result("latency", limits="none"), tmp_path)
    assert report.make(page, tmp_path) == [page]


def test_the_command_tells_by_its_exit_code(page: Path, tmp_path: Path) -> None:
    given = ["--page", str(page), "--results", str(tmp_path)]
    assert report.main([*given, "--check"]) == 1
    assert report.main(given) == 0
    assert report.main([*given, "--check"]) == 0


def test_the_kept_latency_is_that_of_the_load_test_that_is_shown() -> None:
    made = (ROOT / "docs/load-test/report.json").read_bytes()
    shown = of(msgspec.json.decode(made, type=Report))
    latency = kept("latency")
    assert (latency.goals, latency.figures) == (
        msgspec.convert(msgspec.to_builtins(shown.goals), list[Goal]),
        msgspec.to_builtins(shown.figures),
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (0.04567, "0.0457"), (3.14159, "3.14"), (99.96, "100"), (12_345.6, "12,346"), (7.0, "7")],
)
def test_numbers_have_as_many_digits_as_anybody_reads(value: float, told: str) -> None:
    assert number(value) == told


def test_what_a_suite_says_in_words_stands_on_the_page_and_not_among_the_figures() -> None:
    long = "what it promises and what it leaves undone, " * 3
    found = result(
        "peers", promises={"ours": long, "another": "less"}, given=long, short="one word", rate=3.5
    )
    assert words(found) == f"*Promises.*\n\n- **ours**: {long}\n- **another**: less\n\n*Given.* {long}"
    table = figures(found)
    assert "| short | one word |" in table
    assert "| rate | 3.5 |" in table
    assert "leaves undone" not in table


def test_a_long_table_is_left_to_its_file() -> None:
    many = {f"statement {number}": {"ms": number} for number in range(61)}
    table = figures(result("growth", statements=many, series=list(range(100)), few=[1, 2.5], none=None))
    assert "| statements | 61 figures, in [growth.json](../benchmarks/results/growth.json) |" in table
    assert "| few | 1, 2.5 |" in table
    assert "| none | - |" in table
    assert "series" not in table
