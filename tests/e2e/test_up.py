"""`make up` as a person meets it: it says where everything listens and leaves nothing behind."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", "worker", "local", "up", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_up_says_where_it_listens_and_ctrl_c_leaves_nothing(up: subprocess.Popen[str]) -> None:
    said = read_until(up, "Ctrl-C")
    health = re.search(r"http://127\.0\.0\.1:\d+/healthz", said)
    assert health is not None, said
    with urllib.request.urlopen(health[0], timeout=10) as answer:
        assert answer.status == 200
    family = psutil.Process(up.pid).children(recursive=True)
    assert any("granian" in " ".join(p.cmdline()) for p in family)
    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=60) == 0
    psutil.wait_procs(family, timeout=10)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    pytest.fail(f"it ended without saying {word!r}: {said}")
