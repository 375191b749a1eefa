"""One student's record in a file, on real servers."""

import csv
import io
import json
import os
import random
import signal
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts import erase, export
from scripts.frame.script import execute
from scripts.frame.showing import Show
from tests.conftest import NOW
from tests.integration.breaking import COUNT
from tests.integration.registry import Registry, attempt

ADA = "ada-4711"
WHOM = ("--for", "the parents", "--purpose", "request to inspect")


def run(registry: Registry, *argv: str) -> tuple[int, dict[str, Any], str]:
    report, said = registry.folder / "report.json", io.StringIO()
    (registry.folder / "id.txt").write_text(ADA)
    named = ["--student-id-file", str(registry.folder / "id.txt"), "--report", str(report)]
    code = execute(export.SCRIPT, [*named, *argv], show=Show(Console(file=said, width=200)))
    told = json.loads(report.read_bytes()) if report.exists() else {}
    assert ADA not in said.getvalue() + json.dumps(told)
    return code, told, said.getvalue()


@pytest.fixture
def record(registry: Registry) -> Path:
    registry.deliver(
        [attempt(ADA, number=n, score=n * 10, at=NOW - timedelta(days=n)) for n in range(1, 6)],
        [attempt(ADA, "=cmd|biology", score=None), attempt("ben")],
        [
            {
                **attempt(ADA, number=5, at=NOW - timedelta(days=5)),
                "kind": "voided",
                "graded_at": NOW.isoformat(),
            }
        ],
    )
    registry.look("ms-frizzle", ADA, "ben")
    return registry.folder / "record.json"


def test_the_record_holds_every_attempt_and_how_each_score_comes_about(
    registry: Registry, record: Path, tmp_path: Path
) -> None:
    code, told, said = run(registry, "--out", str(record), "--csv", str(tmp_path / "a.csv"), *WHOM)
    assert code == 0, said
    assert all(verdict["good"] for verdict in told["verdicts"])
    assert stat.S_IMODE(record.stat().st_mode) == stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o600
    body = json.loads(record.read_bytes())
    assert body["student"]["student_id"] == ADA
    assert body["student"]["student_key"] == str(registry.key(ADA))
    biology, algebra = body["courses"]
    assert (biology["course_id"], len(algebra["attempts"])) == ("=cmd|biology", 5)
    mean = algebra["scores"]["mean_last_n"]
    named = [one for one in algebra["attempts"] if one["attempt"] in mean["from"]]
    assert mean["value"] == pytest.approx(sum(one["ratio"] for one in named) / len(named))
    (voided,) = [one for one in algebra["attempts"] if one["voided"]]
    assert voided["attempt"] not in mean["from"]
    assert [one["who"] for one in body["disclosures"]] == ["the parents", "ms-frizzle"]
    assert "ben" not in record.read_text()
    lines = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8-sig").splitlines()))
    assert len(lines) == 6
    assert lines[0]["course_id"] == "'=cmd|biology", "no cell runs as a formula"


def test_the_export_is_itself_a_disclosure(registry: Registry, record: Path) -> None:
    assert run(registry, "--out", str(record), *WHOM)[0] == 0
    (first, _) = registry.office.disclosures.of_student(registry.key(ADA), None, 9)
    assert (first.who, first.role, first.what) == ("the parents", "operator", "export")
    assert first.purpose == "request to inspect"
    assert list(registry.office.disclosures.broken()) == []


def test_nothing_is_written_over_and_a_dry_run_writes_nothing(registry: Registry, record: Path) -> None:
    before = registry.dump()
    code, told, _ = run(registry, "--dry-run")
    assert (code, told["figures"]) == (0, {"courses": 2, "attempts": 6, "disclosures": 1})
    assert (registry.dump(), record.exists()) == (before, False)
    record.write_text("something")
    assert run(registry, "--out", str(record), *WHOM)[0] == 2
    assert (registry.dump(), record.read_text()) == (before, "something")
    assert run(registry, "--out", str(record.with_name("other.json")))[0] == 2


def test_an_unfinished_file_of_a_run_that_was_killed_is_in_nobodys_way(
    registry: Registry, record: Path
) -> None:
    record.with_name(f".{record.name}.part").write_text("half of it")
    assert run(registry, "--out", str(record), *WHOM)[0] == 0
    assert sorted(path.name for path in record.parent.glob(".*.part")) == []


def test_a_run_that_was_killed_between_two_files_is_finished_by_the_next(
    registry: Registry, record: Path, tmp_path: Path
) -> None:
    table = tmp_path / "a.csv"
    files = ("--out", str(record), "--csv", str(table), *WHOM)
    assert run(registry, *files)[0] == 0
    whole = table.read_bytes()
    record.rename(record.with_name(f".{record.name}.part"))
    table.write_bytes(whole[:100])
    assert run(registry, *files)[0] == 0
    assert table.read_bytes() == whole
    assert json.loads(record.read_bytes())["courses"]
    record.unlink()
    assert run(registry, *files)[0] == 2, "a table alone is somebody else's"
    assert run(registry, "--out", str(record), "--csv", str(record), *WHOM)[0] == 2


def test_killed_at_random_places_it_leaves_both_files_or_neither_in_the_next_runs_way(
    registry: Registry, record: Path, tmp_path: Path
) -> None:
    table = tmp_path / "a.csv"
    argv = ("--student-id-file", str(registry.folder / "id.txt"), "--csv", str(table), *WHOM)
    run(registry, "--dry-run")  # which writes down whose record it is
    counted = record.with_name("other.json")
    words = broken_off(registry, 0, "export", *argv, "--out", str(counted))
    shall, attempts = comparable(counted), table.read_bytes()
    table.unlink()
    chance, breaks = random.Random(), list[int]()
    for _ in range(4):
        breaks.append(chance.randint(1, words - 2))
        broken_off(registry, breaks[-1], "export", *argv, "--out", str(record))
    code, _, said = run(registry, "--out", str(record), "--csv", str(table), *WHOM)
    assert code == 0, (breaks, said)
    assert (comparable(record), table.read_bytes()) == (shall, attempts), breaks
    assert [*tmp_path.glob(".*.part"), *record.parent.glob(".*.part")] == []


def broken_off(registry: Registry, at: int, *argv: str) -> int:
    """A run in a process of its own, killed at that word; how many words it said if it came to its end."""
    words = registry.folder / "words"
    words.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.breaking", str(at), str(int(signal.SIGKILL)), *argv],
        env={**os.environ, **registry.environment, COUNT: str(words)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in ((-signal.SIGKILL,) if at else (0,)), done.stderr
    return int(words.read_text()) if words.exists() else 0


def comparable(record: Path) -> dict[str, Any]:
    """A record less what says when it was made; every try to make one is a look that is written down."""
    body: dict[str, Any] = json.loads(record.read_bytes())
    del body["exported_at"]
    body["disclosures"] = {json.dumps({**one, "at": None}) for one in body["disclosures"]}
    return body


def test_an_erased_or_unknown_student_is_told(registry: Registry, record: Path) -> None:
    erased = ["--student-id-file", str(registry.folder / "id.txt"), "--by", "x", "--reason", "y", "--yes"]
    (registry.folder / "id.txt").write_text(ADA)
    assert erase.main(erased) == 0
    code, _, said = run(registry, "--out", str(record), *WHOM)
    assert (code, "was erased on" in said, record.exists()) == (1, True, False)
    code, _, said = run(registry, "--realm", "another", "--out", str(record), *WHOM)
    assert (code, "no such student" in said) == (1, True)
