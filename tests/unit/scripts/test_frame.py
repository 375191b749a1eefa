import argparse
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from scripts.frame.script import Refused, Run, Script, WrongArguments, execute
from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from worker.domain.errors import LedgerBehindCheckpoint, LedgerUnavailable

SETTINGS = {
    "DATABASE_URL": "postgresql://app:s3cret@db:5432/scores",
    "REDIS_URL": "redis://:s3cret@cache:6379/0",
    "IDENTITY_KEYS_FILE": "keys.json",
    "DEAD_LETTER_KEY_FILE": "master.key",
}
"""The least that can be loaded; nothing of it is reached."""


class Tried:
    """A script whose work is given, and what it said."""

    def __init__(self, folder: Path, work: Callable[[Run], None], *, nightly: bool = False) -> None:
        self.nightly = nightly
        self.text = io.StringIO()
        self.path = folder / "deep" / "report.json"
        self._work = work

    def run(self, *argv: str) -> int:
        script = Script(
            name="try",
            summary="Tries something.",
            examples=["python -m scripts.try --rows 5"],
            arguments=self.arguments,
            work=self.work,
            nightly=self.nightly,
        )
        show = Show(Console(file=self.text, width=200))
        return execute(script, [*argv, "--report", str(self.path)], show=show)

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=1)

    def work(self, run: Run, arguments: argparse.Namespace) -> None:
        run.report.figure("rows", arguments.rows)
        self._work(run)

    @property
    def report(self) -> dict[str, object]:
        body: dict[str, object] = json.loads(self.path.read_bytes())
        return body


def raising(error: BaseException) -> Callable[[Run], None]:
    def work(_: Run) -> None:
        raise error

    return work


def test_what_was_found_is_told_and_written_down(tmp_path: Path) -> None:
    tried = Tried(tmp_path, lambda run: run.report.verdict("nothing is lost", good=True, detail="5 of 5"))
    assert tried.run("--rows", "5") == 0
    assert "yes  nothing is lost: 5 of 5" in tried.text.getvalue()
    assert tried.report["figures"] == {"rows": 5}
    assert (tried.report["exit_code"], tried.report["dry_run"]) == (0, False)


def test_a_verdict_that_does_not_hold_fails_the_run(tmp_path: Path) -> None:
    tried = Tried(tmp_path, lambda run: run.report.verdict("nothing is lost", good=False))
    assert tried.run() == 1
    assert tried.report["exit_code"] == 1


def test_a_dry_run_is_told_to_the_work_and_the_reader(tmp_path: Path) -> None:
    seen = []
    tried = Tried(tmp_path, lambda run: seen.append(run.dry_run))
    assert tried.run("--dry-run") == 0
    assert (seen, tried.report["dry_run"]) == ([True], True)
    assert "nothing was changed" in " ".join(tried.text.getvalue().split())


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (WrongArguments("--from is after --to"), 2, "--from is after --to; see --help"),
        (Refused("the student is held; lift the hold first"), 1, "refused: the student is held"),
        (LedgerUnavailable(), 1, "python -m worker check"),
        (LedgerBehindCheckpoint(), 1, "Start a new ledger epoch"),
        (FileNotFoundError(2, "No such file", "scores.csv"), 1, "scores.csv"),
        (KeyboardInterrupt(), 130, "run the same command again"),
    ],
)
def test_how_a_run_ends_is_said_by_the_exit_code_and_a_sentence(
    tmp_path: Path, error: BaseException, code: int, told: str
) -> None:
    tried = Tried(tmp_path, raising(error))
    assert tried.run() == code
    assert told in tried.text.getvalue()
    assert "Traceback" not in tried.text.getvalue()
    assert tried.path.exists() == (code != 2), "there is a report unless nothing was begun"


def test_wrong_and_missing_settings_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATABASE_SECRET_ID"):
        monkeypatch.delenv(name, raising=False)
    tried = Tried(tmp_path, lambda run: run.report.figure("stream", run.settings().stream_name))
    assert tried.run() == 2
    assert "DATABASE_URL or DATABASE_SECRET_ID: set exactly one" in tried.text.getvalue()


def test_an_unknown_argument_ends_with_two_and_help_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = Tried(tmp_path, lambda _run: None)
    assert tried.run("--nonsense") == 2
    assert tried.run("--help") == 0
    assert "python -m scripts.try --rows 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "mode", "good", "told"),
    [
        ((), "aws", True, [1]),
        ((), "aws", False, [0]),
        (("--dry-run",), "aws", True, []),
        ((), "local", True, []),
        (("--rows", "none"), "aws", True, []),
    ],
)
def test_a_nightly_run_tells_cloudwatch_whether_it_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    mode: str,
    good: bool,
    told: list[int],
) -> None:
    for name, value in {**SETTINGS, "MODE": mode}.items():
        monkeypatch.setenv(name, value)
    tried = Tried(tmp_path, lambda run: run.report.verdict("nothing is left", good=good), nightly=True)
    assert tried.run(*argv) == (2 if "none" in argv else 0 if good else 1)
    lines = [line for line in capsys.readouterr().err.splitlines() if '"_aws"' in line]
    assert [json.loads(line)["Done"] for line in lines] == told


def test_an_end_that_nobody_foresaw_is_told_and_leaves_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(run: Run) -> None:
        run.report.figure("rows", 3)
        raise KeyError

    tried = Tried(tmp_path, work)
    assert tried.run() == 1
    assert "KeyError" in capsys.readouterr().err
    report = json.loads(tried.path.read_bytes())
    assert (report["exit_code"], report["figures"]) == (1, {"rows": 3})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_work_end_where_it_can_be_resumed(tmp_path: Path, number: signal.Signals) -> None:
    steps = []

    def work(run: Run) -> None:
        os.kill(os.getpid(), number)
        assert run.stopping.wait(10)
        steps.append("ended in order")

    before = signal.getsignal(number)
    tried = Tried(tmp_path, work)
    assert tried.run() == 130
    assert steps == ["ended in order"]
    assert signal.getsignal(number) is before
    assert tried.report["exit_code"] == 130


def test_a_second_signal_breaks_the_work_off(tmp_path: Path) -> None:
    def work(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert run.stopping.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        Stopping().wait(10)
        raise AssertionError("it went on")

    tried = Tried(tmp_path, work)
    assert tried.run() == 130
    assert "broken off" in tried.text.getvalue()


def test_a_report_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where a folder should be")
    tried = Tried(tmp_path, lambda _run: None)
    assert tried.run() == 1
    assert "--report" in tried.text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_rate_and_what_is_left(terminal: bool) -> None:
    text = io.StringIO()
    times = iter(range(0, 1_000, 3))
    show = Show(Console(file=text, width=200, force_terminal=terminal), clock=lambda: float(next(times)))
    with show.progress("rows", 300) as advance:
        advance(100)
        advance(200)
    assert "300" in text.getvalue()
    assert "/s" in text.getvalue()
    if not terminal:
        assert "100 of 300 rows, 17/s, 12 s left" in text.getvalue()
