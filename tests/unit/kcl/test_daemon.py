"""The daemon's command line."""

import importlib
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from worker.kcl.daemon import Daemon, JavaCommand, replace_file, shard_executable


def test_the_java_command() -> None:
    command = JavaCommand("/opt/java/bin/java", 300, ("-Daws.cborEnabled=false",))(
        Path("/state/w.properties")
    )
    assert command[0] == "/opt/java/bin/java"
    assert {"-Xmx300m", "-XX:MaxDirectMemorySize=64m", "-XX:+ExitOnOutOfMemoryError"} <= set(command)
    assert command.index("-Daws.cborEnabled=false") < command.index("-cp")
    assert command[-3:] == [
        "software.amazon.kinesis.multilang.MultiLangDaemon",
        "--properties-file",
        "/state/w.properties",
    ]
    jars = command[command.index("-cp") + 1].split(":")
    assert all(Path(jar).is_file() for jar in jars)
    assert any("amazon-kinesis-client-multilang" in jar for jar in jars)


def test_an_archive_of_classes_is_named_where_it_is_there(tmp_path: Path) -> None:
    archive = tmp_path / "daemon.jsa"
    flag = f"-XX:SharedArchiveFile={archive}"
    assert flag not in JavaCommand(archive=archive)(Path("p"))
    archive.touch()
    command = JavaCommand(archive=archive)(Path("p"))
    assert command.index(flag) < command.index("-cp")


def test_the_logback_file_travels_with_the_package() -> None:
    (option,) = [part for part in JavaCommand()(Path("p")) if part.startswith("-Dlogback.configurationFile=")]
    text = Path(option.partition("=")[2]).read_text()
    assert "<pattern>KCL|%d" in text


def test_a_plain_shard_command_needs_no_script(tmp_path: Path) -> None:
    assert shard_executable(["/bin/python", "-u", "-m", "worker"], tmp_path) == "/bin/python -u -m worker"
    assert list(tmp_path.iterdir()) == []


def test_a_shard_command_with_spaces_is_wrapped(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    odd = tmp_path / "my programs" / "it's echo"
    odd.parent.mkdir()
    odd.symlink_to("/bin/echo")
    executable = shard_executable([str(odd), "a b", "c"], state_dir)
    said = subprocess.run(executable.split(" "), capture_output=True, text=True, check=True).stdout
    assert said == "a b c\n"


def test_a_state_directory_with_spaces_cannot_hold_the_script(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not hold a space"):
        shard_executable(["my python"], tmp_path / "my state")


def test_missing_jars_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="jars"):
        JavaCommand()(Path("p"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    for text in ("long " * 100, shlex.quote("short")):
        replace_file(path, text)
        assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["ports.json"]


def test_only_its_own_family_is_told_anything() -> None:
    daemon = Daemon(["/bin/sleep", "60"], dict(os.environ), lambda _line: None, lambda _line: None)
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        daemon.tell(stranger.pid, signal.SIGTERM)
        daemon.tell(2**22 + 1, signal.SIGTERM)  # nobody has this number
        daemon.tell(daemon.pid, signal.SIGTERM)
        assert daemon.end()
        assert daemon.poll() in (-signal.SIGTERM, -signal.SIGKILL)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
