"""The script from its arguments to its files, on a system in memory."""

import builtins
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts import load_test
from scripts.frame.script import execute
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from scripts.loading import driving, plots, trial
from tests.load_doubles import System
from worker.domain.event import ScoreEvent

SMALL = ("--students", "40", "--courses", "5", "--warm-up", "0", "--minutes", "0.017", "--drain", "0.3")


class Tried:
    """One call of the script."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        system: System | None = None,
        *,
        drawn: bool = False,
    ) -> None:
        if not drawn:  # seconds of each test
            monkeypatch.setattr(plots, "svgs", lambda _trial: [])
            monkeypatch.setattr(plots, "picture", lambda *_: None)
        monkeypatch.setattr(trial, "_QUIET_SECONDS", 0.05)
        monkeypatch.setattr(trial, "_LOOK_SECONDS", 0.02)
        target = (system or System()).target
        monkeypatch.setattr(driving, "_target", lambda *_: target)
        self.report_file = folder / "run" / "report.json"
        self.text = io.StringIO()
        self.stopping = Stopping()

    def run(self, *arguments: str) -> int:
        show = Show(Console(file=self.text, width=200))
        argv = [*arguments, "--report", str(self.report_file)]
        return execute(load_test.SCRIPT, argv, show=show, stopping=self.stopping)

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report_file.read_bytes())
        return found

    @property
    def verdicts(self) -> dict[str, bool]:
        return {verdict["claim"]: verdict["good"] for verdict in self.report["verdicts"]}


def test_a_good_run_is_told_as_json_as_a_page_and_as_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried(tmp_path, monkeypatch, drawn=True)
    assert tried.run("--rate", "500", *SMALL, "--require-rate", "50", "--require-p99", "60") == 0
    assert all(tried.verdicts.values())
    assert len(tried.verdicts) == 7
    assert tried.report["trials"][0]["sent"] == tried.report["figures"]["events sent"] == 510
    assert "projection retries" not in tried.report["figures"], "no task of this system is known"
    page = tried.report_file.with_suffix(".html").read_text()
    assert page.count("<svg") == 6
    assert "http-equiv" not in page
    assert "src=" not in page, "the page needs nothing else"
    assert "500 events a second" in page
    assert tried.report_file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_no_student_id_is_in_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Tried(tmp_path, monkeypatch)
    tried.run("--rate", "500", *SMALL)
    for suffix in (".json", ".html"):
        assert "load-student" not in tried.report_file.with_suffix(suffix).read_text()
    assert "load-student" not in tried.text.getvalue()


def test_a_loss_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(events: Sequence[ScoreEvent]) -> Sequence[ScoreEvent]:
        return events[1:]

    tried = Tried(tmp_path, monkeypatch, System(spoil))
    assert tried.run("--rate", "500", *SMALL) == 1
    assert not tried.verdicts["every distinct attempt sent is in the ledger or in dead letters, once"]


def test_a_rate_that_is_not_reached_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Tried(tmp_path, monkeypatch)
    assert tried.run("--rate", "100", *SMALL, "--require-rate", "5000", "--require-p99", "1e-9") == 1
    assert not tried.verdicts["rate at least 5,000/s"]
    assert not tried.verdicts["p99 put → visible under 0 ms"]


def test_the_limit_is_searched_on_the_same_system_and_proven_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System()
    tried = Tried(tmp_path, monkeypatch, system)
    monkeypatch.setattr(driving._Drive, "_holds", _below(120))
    assert tried.run("--rate", "100", *SMALL, "--find-limit") == 0
    assert tried.report["limit"]["rate"] == pytest.approx(118.75)
    assert "The highest rate" in tried.report_file.with_suffix(".html").read_text()


def _below(real: float) -> Any:
    return lambda _self, rate: rate <= real


def test_an_interrupted_run_is_proven_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(on_put=lambda number: tried.stopping.ask() if number == 3 else None)
    tried = Tried(tmp_path, monkeypatch, system)
    assert tried.run("--rate", "500", *SMALL, "--minutes", "10", "--find-limit") == 130
    assert tried.verdicts["every distinct attempt sent is in the ledger or in dead letters, once"]
    assert 0 < tried.report["trials"][0]["sent"] < 10_000
    assert len(tried.report["trials"]) == 1
    assert tried.report_file.with_suffix(".html").exists()


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System()
    tried = Tried(tmp_path, monkeypatch, system)
    assert tried.run("--rate", "5000", "--minutes", "10", "--dry-run") == 0
    assert "would send 3,000,000 events" in tried.text.getvalue()
    assert system.puts == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "0"], "--rate 0 is less than 1"),
        (["--batch", "501"], "takes 1 to 500"),
        (["--http", "https://api.example.org"], "LOAD_TEST_TOKEN"),
        (["--minutes", "0"], "--minutes 0"),
        (["--sigv4"], "--sigv4 signs what --http URL posts"),
        (["--local", "--http", "--sigv4"], "--sigv4 signs what --http URL posts"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.delenv("LOAD_TEST_TOKEN", raising=False)
    tried = Tried(tmp_path, monkeypatch)
    assert tried.run(*arguments) == 2
    assert told in tried.text.getvalue()
    assert not tried.report_file.exists()


def test_without_numpy_the_answer_is_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def refusing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "scripts.loading":
            raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
        return plain(name, *rest, **more)

    tried = Tried(tmp_path, monkeypatch)
    monkeypatch.setattr(builtins, "__import__", refusing)
    assert tried.run("--rate", "5") == 2
    assert "numpy is not installed; run: pip install 'edu-analytics-worker[load]'" in tried.text.getvalue()
