"""Huge pages are kept for as long as they are measured, and given back."""

from pathlib import Path

import pytest

from benchmarks.growing import hugepages

MEMORY = "MemTotal:       24000000 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(MEMORY)
    return path


def test_as_many_are_kept_as_the_memory_takes_and_given_back(tmp_path: Path, memory: Path) -> None:
    count = tmp_path / "nr_hugepages"
    count.write_text("3\n")
    with hugepages.kept(5, print, count, memory) as there:
        assert there
        assert count.read_text() == "6"
    assert count.read_text() == "3"


def test_a_kernel_that_gives_fewer_gives_none(tmp_path: Path, memory: Path) -> None:
    class Short(type(tmp_path)):  # type: ignore[misc]  # whatever kind of path this system has
        def write_text(self, data: str, *_: object, **__: object) -> int:
            return super().write_text(str(min(int(data), 1)))  # type: ignore[no-any-return]

    count, said = Short(tmp_path / "nr_hugepages"), list[str]()
    count.write_text("0")
    with hugepages.kept(5, said.append, count, memory) as there:
        assert not there
        assert count.read_text() == "0"
    assert said == ["no huge pages: 1 of 3 to be had"]


def test_where_nobody_may_ask_for_them_there_are_none(tmp_path: Path, memory: Path) -> None:
    said: list[str] = []
    with hugepages.kept(5, said.append, tmp_path / "none", memory) as there:
        assert not there
    assert said[0].startswith("no huge pages: ")
