"""`python -m benchmarks.gate`: whether a part of an event's way has become much dearer than it was.

Times say nothing on a machine that others use as well. So each part's CPU is divided by that of a loop of
plain Python in the same process, taken right before and after it, and the median of many such ratios is
compared with the one that was kept. A part that looks dearer is measured again before it is believed: noise
passes, twice the work does not.
"""

import argparse
import gc
import hashlib
import statistics
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.probes import Probe, probes
from benchmarks.result import FOLDER, Result, keep, kept, machine

SUITE = "gate"
BOUND = 1.5
"""So many times the kept ratio is still the same: other work that fills the caches makes a part up to 1.3
times as dear beside the loop as it is alone, work done twice makes it 2."""
BOUND_ELSEWHERE = 1.9
"""The same on another version of the interpreter, whose parts have other costs."""
_CHEAPER = 0.85
_ROUNDS = 25
_AGAIN = 3
_SLICE_SECONDS = 0.008


class Ratio(NamedTuple):
    """What one event or state costs, in passes of the reference loop, and in microseconds of this run."""

    value: float
    micros: float


class Compared(NamedTuple):
    """A part beside what was kept of it; `times` is None for a part that nothing was kept of."""

    name: str
    now: Ratio
    times: float | None
    bound: float

    @property
    def good(self) -> bool:
        return self.times is not None and self.times <= self.bound


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and compare; 0 when no part has become dearer, 1 when one has, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep what is measured now, compare with nothing")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of each part (default: %(default)s)")
    arguments = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 110)
    parts = probes()
    console.print(f"{len(parts)} parts, {arguments.rounds} rounds")
    if arguments.keep:
        found = {part.name: measure(part, arguments.rounds) for part in parts}
        console.print(f"kept in {_keep(found)}")
        return 0
    try:
        before = kept(SUITE)
    except FileNotFoundError:
        parser.error(f"nothing was kept in {FOLDER}; keep it with --keep")
    compared = compare(parts, before, lambda part: measure(part, arguments.rounds))
    console.print(_table(parts, compared, before))
    worse = [one.name for one in compared if not one.good]
    better = [one.name for one in compared if one.times is not None and one.times < _CHEAPER]
    if better:
        console.print(f"cheaper: {', '.join(better)}; --keep makes that the measure of the next change")
    console.print("no part has become dearer" if not worse else f"dearer, or new: {', '.join(worse)}")
    return 1 if worse else 0


def measure(part: Probe, rounds: int = _ROUNDS) -> Ratio:
    """The median of many ratios, each between two passes of the reference."""
    steps = _fitting(lambda: part.step(part.fresh()))
    passes = _fitting(reference)
    ratios, micros = [], []
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        before = _timed(reference, passes) / passes
        for _ in range(rounds):
            inputs = [part.fresh() for _ in range(steps)]
            begun = time.thread_time()
            for given in inputs:
                part.step(given)
            used = (time.thread_time() - begun) / steps / part.pieces
            after = _timed(reference, passes) / passes
            ratios.append(2 * used / (before + after))
            micros.append(used * 1e6)
            before = after
            del inputs
            gc.collect(0)
    finally:
        if enabled:
            gc.enable()
    return Ratio(statistics.median(ratios), statistics.median(micros))


def compare(parts: Sequence[Probe], before: Result, look: Callable[[Probe], Ratio]) -> list[Compared]:
    """Each part beside what was kept; one that looks dearer is looked at again, and the least counts."""
    ratios = before.figures["ratios"]
    assert isinstance(ratios, Mapping)
    bound = BOUND if _minor(before.machine.python) == _minor(machine().python) else BOUND_ELSEWHERE
    found = []
    for part in parts:
        was = ratios.get(part.name)
        if was is None:
            found.append(Compared(part.name, look(part), None, bound))
            continue
        now = look(part)
        for _ in range(_AGAIN):
            if now.value <= bound * was:
                break
            now = min(now, look(part))
        found.append(Compared(part.name, now, now.value / was, bound))
    return found


def reference() -> int:
    """A loop of what our parts are made of: tuples, dictionaries, packed bytes, hashes, small objects."""
    seen: dict[tuple[int, str], int] = {}
    packed = struct.Struct("<qiH")
    total = 0
    for number in range(200):
        key = (number % 37, f"item-{number % 11}")
        seen[key] = seen.get(key, 0) + number
        piece = packed.pack(number * 7_919, number, number % 31)
        occurred, ratio, day = packed.unpack_from(piece)
        total += occurred + ratio * day + len(hashlib.blake2b(piece, digest_size=16).digest())
    return total + len(sorted(seen.items()))


def _timed(step: Callable[[], object], times: int) -> float:
    begun = time.thread_time()
    for _ in range(times):
        step()
    return time.thread_time() - begun


def _fitting(step: Callable[[], object]) -> int:
    """How often a step fits into a slice: long enough to be timed, short enough to be disturbed once."""
    step()
    return max(1, round(_SLICE_SECONDS / max(1e-6, min(_timed(step, 1) for _ in range(3)))))


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _keep(found: Mapping[str, Ratio]) -> Path:
    return keep(
        SUITE,
        "python -m benchmarks.gate --keep",
        [],
        {
            "bound_times": BOUND,
            "ratios": {name: round(ratio.value, 5) for name, ratio in found.items()},
            "us_each": {name: round(ratio.micros, 3) for name, ratio in found.items()},
        },
    )


def _table(parts: Sequence[Probe], compared: Sequence[Compared], before: Result) -> Table:
    table = Table(title=f"beside {before.commit or 'an unknown commit'} of {before.date}")
    for name in ("part", "what"):
        table.add_column(name)
    for name in ("µs each", "times what it was", "at most"):
        table.add_column(name, justify="right")
    for part, one in zip(parts, compared, strict=True):
        times = "new" if one.times is None else f"{one.times:.2f}"
        row = (part.name, part.what, f"{one.now.micros:.2f}", times, f"{one.bound:.2f}")
        table.add_row(*row, style="" if one.good else "bold red")
    return table


if __name__ == "__main__":
    sys.exit(main())
