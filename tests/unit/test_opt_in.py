"""The tests of a real account are there, and nobody runs them by accident."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def collected(*arguments: str) -> str:
    """What pytest would run of them."""
    command = [sys.executable, "-m", "pytest", "tests/aws", "--collect-only", "-q", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("arguments", "there"), [((), False), (("-m", "aws"), True)])
def test_they_are_asked_for_by_name(arguments: tuple[str, ...], there: bool) -> None:
    answer = collected(*arguments)
    assert ("test_deployed.py::test_stream" in answer) is there
    assert ("deselected" in answer) is not there
    assert "error" not in answer
