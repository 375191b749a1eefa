"""`python -m benchmarks.scale`: a plan to a million events a second and 100 million students (P10).

Nobody rents that for a test. What is measured is one event, one row, one state and one task; here the rest is
reckoned (every limit of every decade) and simulated (a fleet that loses tasks, a shard's queue), with fixed
seeds. What no platform carries as one is split into cells, each for some schools.
"""

import argparse
from collections.abc import Mapping, Sequence
from math import ceil

from rich.console import Console
from rich.table import Table

from benchmarks import reckoning
from benchmarks.costing import bill
from benchmarks.latency import P99_MS, RATE
from benchmarks.result import Goal, keep
from benchmarks.scaling import fleet, shard, walls
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.leases import Timers, traffic
from benchmarks.scaling.sizing import Measured, Size, size
from benchmarks.scaling.walls import Wall
from deploy import capacity

DECADES = ((5_000, 100_000), (10_000, 1_000_000), (100_000, 10_000_000), (1_000_000, 100_000_000))
"""Events a second, and students."""
TAKEOVER_S = 20.0
"""A killed task's shards are at work elsewhere in 13 to 19 seconds, as measured with two."""
RATES = (500, 1_000, 1_500, 2_000, 2_400, 2_800, 3_200, 3_600)
SHARDS = (2, 10, 100, 400, 1_000, 2_000, 4_000, 10_000)
_RUNS, _FEW_RUNS = 100, 10
_ASSUMED = (
    "Quotas are AWS's defaults before anybody asked, and with DynamoDB's 15 ms a page and 6 ms a row, a "
    "replacement after 60 s and the memory of the largest Redis node they are remembered. Of KCL 3, as its "
    "source says: rounds of the leader one after the other, one thread to read a table, as many threads to "
    "write as the task has processors. No ledger's writer was ever measured beyond what this machine gives."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Reckon, simulate and keep; 0 when the goals are met, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{_FEW_RUNS} runs of each fleet, not {_RUNS}")
    arguments = parser.parse_args(argv)
    runs = _FEW_RUNS if arguments.quick else _RUNS
    print("a shard's queue")
    waiting = reckoning.waiting()
    task = shard.Task.of(reckoning.load_test(), reckoning.ledger().batch_us)
    task = shard.calibrated(task, RATE / waiting.shards, waiting.p50_ms, waiting.p99_ms)
    measured = Measured(
        reckoning.load_test(),
        reckoning.ledger(),
        {count: shard.most_within(task._replace(shards=count), P99_MS) for count in (1, 2)},
        reckoning.posted_per_core(),
        reckoning.rebuilt_per_second(),
    )
    sizes = {rate: size(rate, students, measured) for rate, students in DECADES}
    last, students = DECADES[-1]
    cell = walls.cell(measured, last / students)
    print("fleets that lose tasks")
    fleets = {rate: _lost(one, runs) for rate, one in sizes.items()} | {"a cell": _lost(cell, runs)}
    figures = {
        "assumed": _ASSUMED,
        "measured": {
            "CPU of an event": measured.costs.source,
            "waiting": waiting.source,
            "rows and log": measured.ledger.source,
        },
        "shard": _shard(task, measured, waiting.highest),
        "decades": {str(rate): _decade(one, cell, measured) for rate, one in sizes.items()},
        "cell": _sized(cell) | {"walls": _told(walls.walls(cell, measured)), "cells": ceil(last / cell.rate)},
        "takeover_s": {str(name): found for name, found in fleets.items()},
        "lease_table": _leases(runs),
        "per_decade": {
            "unit": "dollars a million events",
            "costs": {str(rate): _dollars(rate, cell, measured) for rate, _ in DECADES},
        },
    }
    goals = judged(cell, measured, fleets["a cell"]["a task"]["all"], ceil(last / cell.rate))
    _show(sizes, cell, measured)
    command = "python -m benchmarks.scale" + (" --quick" if arguments.quick else "")
    for goal in goals:
        print(
            f"{'met   ' if goal.met else 'MISSED'} {goal.what}: {goal.value:g} of {goal.limit:g} {goal.binds}"
        )
    print(f"kept in {keep('scale', command, goals, figures)}")
    return 0 if all(goal.met for goal in goals) else 1


def judged(cell: Size, measured: Measured, takeover: float, cells: int) -> list[Goal]:
    """P10: the largest school fits into a cell, and a cell's shards change hands as fast as two."""
    rate, students = walls.SCHOOL
    school = size(rate, students, measured)
    nearest = max(
        (wall for wall in walls.walls(school, measured) if wall.kind == walls.HARD), key=lambda w: w.used
    )
    what = (
        f"a school of {students:,} students and {rate:,} events/s in one cell of {cells} for the last decade"
    )
    used, most = round(nearest.used, 3), capacity.PLANNED_SHARE
    binds = "" if used <= most else f"{nearest.what}: {nearest.answer}"
    fits = Goal("P10", f"{what}: used of the nearest hard limit", used, most, "", at_least=False, binds=binds)
    late = "the leader's rounds: it reads every lease, and gives them out one by one"
    what = f"a killed task's shards at work elsewhere in a cell of {cell.tasks} tasks, simulated, 99 of 100"
    seconds = round(takeover, 1)
    binds = "" if takeover <= TAKEOVER_S else late
    taken = Goal("P10", what, seconds, TAKEOVER_S, "s", at_least=False, binds=binds)
    return [fits, taken]


def _shard(task: shard.Task, measured: Measured, highest: float | None) -> dict[str, object]:
    """The queue at every rate, with what it was set to."""
    found = {rate: shard.seen(task, rate) for rate in RATES if rate < task.most}
    return {
        "shards_a_task": task.shards,
        "cores_of_a_task": task.cpu,
        "before_the_process_ms": round(task.way_s * 1e3, 1),
        "unevenness_of_a_batch": round(task.uneven, 3),
        "most_events_per_s": round(task.most),
        "binds": task.binds,
        "events_per_s_within_p99": measured.within[task.shards],
        "events_per_s_within_p99_alone": measured.within[1],
        "task_events_per_s_within_1s": shard.most_within(task, 1_000) * task.shards,
        "task_events_per_s_within_1s_measured": highest,
        "by_rate_ms": {
            str(rate): {"p50": round(one.p50), "p99": round(one.p99)} for rate, one in found.items()
        },
    }


def _decade(load: Size, cell: Size, measured: Measured) -> dict[str, object]:
    cells = ceil(load.rate / cell.rate)
    return _sized(load) | {"cells": cells, "walls": _told(walls.walls(load, measured))}


def _sized(load: Size) -> dict[str, object]:
    return {
        "events_per_s": round(load.rate),
        "students": load.students,
        "shards": load.shards,
        "worker_tasks": load.tasks,
        "api_tasks": load.api_tasks,
        "acu": load.acu,
        "redis_gb": round(load.redis_bytes / 1e9, 2),
        "redis_cores": round(load.redis_cores, 3),
    }


def _told(found: Sequence[Wall]) -> list[dict[str, object]]:
    return [
        {
            "what": wall.what,
            "need": round(wall.need, 2),
            "limit": round(wall.limit, 2),
            "unit": wall.unit,
            "used": round(wall.used, 3),
            "kind": wall.kind,
            "answer": wall.answer,
        }
        for wall in found
    ]


def _lost(load: Size, runs: int) -> dict[str, dict[str, float]]:
    """A task, the leader's, and a zone's half of all, each lost without a word."""
    one = Fleet(load.tasks, load.shards)
    found = {
        "a task": fleet.lost(one, 1, runs=runs),
        "the leader": fleet.lost(one, 1, leader=True, runs=runs),
        "a zone": fleet.lost(one, max(1, load.tasks // 2), runs=runs),
    }
    return {
        name: {key: round(value, 1) for key, value in taken._asdict().items()}
        for name, taken in found.items()
    }


def _leases(runs: int) -> dict[str, dict[str, float]]:
    """KCL's table by shards, two of them a task, with the usual timers and with the slowest looks."""
    found = {}
    slow = Timers.usual()._replace(look=10.0)
    for shards in SHARDS:
        tasks = max(2, shards // 2)
        usual, slower = traffic(shards, tasks), traffic(shards, tasks, slow)
        taken = fleet.lost(Fleet(tasks, shards), 1, runs=min(runs, _FEW_RUNS))
        found[str(shards)] = {
            "reads_per_s": round(usual.lease_reads, 1),
            "reads_per_s_looking_every_10_s": round(slower.lease_reads, 1),
            "writes_per_s": round(usual.lease_writes, 1),
            "round_s": round(taken.longest_round, 3),
            "takeover_s": round(taken.all, 1),
        }
    return found


def _dollars(rate: float, cell: Size, measured: Measured) -> float:
    one = rate / ceil(rate / cell.rate)
    load = size(one, 1, measured)
    return round(bill(measured.costs, measured.ledger, one, least=(load.shards, load.tasks)).a_million(), 4)


def _show(sizes: Mapping[int, Size], cell: Size, measured: Measured) -> None:
    table = Table(
        "events/s", "students", "shards", "tasks", "ACU", "cells", "nearest limits", title="what binds"
    )
    for load in (*sizes.values(), cell):
        near = [f"{wall.what} {wall.used:.0%}" for wall in walls.walls(load, measured)[:3]]
        table.add_row(
            *(
                f"{load.rate:,.0f}",
                f"{load.students:,}",
                f"{load.shards:,}",
                f"{load.tasks:,}",
                f"{load.acu:g}",
            ),
            *(f"{ceil(load.rate / cell.rate)}", "; ".join(near)),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
