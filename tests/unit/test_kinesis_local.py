"""What the drills that reshard need of the machine: said when it is missing, pinned when it is there."""

import json
from pathlib import Path

import pytest

from tests.faults import kinesis_local
from tests.faults.drills import DRILLS
from tests.faults.kinesis_local import CannotRun, Program
from worker.local.process import StackError


@pytest.fixture
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str, path: str) -> Path:
        raise StackError(f"{package} is not installed")

    monkeypatch.setattr(kinesis_local, "packaged_file", missing)


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\necho '{says}' >&2\nexit {code}\n")
    (folder / name).chmod(0o755)


@pytest.mark.usefixtures("_no_wheel")
def test_without_node_the_reason_says_what_brings_it(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="Node 18 or newer with npm"):
        kinesis_local.installed(tmp_path / "to", {"PATH": str(tmp_path)})
    assert not (tmp_path / "to").exists()


@pytest.mark.usefixtures("_no_wheel")
def test_a_node_that_is_too_old_is_as_good_as_none(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "v16.20.2")
    program(tmp_path / "bin", "npm", "added 1 package")
    with pytest.raises(CannotRun):
        kinesis_local.installed(tmp_path / "to", {"PATH": str(tmp_path / "bin")})


def test_what_npm_did_not_install_is_tried_again_the_next_time(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "v20.20.2")
    program(tmp_path / "bin", "npm", "npm error code ENOTFOUND", code=1)
    for _ in range(2):
        with pytest.raises(CannotRun, match="ENOTFOUND"):
            kinesis_local.installed(tmp_path / "to", {"PATH": str(tmp_path / "bin")})


def test_what_is_installed_at_the_pinned_version_is_taken_as_it_is(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "v20.20.2")
    program(tmp_path / "bin", "npm", "npm error must not be called", code=1)
    to = tmp_path / "to"
    package = to / "node_modules" / "kinesis-local"
    package.mkdir(parents=True)
    lock = Path(kinesis_local.__file__).with_name("package-lock.json").read_text()
    (to / "package-lock.json").write_text(lock)
    found = kinesis_local.installed(to, {"PATH": str(tmp_path / "bin")})
    assert found == Program(tmp_path / "bin" / "node", package)

    (to / "package-lock.json").write_text(lock.replace("0.6.2", "0.6.1"))
    with pytest.raises(CannotRun):
        kinesis_local.installed(to, {"PATH": str(tmp_path / "bin")})


def test_version_and_checksum_are_pinned_and_no_registry_is_named() -> None:
    text = Path(kinesis_local.__file__).with_name("package-lock.json").read_text()
    locked = json.loads(text)["packages"]["node_modules/kinesis-local"]
    assert locked["version"] == "0.6.2"
    assert locked["integrity"].startswith("sha512-")
    assert "://" not in text


@pytest.mark.usefixtures("_no_wheel")
def test_the_drills_that_reshard_say_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reasons = {drill.number: drill.unavailable() for drill in DRILLS if drill.reshards}
    assert reasons.keys() == {11, 12, 13}
    assert all(reason and "Node" in reason for reason in reasons.values())
