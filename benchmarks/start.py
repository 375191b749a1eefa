"""`python -m benchmarks.start`: how long a worker task takes from its start to its first record (P9).

Each start is a first one: a new stack, a stream that already holds a record for each shard, leases that
nobody has ever had. The clock runs from the start of the supervisor until the ledger has the record, and then
until every shard's is there; held to half a core as on Fargate, and without limits. Then the task is replaced
as a deploy without overlap does: stopped in good order, and another one started. Java finds an archive of the
daemon's classes, as it does in the image; beside that, first starts without one. The imports of a shard
process are timed apart, with warm caches.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks import imports
from benchmarks.classroom import Classroom
from benchmarks.proving import streamed
from benchmarks.result import Goal, keep
from benchmarks.staging import held, say, stack
from scripts.loading.cgroups import NotLimited
from worker import wiring
from worker.kcl import archive
from worker.local.edges import Edges
from worker.local.java import find_java
from worker.local.process import StackError
from worker.local.session import SHARDS, Session
from worker.local.watching import wait_for
from worker.settings import load

FIRST_SECONDS, IMPORT_SECONDS = 10.0, 0.4
_STUDENTS = 100
_PATIENCE_SECONDS = 180.0
_SLOWEST = 15


class Start(NamedTuple):
    """Seconds from the start of a task until the first record of any shard is in the ledger, and of all."""

    first: float
    all_shards: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and keep; 0 when both goals are met, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--starts", type=int, default=3, help="of each kind (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=9, help="imports timed (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a look: one start of each kind")
    parser.add_argument("--only", choices=("imports", "starts"), help="one half; nothing is kept then")
    arguments = parser.parse_args(argv)
    processes, starts = (3, 1) if arguments.quick else (arguments.processes, arguments.starts)
    goals: list[Goal] = []
    figures: dict[str, object] = {}
    if arguments.only != "starts":
        goals.append(_imports(processes, figures))
    try:
        if arguments.only != "imports":
            goals += _starts(starts, figures)
    except (NotLimited, StackError) as reason:
        say(str(reason))
        return 1
    for goal in goals:
        say(
            f"{'yes' if goal.met else 'NO '}  {goal.what}: {goal.value:.2f} {goal.unit} (goal {goal.limit:g})"
        )
    if arguments.only is None:
        command = " ".join(["python -m benchmarks.start", *(sys.argv[1:] if argv is None else argv)])
        say(f"kept in {keep('start', command, goals, figures)}")
    return 0 if all(goal.met for goal in goals) else 1


def _imports(processes: int, figures: dict[str, object]) -> Goal:
    imports.once()  # whatever is not compiled or cached yet is so then
    took = [imports.once() for _ in range(processes)]
    listed = imports.listed()
    slowest = imports.slowest(listed, _SLOWEST)
    value = round(statistics.median(one.seconds for one in took), 3)
    figures["imports"] = {
        "median_s": value,
        "each_s": [round(one.seconds, 3) for one in took],
        "cpu_s": round(statistics.median(one.cpu_seconds for one in took), 3),
        "interpreter_cpu_s": round(statistics.median(imports.interpreter() for _ in took), 3),
        "modules": len(listed),
        "slowest_ms": slowest,
    }
    largest = ", ".join(f"{name} {ms:.0f} ms" for name, ms in list(slowest.items())[:4])
    binds = "" if value <= IMPORT_SECONDS else f"CPU: {len(listed)} modules, most of all {largest}"
    what = f"imports of a shard process until its processor is made, median of {processes}, warm"
    return Goal("P9", what, value, IMPORT_SECONDS, "s", False, binds)


def _starts(count: int, figures: dict[str, object]) -> Iterable[Goal]:
    with tempfile.TemporaryDirectory(prefix="edu-bench-") as folder:
        classes = Path(folder, "daemon.jsa")
        archive.make(str(find_java()), classes)
        return _started(count, figures, {"JAVA_ARCHIVE": str(classes)})


def _started(count: int, figures: dict[str, object], image: Mapping[str, str]) -> Iterable[Goal]:
    goals = []
    for name, limited in (("without_limits", False), ("half_a_core", True)):
        rounds: list[tuple[Start, Start]] = []
        bare: list[Start] = []
        for _ in range(count):
            rounds.append(_fresh(image, limited=limited))
            bare.append(_fresh({}, limited=limited)[0])
        fresh, again = zip(*rounds, strict=True)
        figures[name] = {
            "first_start": _told(fresh),
            "replacement": _told(again),
            "first_start_without_archive": _told(bare),
        }
        value = round(statistics.median(one.first for one in fresh), 2)
        what = "held to 0.5 CPU and 1 GiB" if limited else "without limits"
        goal = f"task start to first record in the ledger, {what}, median of {count} first starts"
        binds = "" if value <= FIRST_SECONDS else _binds(limited=limited)
        goals.append(Goal("P9", goal, value, FIRST_SECONDS, "s", False, binds))
    return goals


def _binds(*, limited: bool) -> str:
    if limited:
        return "CPU: supervisor, Java and two shard processes start together on half a core"
    return "waiting: KCL takes leases in rounds of its own"


def _told(starts: Sequence[Start]) -> dict[str, object]:
    return {
        "first_record_s": [round(one.first, 2) for one in starts],
        "first_record_median_s": round(statistics.median(one.first for one in starts), 2),
        "every_shard_median_s": round(statistics.median(one.all_shards for one in starts), 2),
    }


def _fresh(image: Mapping[str, str], *, limited: bool) -> tuple[Start, Start]:
    """A first start on a new stack, and the start of the next task after an orderly stop.

    `image` are the settings that the image brings.
    """
    with stack(lambda _line: None) as session, closing(wiring.edges(load(session.environment))) as edges:
        room = Classroom(_STUDENTS, 1, identity=edges.identity, realm=edges.realm, now=wiring.now())
        first = _start(session, edges, room, "first", image, limited=limited)
        return first, _start(session, edges, room, "second", image, limited=limited)


def _start(
    session: Session, edges: Edges, room: Classroom, name: str, image: Mapping[str, str], *, limited: bool
) -> Start:
    """Puts a few attempts of each shard and starts a task; stopped at the end."""
    before = {source: accounting.read for source, accounting in streamed(edges).items()}
    edges.producer.send(list(room.events(room.draw(_STUDENTS, wiring.now()))))
    moments: list[float] = []
    begun = time.monotonic()
    with held(session, name, limited=limited, settings=image) as run:

        def reached() -> bool:
            found = streamed(edges)
            done = sum(found[source].read > before.get(source, 0) for source in found)
            moments.extend([time.monotonic() - begun] * (done - len(moments)))
            return len(moments) >= SHARDS

        wait_for(reached, run.task, seconds=_PATIENCE_SECONDS, what="a record of every shard")
    say(f"{run.limits}, {name} task: first record after {moments[0]:.2f} s, all shards {moments[-1]:.2f} s")
    return Start(moments[0], moments[-1])


if __name__ == "__main__":
    raise SystemExit(main())
