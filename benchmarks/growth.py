"""`python -m benchmarks.growth`: what an event costs as the ledger grows from 10,000 rows to 10 million.

Ledgers of every size lie side by side, and each round takes the same kind of batches to all of them, through
the product's own pipeline. PostgreSQL is set up twice: as Aurora runs it (the ledger in memory, no whole
pages in the log, which its storage does not need), and as the embedded stack runs it (256 MB for everything).
Then every statement is explained with what it was sent, and no plan may read a table as a whole.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.growing import sizes
from benchmarks.growing.batches import EVENTS
from benchmarks.growing.looking import looked_at
from benchmarks.growing.measuring import Cost, Subject
from benchmarks.growing.yard import LARGE, Ledger, Yard, yard
from benchmarks.result import Goal, keep

LEAST = 10_000
_WARM_UP, _BATCHES = 2, 4
_FRESH_BELOW = 50 * (_WARM_UP + _BATCHES) * EVENTS
"""A ledger to which a turn would add a fiftieth or more is replaced for each round."""

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "aurora": {"shared_buffers": "6GB", "full_page_writes": "off", "autovacuum": "off"},
    "embedded": {"autovacuum": "off"},
}
LIMIT = 1.2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and keep; 0 when an event costs what it did, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the largest (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--directory", type=Path, help="keep the large ledgers there, and measure those that are there"
    )
    parser.add_argument("--fill", action="store_true", help="only make the ledgers; with --directory")
    arguments = parser.parse_args(argv)
    if arguments.rows < 10 * LEAST or arguments.rounds < 1:
        parser.error(f"--rows is at least {10 * LEAST:,}, --rounds at least 1")
    if arguments.fill and arguments.directory is None:
        parser.error("--fill without --directory would throw them away")
    steps = sizes_up_to(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        where: Path = arguments.directory or Path(folder)
        with yard(where, say) as servers:
            servers.settle({"max_wal_size": "8GB", "full_page_writes": "off"})
            for rows in steps:
                if rows >= LARGE:
                    servers.ledgers(rows, 1)
            if arguments.fill:
                return 0
            return _measure(servers, steps, arguments.rounds)


def sizes_up_to(rows: int) -> list[int]:
    """Ten thousand, then ten times as many each, up to and including so many."""
    found = [LEAST]
    while found[-1] * 10 < rows:
        found.append(found[-1] * 10)
    return [*found, rows]


def _measure(servers: Yard, steps: Sequence[int], rounds: int) -> int:
    figures: dict[str, object] = {"events_a_batch": EVENTS, "rounds": rounds}
    costs: dict[str, dict[int, Cost]] = {}
    whole: list[str] = []
    for name, settings in SETTINGS.items():
        say(f"PostgreSQL as {name}")
        costs[name] = _costs(servers, settings, steps, rounds)
        if name == "aurora":
            statements, whole = looked_at(servers, steps, say)
            figures["statements"] = statements
    with Subject(servers, servers.ledgers(steps[-1], 1)[0], 1) as largest:
        figures["room"] = {table: room._asdict() for table, room in sizes.measure(largest.watch).items()}
    figures |= {
        "cost": {
            name: {str(rows): told(cost) for rows, cost in found.items()} for name, found in costs.items()
        },
        "times": {name: ratios(found[steps[0]], found[steps[-1]]) for name, found in costs.items()},
        "plans_that_read_a_whole_table": whole,
    }
    goals = judged(costs["aurora"], steps, whole)
    _show(costs, goals)
    keep("growth", f"python -m benchmarks.growth --rows {steps[-1]} --rounds {rounds}", goals, figures)
    return 0 if all(goal.met for goal in goals) else 1


def _costs(servers: Yard, settings: Mapping[str, str], steps: Sequence[int], rounds: int) -> dict[int, Cost]:
    """The medians of all rounds, by size."""
    ledgers = {rows: servers.ledgers(rows, rounds if rows < _FRESH_BELOW else 1) for rows in steps}
    servers.settle(settings)
    found: dict[int, list[Cost]] = defaultdict(list)
    subjects = {
        rows: [_subject(servers, one, alike, rounds) for one in alike] for rows, alike in ledgers.items()
    }
    try:
        for those in subjects.values():
            for subject in those:
                subject.warm()
        for number in range(rounds):
            for rows, those in subjects.items():
                cost = those[number % len(those)].turn(_WARM_UP, _BATCHES)
                found[rows].append(cost)
                say(f"{rows:>11,} rows, round {number + 1}: {cost.cpu_us:.0f} us of CPU an event")
    finally:
        for those in subjects.values():
            for subject in those:
                subject.close()
    return {rows: median(all_rounds) for rows, all_rounds in found.items()}


def _subject(servers: Yard, ledger: Ledger, alike: Sequence[Ledger], rounds: int) -> Subject:
    turns = -(-rounds // len(alike))
    return Subject(servers, ledger, turns * (_WARM_UP + _BATCHES))


def median(rounds: Sequence[Cost]) -> Cost:
    """Part by part."""
    return Cost(*(statistics.median(parts) for parts in zip(*rounds, strict=True)))


def told(cost: Cost) -> dict[str, float]:
    """The parts and their sums, in microseconds an event."""
    sums = {"postgres_us": cost.postgres_us, "cpu_us": cost.cpu_us}
    return {name: round(value, 1) for name, value in (cost._asdict() | sums).items()}


def ratios(small: Cost, large: Cost) -> dict[str, float]:
    """How many times what it costs at first each part costs at last."""
    return {
        name: round(getattr(large, name) / getattr(small, name), 3)
        for name in ("client_us", "postgres_us", "valkey_us", "cpu_us", "wall_us", "wal_bytes")
    }


def judged(costs: Mapping[int, Cost], steps: Sequence[int], whole: Sequence[str]) -> list[Goal]:
    """P7 by CPU, by PostgreSQL's share of it and by the clock, and the plans."""
    times = ratios(costs[steps[0]], costs[steps[-1]])
    span = f"{steps[-1]:,} rows against {steps[0]:,}"
    goals = []
    for part, what in (
        ("cpu_us", "CPU of an event, all parts"),
        ("wall_us", "time of an event"),
    ):
        missed = times[part] > LIMIT
        goals.append(
            Goal(
                "P7",
                f"{what}: {span}",
                times[part],
                LIMIT,
                "times",
                at_least=False,
                binds="PostgreSQL: more and colder pages an event" if missed else "",
            )
        )
    binds = "; ".join(whole)
    goals.append(
        Goal(
            "P7",
            f"plans that read a table as a whole, {span}",
            len(whole),
            0,
            "",
            at_least=False,
            binds=binds,
        )
    )
    return goals


def _show(costs: Mapping[str, Mapping[int, Cost]], goals: Sequence[Goal]) -> None:
    for name, found in costs.items():
        table = Table("rows", "client", "PostgreSQL", "Valkey", "CPU", "clock", "log", title=f"as {name}")
        for rows, cost in found.items():
            parts = (cost.client_us, cost.postgres_us, cost.valkey_us, cost.cpu_us, cost.wall_us)
            table.add_row(f"{rows:,}", *(f"{part:.1f} us" for part in parts), f"{cost.wal_bytes:,.0f} B")
        Console().print(table)
    for goal in goals:
        say(f"{'met   ' if goal.met else 'MISSED'} {goal.name} {goal.what}: {goal.value:g} of {goal.limit:g}")


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
