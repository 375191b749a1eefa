"""The gate passes as things are, on a machine with other work, and fails when a part costs twice as much."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from benchmarks.gate import BOUND, BOUND_ELSEWHERE, Ratio, compare, main, measure
from benchmarks.probes import Probe, probes
from benchmarks.result import Machine, Result, kept, machine

PART = Probe("decode", "a record", 1, lambda _: None)


def before(python: str | None = None, **ratios: float) -> Result:
    where = Machine("a processor", 2, 4.0, "6.1", python or machine().python)
    return Result("gate", "", "2026-11-23", "abc1234", where, [], {"ratios": ratios})


def looks(*values: float) -> Callable[[Probe], Ratio]:
    found: Iterator[float] = iter(values)
    return lambda _part: Ratio(next(found), 1.0)


def test_no_part_of_an_events_way_has_become_dearer() -> None:
    """In a process of its own, because the heap of a test run is not that of a shard."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gate", "--rounds", "11"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("part", probes(), ids=lambda part: str(part.name))
def test_a_part_that_does_its_work_twice_is_told(part: Probe) -> None:
    """Beside itself as it is now: what was kept may be of a time when it was dearer."""

    def twice(given: Any) -> None:
        part.step(given[0])
        part.step(given[1])

    doubled = part._replace(step=twice, fresh=lambda: (part.fresh(), part.fresh()))
    # in turns, so that both meet the machine's moods, and as often as a part is looked at
    once, dear = zip(*((measure(part, rounds=2), measure(doubled, rounds=2)) for _ in range(4)), strict=True)
    now, looked = before(None, **{part.name: min(once).value}), iter(dear)
    (found,) = compare([doubled], now, lambda _: next(looked))
    assert not found.good


def test_a_part_that_looks_dearer_is_looked_at_again_and_the_least_counts() -> None:
    (noisy,) = compare([PART], before(decode=1.0), looks(2.0, 1.6, 1.1))
    assert (noisy.times, noisy.good) == (1.1, True)
    (dear,) = compare([PART], before(decode=1.0), looks(2.0, 1.9, 2.1, 2.2))
    assert (dear.times, dear.good) == (1.9, False)


def test_another_interpreter_has_a_wider_bound() -> None:
    (here,) = compare([PART], before(decode=1.0), looks(1.6, 1.6, 1.6, 1.6))
    (there,) = compare([PART], before("2.7.18", decode=1.0), looks(1.6))
    assert (here.bound, here.good) == (BOUND, False)
    assert (there.bound, there.good) == (BOUND_ELSEWHERE, True)


def test_a_part_that_nothing_was_kept_of_is_no_pass() -> None:
    (new,) = compare([PART], before(), looks(1.0))
    assert (new.times, new.good) == (None, False)


def test_what_is_kept_is_of_every_part() -> None:
    ratios = kept("gate").figures["ratios"]
    assert msgspec.convert(ratios, dict[str, float]).keys() == {part.name for part in probes()}


def test_nothing_kept_is_a_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_suite: str) -> Result:
        raise FileNotFoundError

    monkeypatch.setattr("benchmarks.gate.kept", nothing)
    with pytest.raises(SystemExit) as left:
        main(["--rounds", "1"])
    assert left.value.code == 2
