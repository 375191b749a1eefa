"""`python -m benchmarks.growth`: what an event costs as the ledger grows from 10,000 rows to 10 million.

Ledgers of every size lie side by side, and each round takes the same kind of batches to all of them, through
the product's own pipeline. PostgreSQL is set up twice: as Aurora runs it (the ledger in memory, in huge pages
where this machine gives them, no whole pages in the log, which its storage does not need), and as the
embedded stack runs it (1 GB for everything). Then every statement is explained with what it was sent, and
no plan may read a table as a whole.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growing import hugepages, sizes, upkeep
from benchmarks.growing.batches import EVENTS
from benchmarks.growing.looking import looked_at
from benchmarks.growing.measuring import Cost, Subject
from benchmarks.growing.partitions import COUNT
from benchmarks.growing.rounds import FRESH_BELOW, Lot, by_batch, measured, ratios, told
from benchmarks.growing.yard import LARGE, Yard, yard
from benchmarks.result import Goal, keep

LEAST = 10_000
LIMIT = 1.2
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "aurora": {"shared_buffers": "6GB", "full_page_writes": "off", "autovacuum": "off"},
    "embedded": {"huge_pages": "off", "autovacuum": "off"},
}
_BUFFERS_MIB = 6_656
"""What the buffers of the first take, with all else that PostgreSQL's processes share."""
_FILLING = {"huge_pages": "off", "shared_buffers": "1GB", "max_wal_size": "8GB", "full_page_writes": "off"}
_FEW = EVENTS // 10
_PARTED, _SMALL_BATCHES = "in partitions", "in small batches"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and keep; 0 when an event costs what it did, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the largest (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--directory", type=Path, help="keep the large ledgers there, and measure those that are there"
    )
    parser.add_argument("--fill", action="store_true", help="only make the large ledgers; with --directory")
    parser.add_argument("--quick", action="store_true", help="100,000 rows and one round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.rows, arguments.rounds = 10 * LEAST, 1
    if arguments.rows < 10 * LEAST or arguments.rounds < 1:
        parser.error(f"--rows is at least {10 * LEAST:,}, --rounds at least 1")
    if arguments.fill and arguments.directory is None:
        parser.error("--fill without --directory would throw them away")
    steps = sizes_up_to(arguments.rows)
    with tempfile.TemporaryDirectory() as folder, yard(arguments.directory or Path(folder), say) as servers:
        servers.settle(_FILLING)
        for rows in (rows for rows in steps if rows >= LARGE):
            servers.ledgers(rows)
        if steps[-2] >= LARGE:
            servers.partitioned(steps[-2])
        return 0 if arguments.fill else _measure(servers, steps, arguments.rounds)


def sizes_up_to(rows: int) -> list[int]:
    """Ten thousand, then ten times as many each, up to and including so many."""
    found = [LEAST]
    while found[-1] * 10 < rows:
        found.append(found[-1] * 10)
    return [*found, rows]


def _measure(servers: Yard, steps: Sequence[int], rounds: int) -> int:
    with ExitStack() as opened:
        huge = steps[-1] > LARGE and opened.enter_context(hugepages.kept(_BUFFERS_MIB, say))
        settings = {**SETTINGS["aurora"], "huge_pages": "on" if huge else "off"}
        aurora = measured(servers, settings, _lots(servers, steps, rounds, more=True), rounds, say)
        statements, whole = looked_at(servers, steps, say)
        largest = servers.ledgers(steps[-1])[0]
        with Subject(servers, largest, 1) as subject:
            say("sweep, retention, freeze")
            kept_up = upkeep.measure(subject, largest.url)
        room = {}
        for rows in steps:
            with Subject(servers, servers.ledgers(rows)[0], 1) as subject:
                room[str(rows)] = {name: one._asdict() for name, one in sizes.measure(subject.watch).items()}
    embedded = measured(servers, SETTINGS["embedded"], _lots(servers, steps, rounds), rounds, say)
    first, middle, last = (str(steps[at]) for at in (0, -2, -1))
    costs = {
        "aurora": {str(rows): aurora[str(rows)] for rows in steps},
        "embedded": embedded,
    }
    figures = {
        "events_a_batch": EVENTS,
        "rounds": rounds,
        "settings": {**SETTINGS, "aurora": settings},
        "cost": {name: {rows: told(cost) for rows, cost in found.items()} for name, found in costs.items()},
        "times": {name: ratios(found[first], found[last]) for name, found in costs.items()},
        "by_batch": by_batch(aurora[_SMALL_BATCHES], aurora[middle], _FEW, EVENTS),
        "partitions": {
            "count": COUNT,
            "rows": steps[-2],
            "cost": told(aurora[_PARTED]),
            "times": ratios(aurora[middle], aurora[_PARTED]),
        },
        "room": room,
        "upkeep": kept_up._asdict(),
        "statements": statements,
        "plans_that_read_a_whole_table": whole,
    }
    goals = judged(costs["aurora"][first], costs["aurora"][last], f"{last} rows against {first}", whole)
    _show(costs, goals)
    command = f"python -m benchmarks.growth --rows {last} --rounds {rounds}"
    say(f"kept in {keep('growth', command, goals, figures)}")
    return 0 if all(goal.met for goal in goals) else 1


def _lots(servers: Yard, steps: Sequence[int], rounds: int, *, more: bool = False) -> list[Lot]:
    """Every size; with `more` also partitions and small batches, at the size before the last."""
    lots = [Lot(str(rows), servers.ledgers(rows, rounds if rows < FRESH_BELOW else 1)) for rows in steps]
    if more:
        lots.append(Lot(_PARTED, [servers.partitioned(steps[-2])]))
        lots.append(Lot(_SMALL_BATCHES, lots[-3].ledgers, _FEW, lane=1))
    return lots


def judged(small: Cost, large: Cost, span: str, whole: Sequence[str]) -> list[Goal]:
    """P7 by CPU and by the clock, and the plans."""
    times = ratios(small, large)
    grown = {
        part: getattr(large, part) - getattr(small, part)
        for part in ("client_us", "postgres_us", "valkey_us")
    }
    most = max(grown, key=lambda part: grown[part])
    binds = f"{most.removesuffix('_us')}: {grown[most]:.0f} us more an event"
    goals = [
        Goal(
            "P7", f"{what}, {span}", times[part], LIMIT, "times", False, binds if times[part] > LIMIT else ""
        )
        for part, what in (("cpu_us", "CPU of an event, all parts"), ("wall_us", "time of an event"))
    ]
    plans = Goal("P7", "plans that read a table as a whole", len(whole), 0, "plans", False, "; ".join(whole))
    return [*goals, plans]


def _show(costs: Mapping[str, Mapping[str, Cost]], goals: Sequence[Goal]) -> None:
    for name, found in costs.items():
        table = Table("rows", "client", "PostgreSQL", "Valkey", "CPU", "clock", "log", title=f"as {name}")
        for rows, cost in found.items():
            parts = (cost.client_us, cost.postgres_us, cost.valkey_us, cost.cpu_us, cost.wall_us)
            table.add_row(f"{int(rows):,}", *(f"{part:.1f} us" for part in parts), f"{cost.wal_bytes:,.0f} B")
        Console(width=110).print(table)
    for goal in goals:
        say(f"{'met   ' if goal.met else 'MISSED'} {goal.name} {goal.what}: {goal.value:g} of {goal.limit:g}")


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
