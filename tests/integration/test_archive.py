"""The archive of the daemon's classes, made and taken by the real Java."""

import subprocess
from pathlib import Path

import pytest

from worker.cli import main
from worker.kcl.archive import make
from worker.kcl.daemon import JavaCommand
from worker.local.java import find_java


def test_java_takes_what_it_wrote_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    java, file = str(find_java()), tmp_path / "daemon.jsa"
    file.write_text("an older one")
    monkeypatch.setenv("JAVA_BIN", java)
    assert main(["archive", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: ")
    assert [*tmp_path.iterdir()] == [file]
    *command, _, jars, _, _, _ = JavaCommand(java, archive=file)(Path("none"))
    assert f"-XX:SharedArchiveFile={file}" in command
    fewer = jars.partition(":")[2]
    assert _starts([*command, "-Xshare:on", "-cp", jars])
    assert not _starts([*command, "-Xshare:on", "-cp", fewer])
    assert _starts([*command, "-cp", fewer]), "an archive that does not fit is left alone"


def _starts(command: list[str]) -> bool:
    done = subprocess.run([*command, "-version"], capture_output=True, text=True, check=False)
    return done.returncode == 0


def test_a_java_that_writes_none_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho there is no such option\nexit 1\n")
    java.chmod(0o755)
    with pytest.raises(RuntimeError, match="wrote no archive:\nthere is no such option"):
        make(str(java), tmp_path / "daemon.jsa")
    monkeypatch.setenv("JAVA_BIN", str(java))
    assert main(["archive", str(tmp_path / "daemon.jsa")]) == 1
    assert "there is no such option" in capsys.readouterr().err
