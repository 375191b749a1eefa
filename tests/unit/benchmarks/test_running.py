"""All suites by one command: a failed one stops nothing, and a goal that is lost is a failure."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import Ran, lost, main, run
from benchmarks.result import Goal, Machine, Result, write
from benchmarks.suites import SUITES, Suite

SUITE = Suite("backfill", "P6", "how fast", 1, ("--quick",))
WHERE = Machine("a processor", 2, 4.0, "6.1", "3.11.7")


def result(*values: float) -> Result:
    goals = [Goal("P6", f"goal {n}", value, 10, "times", at_least=True) for n, value in enumerate(values)]
    return Result("backfill", "python -m benchmarks.backfill", "2026-11-23", "abc1234", WHERE, goals, {})


def ran(folder: Path, writes: Result | None, code: int = 0, *, quick: bool = False) -> Ran:
    def start(_suite: Suite, more: Mapping[str, str], arguments: Sequence[str]) -> int:
        assert Path(more["BENCH_RESULTS"]) == folder.resolve()
        assert list(arguments) == (["--quick"] if quick else [])
        if writes is not None:
            write(writes, folder)
        return code

    return run(SUITE, folder, start, quick=quick)


def test_a_suite_that_leaves_no_result_has_failed_though_an_old_one_is_there(tmp_path: Path) -> None:
    write(result(11), tmp_path)
    assert not ran(tmp_path, None).good
    assert ran(tmp_path, result(11)).good


def test_a_goal_that_was_met_and_is_missed_is_a_failure(tmp_path: Path) -> None:
    write(result(11, 11, 9), tmp_path)
    broken = ran(tmp_path, result(11, 9, 9), code=1)
    assert broken.lost == ["goal 1"]
    assert not broken.good


def test_a_goal_that_was_never_met_is_told_and_no_failure(tmp_path: Path) -> None:
    assert ran(tmp_path, result(9), code=1).good
    assert ran(tmp_path, result(8), code=1).good


def test_a_quick_look_judges_no_goal(tmp_path: Path) -> None:
    write(result(11), tmp_path)
    assert ran(tmp_path, result(1), code=1, quick=True).good


def test_only_what_is_the_same_goal_can_be_lost() -> None:
    assert lost(result(11, 11), result(11)) == []
    assert lost(result(9), result(11)) == []


def test_a_name_that_is_no_suite_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["tasks"])
    assert left.value.code == 2
    assert "there are task, latency" in capsys.readouterr().err


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: str(suite.name))
def test_every_suite_has_a_verb_of_make(suite: Suite) -> None:
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    assert f"\nbench-{suite.name}: " in makefile


def written() -> list[Suite]:
    return [suite for suite in SUITES if find_spec(f"benchmarks.{suite.name}")]


@pytest.mark.parametrize("suite", written(), ids=lambda suite: str(suite.name))
def test_every_suite_knows_the_arguments_of_its_quick_look(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"benchmarks.{suite.name}"
    found = find_spec(name)
    assert found is not None
    module = import_module(f"{name}.__main__" if found.submodule_search_locations else name)
    with pytest.raises(SystemExit) as left:
        module.main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for argument in suite.quick:
        if argument.startswith("--"):
            assert argument in told
