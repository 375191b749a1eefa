"""Real scores on every operator's way: backfilled, sent, replayed, rebuilt, and each time held against a
recomputation that shares no code with the worker.

They are the Open University's where `OULAD_SCORES` names its file, and invented ones of its shape elsewhere.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts import backfill, rebuild, replay
from tests.integration.operated import System
from worker.local.event_files import read_events
from worker.local.recompute import recompute
from worker.local.stack import Stack
from worker.local.verifying import scores_equal_recomputation, states_equal_ledger

OULAD_COLUMNS = (
    "student_id=id_student, course_id={code_module}-{code_presentation}, item_id=id_assessment,"
    "max_score=100, occurred_at={presentation_start}+{submitted_day}d"
)


@pytest.fixture
def system(stack: Stack, database: str, tmp_path: Path) -> Iterator[System]:
    system = System(stack, database, tmp_path)
    yield system
    system.close()


def test_real_scores_are_right_on_every_way_into_the_ledger(
    system: System, oulad: Path | None, tmp_path: Path
) -> None:
    path, rows = (oulad, 173_912) if oulad else (oulad_like(tmp_path / "scores.csv"), 12_000)
    given = (str(path), "--columns", OULAD_COLUMNS)

    code, report = system.run(backfill.main, *given, "--rejects", str(tmp_path))
    figures = report["figures"]
    assert (code, figures["rows read"], figures["rows rejected"]) == (0, rows, 0)
    assert figures["applied"] == rows
    prove(system, path)
    backfilled = system.rows()

    begun = datetime.now(UTC) - timedelta(seconds=1)
    code, report = system.run(backfill.main, *given, "--rejects", str(tmp_path), "--via-stream")
    assert (code, report["figures"]["rows accepted"]) == (0, rows)
    span = ("--from", begun.isoformat(), "--to", datetime.now(UTC).isoformat(), "--share", "1")

    code, report = system.run(replay.main, *span, "--dry-run")
    assert (code, report["figures"]["events without effect"]) == (0, rows)
    code, report = system.run(replay.main, *span)
    assert (code, report["figures"]["events read"], report["figures"]["events duplicate"]) == (0, rows, rows)
    assert system.rows() == backfilled, "what was known is not written again"

    forget_everything(system)
    code, report = system.run(replay.main, *span, "--job", "from-nothing")
    assert (code, report["figures"]["events applied"]) == (0, rows)
    assert system.rows() == backfilled, "the stream alone makes the same ledger"
    prove(system, path)

    system.edges.projection.drop([one for page in system.edges.projection.residents(1_000) for one in page])
    assert not system.projected()
    assert system.run(rebuild.main)[0] == 0
    assert system.run(rebuild.main, "--verify")[0] == 0
    prove(system, path)


def forget_everything(system: System) -> None:
    """The state before the first score, in ledger and projection."""
    system.execute("TRUNCATE attempts, course_scores")
    system.edges.projection.drop([one for page in system.edges.projection.residents(1_000) for one in page])


def prove(system: System, path: Path) -> None:
    """Redis equals the ledger, and every figure of every student an independent recomputation."""
    as_of = datetime.now(UTC)
    sent = [row.event for row in read_events(path, OULAD_COLUMNS) if isinstance(row.event, dict)]
    assert states_equal_ledger(system.edges).full
    comparison = scores_equal_recomputation(system.edges, recompute(sent, as_of, arrived_by=as_of), as_of)
    assert comparison.differences == []
    assert comparison.pairs > 0


def oulad_like(path: Path) -> Path:
    """Invented rows in the shape of the Open University's table."""
    chance = random.Random(2)
    names = "code_module code_presentation presentation_start id_assessment id_student submitted_day score"
    lines = [names.replace(" ", ",")]
    for number in range(12_000):
        score = "" if number % 500 == 0 else chance.randrange(101)
        item, student, day = number // 800, 7_000_000 + number % 800, chance.randrange(-9, 240)
        lines.append(f"ZZZ,2013J,2013-10-01,{item},{student},{day},{score}")
    path.write_text("\n".join(lines) + "\n")
    return path
