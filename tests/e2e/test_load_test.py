"""The load test on the real product: a short run is proven, and one that is killed leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.e2e

_PATIENCE = 240


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, "-m", "scripts.load_test", "--local", "--directory", str(folder / "stack")),
        *("--students", "500", "--courses", "10", "--warm-up", "1"),
        *("--report", str(folder / "report.json"), *arguments),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_line(process: subprocess.Popen[str], part: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return
    pytest.fail(f"it ended without a line of {part!r}")


def ended(processes: Sequence[psutil.Process]) -> bool:
    gone, _alive = psutil.wait_procs(processes, timeout=30)
    return len(gone) == len(processes)


def test_a_killed_run_leaves_nothing_and_the_next_is_proven(tmp_path: Path) -> None:
    first = started(tmp_path, "--rate", "300", "--minutes", "5")
    wait_for_line(first, "of 90,000 events")
    children = psutil.Process(first.pid).children(recursive=True)
    shards = [child for child in children if child.cmdline()[-1:] == ["shard"]]
    assert len(shards) == 2
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=_PATIENCE)
    assert ended([child for child in children if child not in shards]), "its servers die with it"
    assert not (tmp_path / "report.json").exists()
    try:
        interrupt_another(tmp_path)
    finally:
        for shard in shards:  # a shard process without its servers waits for them, unless a group named it
            if shard.is_running():
                shard.kill()


def interrupt_another(tmp_path: Path) -> None:
    second = started(tmp_path, "--rate", "300", "--minutes", "5")
    wait_for_line(second, "of 90,000 events")
    begun = time.monotonic()
    second.send_signal(signal.SIGINT)
    output, _ = second.communicate(timeout=_PATIENCE)
    assert second.returncode == 130, output
    assert time.monotonic() - begun < _PATIENCE
    report = json.loads((tmp_path / "report.json").read_bytes())
    trial = report["trials"][0]
    assert trial["interrupted"]
    assert 0 < trial["sent"] < 90_000
    assert (trial["lost"], trial["double"], trial["unknown"]) == (0, 0, 0)
    assert trial["closes"]
    assert trial["states"] == trial["states_equal"] > 0
    assert trial["cpu_seconds"]["worker task, shard processes"] > 0
    assert (tmp_path / "report.html").exists()
