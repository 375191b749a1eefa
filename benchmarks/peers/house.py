"""An environment for the peers' packages, so that none of them decides a version of the product's."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_MARK = "installed.txt"
_LAST_LINES = 3


class NotInstalled(Exception):
    """The packages cannot be had here; the text says why and what to do."""


def python_of(folder: Path, say: Callable[[str], None]) -> Path:
    """The interpreter that has the peers' packages, made on first use and when the requirements change.

    Raises:
        NotInstalled: they cannot be installed.
    """
    python = folder / "venv" / "bin" / "python"
    mark = folder / "venv" / _MARK
    wanted = REQUIREMENTS.read_text()
    if mark.exists() and mark.read_text() == wanted:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    say(f"installing the peers' packages into {folder / 'venv'} (1.6 GB, some minutes)")
    _run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(REQUIREMENTS)], folder)
    mark.write_text(wanted)
    return python


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " / ".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise NotInstalled(
            f"not installed: {last}; mend what it says, delete {folder / 'venv'} and run again"
        )
