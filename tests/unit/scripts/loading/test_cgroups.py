"""Control groups of both versions, on a folder that looks like the kernel's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.loading import cgroups
from scripts.loading.cgroups import NotLimited, limited


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_version_1_takes_both_hierarchies_below_our_own_group(tmp_path: Path) -> None:
    (tmp_path / "memory/own").mkdir(parents=True)
    (tmp_path / "cpu").mkdir()
    mounts = "".join(f"cgroup {tmp_path}/{name} cgroup rw,{name} 0 0\n" for name in ("cpu", "memory"))
    own = text(tmp_path / "own", "4:memory:/own\n1:cpu:/\n")
    with limited(0.5, 1_024, mounts=text(tmp_path / "mounts", mounts), own=own) as group:
        cpu, memory = group.folders
        assert cpu.parent == tmp_path / "cpu"
        assert memory.parent == tmp_path / "memory/own"
        assert (cpu / "cpu.cfs_quota_us").read_text() == "50000"
        assert (cpu / "cpu.cfs_period_us").read_text() == "100000"
        assert (memory / "memory.limit_in_bytes").read_text() == str(1 << 30)
        group.take(4711)
        assert (cpu / "cgroup.procs").read_text() == (memory / "cgroup.procs").read_text() == "4711"
        assert group.throttled() == "unknown"
        text(cpu / "cpu.stat", "nr_periods 10\nnr_throttled 3\nthrottled_time 5\n")
        assert group.throttled() == "3 of 10 periods of 100 ms"
        for folder in group.folders:  # the kernel's files go with their folder
            for file in folder.iterdir():
                file.unlink()
    assert not cpu.exists()
    assert not memory.exists()


def test_version_2_without_controllers_says_so(tmp_path: Path) -> None:
    mounts = text(tmp_path / "mounts", f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    own = text(tmp_path / "own", "0::/\n")
    with pytest.raises(NotLimited, match="does not pass"), limited(1, 64, mounts=mounts, own=own):
        pass
    assert not list(tmp_path.glob("edu-*"))


def test_no_control_groups_are_a_reason_and_no_failure(tmp_path: Path) -> None:
    mounts = text(tmp_path / "mounts", "proc /proc proc rw 0 0\n")
    own = text(tmp_path / "own", "")
    with pytest.raises(NotLimited, match="no control groups"), limited(1, 64, mounts=mounts, own=own):
        pass


def test_a_group_that_may_not_be_made_names_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    mounts = text(tmp_path / "mounts", f"cgroup2 {missing} cgroup2 rw 0 0\n")
    with (
        pytest.raises(NotLimited, match="No such file"),
        limited(1, 64, mounts=mounts, own=text(tmp_path / "own", "0::/\n")),
    ):
        pass


def test_what_a_killed_run_left_is_ended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_PATIENCE_SECONDS", 0.0)  # a folder of ours does not lose its files
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    old = tmp_path / "cpu" / f"edu-load-test-{dead.pid}"
    old.mkdir()
    text(old / "cgroup.procs", f"{left.pid}\n")
    alive = tmp_path / "cpu" / f"edu-load-test-{os.getppid()}"
    alive.mkdir()
    mounts = "".join(f"cgroup {tmp_path}/{name} cgroup rw,{name} 0 0\n" for name in ("cpu", "memory"))
    own = text(tmp_path / "own", "1:cpu:/\n")
    with limited(0.5, 64, mounts=text(tmp_path / "mounts", mounts), own=own) as group:
        assert left.wait(30) == -signal.SIGKILL
        assert alive.exists(), "another run that goes on keeps its group"
        for folder in group.folders:
            for file in folder.iterdir():
                file.unlink()
