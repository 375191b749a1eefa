"""What the suites are made of: invented exports, what binds, a load test read as a result."""

import csv
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from benchmarks import latency
from benchmarks.exports import write as export
from benchmarks.fullness import fullest
from benchmarks.ground import SCRIPT, Round
from benchmarks.latency import Report, of
from benchmarks.result import Result, kept, write
from scripts.frame import report as frame
from scripts.frame.script import FAILED
from worker.domain.errors import Poison
from worker.domain.formats import native
from worker.local.event_files import read_events

NOW = datetime(2026, 3, 2, tzinfo=UTC)
REPORT = Path(__file__).parents[3] / "docs" / "load-test" / "report.json"


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_an_export_holds_what_it_says(tmp_path: Path, kind: str) -> None:
    made = export(tmp_path / f"term.{kind}", 3_000, term=4)
    rows = [row.event for row in read_events(made.path)]
    events = 0
    for row in rows:
        try:
            native.from_fields(row) if isinstance(row, dict) else native.parse(row)
            events += 1
        except Poison:
            pass
    assert (len(rows), events) == (made.rows, made.events)
    assert 0 < made.rows - made.events < 30
    assert 0 < made.events - made.attempts < 200, "some were graded again"


def test_exports_of_two_terms_share_nobody(tmp_path: Path) -> None:
    students = []
    for term in (0, 1):
        with export(tmp_path / f"{term}.csv", 300, term).path.open() as file:
            students.append({row["student_id"] for row in csv.DictReader(file)})
    assert students[0].isdisjoint(students[1])


def test_the_same_term_is_the_same_export(tmp_path: Path) -> None:
    first, second = (export(tmp_path / f"{name}.ndjson", 200, 7).path.read_text() for name in "ab")
    assert first == second
    assert json.loads(first.splitlines()[0])["student_id"].startswith("s-7-")


def test_an_interpreter_can_be_full_on_an_idle_machine() -> None:
    parts = {SCRIPT: 0.97, "PostgreSQL": 0.2}
    assert fullest(parts, 2, most={SCRIPT: 1}).startswith("the script, 97% of the 1 core")
    assert fullest(parts, 2).startswith("no processor is full")


def test_a_machine_is_full_when_its_cores_are() -> None:
    assert fullest({"a": 1.0, "b": 0.9}, 2).startswith("the machine's 2 cores, 95% in use")


def test_a_round_tells_what_one_row_costs() -> None:
    one = Round(done=1_000, seconds=2.0, whole=4.0, cpu={SCRIPT: 2.0})
    assert (one.per_second, one.cores, one.micros) == (500.0, {SCRIPT: 0.5}, {SCRIPT: 2_000.0})


def test_a_load_test_becomes_a_result() -> None:
    report = msgspec.json.decode(REPORT.read_bytes(), type=Report)
    found, trial = of(report), report.trials[0]
    assert (found.suite, found.date, found.command) == ("latency", report.started[:10], report.command)
    p50, p99, rate, lost = found.goals
    assert p50.value == pytest.approx(1e3 * trial.latency.quantiles["p50"])
    assert p99.value == pytest.approx(1e3 * trial.latency.quantiles["p99"])
    assert (rate.value, lost.value) == (round(trial.rate), trial.lost + trial.double)
    assert all(goal.met != bool(goal.binds) for goal in found.goals), (
        "what is missed says why, nothing else does"
    )
    histogram = msgspec.convert(found.figures["histogram"], dict[str, list[float]])
    assert sum(histogram["samples"]) == trial.latency.samples
    assert len(histogram["edges_ms"]) == len(histogram["samples"]) + 1


def test_a_sample_that_was_never_seen_is_no_pass() -> None:
    report = msgspec.json.decode(REPORT.read_bytes(), type=Report)
    seen = msgspec.structs.replace(
        report.trials[0].latency, quantiles={"p50": 0.2, "p95": 0.3, "p99": 0.4}, unseen=0
    )
    for unseen, met in ((0, [True, True]), (1_000, [True, False])):
        latency = msgspec.structs.replace(seen, unseen=unseen)
        report.trials[0] = msgspec.structs.replace(report.trials[0], latency=latency)
        assert [goal.met for goal in of(report).goals[:2]] == met


def test_a_load_test_that_was_refused_at_its_start_leaves_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.json"

    def refused(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        frame.Report("load_test", NOW, dry_run=False).write(report, NOW, FAILED)
        return subprocess.CompletedProcess(command, FAILED)

    monkeypatch.setattr(latency, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(latency, "commit", lambda: "abc1234")
    monkeypatch.setattr(subprocess, "run", refused)
    assert latency.main(["--report", str(report)]) == 1
    assert report.exists()
    assert latency.main(["--from", str(report)]) == 1
    assert not (tmp_path / "kept").exists()


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    first = kept("latency")
    write(first, tmp_path)
    assert msgspec.to_builtins(kept("latency", tmp_path)) == msgspec.to_builtins(first)
    assert isinstance(first, Result)
