"""Samples are those of the CPU and end in the right tables; PostgreSQL's log tells each statement."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import flames, hotpath, statements
from benchmarks.flames import Node
from benchmarks.sampler import BEGIN_OR_END, SECONDS

ROOT = Path(__file__).parents[3]
RAW = """\
<module> (worker/__main__.py);take (worker/stream/a.py);execute (psycopg/cursor.py) 30
<module> (worker/__main__.py);take (worker/stream/a.py) 10
<module> (worker/__main__.py);fold (worker/domain/b.py);<lambda> (<string>) 59
start (runpy.py) 1"""

LOG = """\
2026-11-23 06:00:00.000 UTC [7] LOG:  PARSE MESSAGE STATISTICS
2026-11-23 06:00:00.000 UTC [7] DETAIL:  ! system usage stats:
\t!\t0.000300 s user, 0.000100 s system, 0.000500 s elapsed
\t!\t[1.200000 s user, 0.300000 s system total]
2026-11-23 06:00:00.000 UTC [7] STATEMENT:  -- why it is so
\tSELECT one
\tFROM two -- and this
2026-11-23 06:00:00.001 UTC [8] LOG:  checkpoint starting: time
2026-11-23 06:00:00.002 UTC [7] LOG:  EXECUTE MESSAGE STATISTICS
2026-11-23 06:00:00.002 UTC [7] DETAIL:  ! system usage stats:
\t!\t0.001000 s user, 0.000600 s system, 0.004000 s elapsed
2026-11-23 06:00:00.002 UTC [7] STATEMENT:  -- why it is so
\tSELECT one
\tFROM two -- and this
2026-11-23 06:00:00.003 UTC [9] LOG:  QUERY STATISTICS
2026-11-23 06:00:00.003 UTC [9] DETAIL:  ! system usage stats:
\t!\t0.000010 s user, 0.000000 s system, 0.000010 s elapsed
2026-11-23 06:00:00.003 UTC [9] STATEMENT:  ALTER SYSTEM RESET "log_statement_stats"
"""

BUSY = f"""
import os, time
def compute():
    begun = time.process_time()
    while time.process_time() - begun < 0.5:
        sum(range(1000))
def wait():
    time.sleep(0.5)
compute()
os.kill(os.getpid(), {BEGIN_OR_END.value})
compute()
wait()
os.kill(os.getpid(), {BEGIN_OR_END.value})
compute()
"""


def test_a_sample_counts_for_who_runs_and_for_who_called() -> None:
    found = flames.stacks(RAW)
    assert found.total() == 100
    assert flames.itself(found)["psycopg/cursor.py execute"] == 30
    assert flames.with_called(found) == {"worker/stream/a.py take": 40, "worker/domain/b.py fold": 59}
    assert flames.by_module(found) == {
        "worker/stream/a.py": 40,
        "worker/domain/b.py": 59,
        "the interpreter": 1,
    }


def test_the_tree_begins_where_the_ways_part_and_the_widest_comes_first() -> None:
    found = flames.tree(flames.stacks(RAW), 0.5)
    assert (found.function, found.us) == ("<module>", 49.5)
    assert [(node.function, node.us) for node in found.calls] == [("fold", 29.5), ("take", 20.0)]
    assert found.calls[1].calls == [Node("execute", "psycopg/cursor.py", 15.0, [])]


def test_parsing_and_executing_are_one_statement_and_ours_is_none() -> None:
    ((text, spent),) = statements.spent(LOG.splitlines()).items()
    assert text == "SELECT one FROM two"
    assert spent == pytest.approx((0.002, 0.0045, 1))


def test_only_what_computes_between_the_two_signals_is_sampled(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    out = tmp_path / "samples.txt"
    command = [sys.executable, "-m", "benchmarks.sampler", str(out), "busy"]
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})
    found = flames.stacks(out.read_text())
    assert 0.25 < found.total() * SECONDS < 0.75
    names = {frame.function for stack in found for frame in stack}
    assert "compute" in names
    assert "wait" not in names


def test_too_few_events_are_a_wrong_use() -> None:
    with pytest.raises(SystemExit) as left:
        hotpath.main(["--events", "100"])
    assert left.value.code == 2
