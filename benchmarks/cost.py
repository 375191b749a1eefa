"""`python -m benchmarks.cost`: what a million events cost at 5,000 a second, all month (P8).

Nothing is measured here. The CPU of an event is the load test's, the bytes of a row and of the log are the
growth suite's, the sizes and prices are the platform's own (`deploy/`). The prices are remembered and not
fetched, as `deploy/prices.py` says; the arithmetic of every line is kept beside it.
"""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import reckoning
from benchmarks.costing import AS_DEPLOYED, WAYS, Bill, Part, Way, bill
from benchmarks.latency import RATE
from benchmarks.reckoning import Costs, Ledger
from benchmarks.result import Goal, keep
from deploy import prices
from deploy.config import ConfigError

LIMIT = 0.10
RATES = (100, 1_000, 5_000, 10_000, 100_000)
_REMEMBERED = (
    f"Every price is remembered from AWS's public lists for Tokyo, as of {prices.AS_OF}, and none was "
    "fetched; so are the cores behind a capacity unit and the rule by which Aurora bills what it writes. "
    "Look again before quoting. CPU, bytes and rates are measured."
)
_LEFT_OUT = (
    "Rows of earlier months, which cost their storage on; reads of Aurora's storage, because the pages of a "
    "running term are held in memory; CloudWatch's calls by KCL; what people read; discounts for instances "
    "that are reserved."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Reckon, print and keep; 0 when the goal is met, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the goal's rate alone")
    arguments = parser.parse_args(argv)
    costs, ledger, full = reckoning.load_test(), reckoning.ledger(), reckoning.task()
    ways = {way: bill(costs, ledger, RATE, way) for way in WAYS}
    goal = judged(ways, costs, ledger)
    decades = (RATE,) if arguments.quick else RATES
    figures = figures_of(ways, costs, ledger, full, decades)
    _show(ways)
    command = "python -m benchmarks.cost" + (" --quick" if arguments.quick else "")
    print(f"{'met' if goal.met else 'MISSED'}: {goal.value:g} of {goal.limit:g} dollars. {goal.binds}")
    print(f"kept in {keep('cost', command, [goal], figures)}")
    return 0 if goal.met else 1


def judged(ways: dict[Way, Bill], costs: Costs, ledger: Ledger) -> Goal:
    """P8 as prod is deployed today; what binds, and which way would meet it."""
    value = ways[AS_DEPLOYED].a_million()
    what = f"a million events at {RATE:,} a second all month, by the stream, as prod is deployed"
    binds = "" if value <= LIMIT else _binds(ways, costs, ledger)
    return Goal("P8", what, round(value, 4), LIMIT, "dollars", at_least=False, binds=binds)


def meets(costs: Costs, ledger: Ledger) -> dict[str, float | None]:
    """What would meet the goal by itself, as prod is deployed; None where nothing of it would."""

    def dollars(cpu: float, log: float) -> float:
        cheap = costs._replace(postgres_us=costs.postgres_us * cpu)
        return bill(cheap, ledger._replace(log_bytes=ledger.log_bytes * log), RATE).a_million()

    shares = [hundredth / 100 for hundredth in range(100, 0, -1)]
    cpu = next((share for share in shares if dollars(share, 1) <= LIMIT), None)
    log = next((share for share in shares if dollars(1, share) <= LIMIT), None)
    both = next((share for share in shares if dollars(share, share) <= LIMIT), None)
    return {
        "PostgreSQL's CPU, of what it is now": cpu,
        "the log of an event, of what it is now": log,
        "both, of what they are now": both,
    }


def _binds(ways: dict[Way, Bill], costs: Costs, ledger: Ledger) -> str:
    now = ways[AS_DEPLOYED]
    dearest = sorted(Part, key=lambda part: -now.a_million(part))[:3]
    told = ", ".join(f"{part} {now.a_million(part) / now.a_million():.0%}" for part in dearest)
    cheapest = min(ways, key=lambda way: ways[way].a_million())
    least = ways[cheapest].a_million()
    share = meets(costs, ledger)["both, of what they are now"]
    less = (
        ""
        if share is None
        else f"; the goal is met with {1 - share:.0%} less of PostgreSQL's CPU and of its log"
    )
    verb = "meets it" if least <= LIMIT else "is the cheapest looked at"
    return (
        f"{told}; PostgreSQL takes {costs.postgres_us:.0f} µs of CPU an event. {cheapest.name}: "
        f"{least:.3f} dollars, which {verb}{less}"
    )


def figures_of(
    ways: dict[Way, Bill], costs: Costs, ledger: Ledger, full: Costs | None, rates: Sequence[int]
) -> dict[str, object]:
    """Everything reckoned, each line with its arithmetic."""
    now = ways[AS_DEPLOYED]
    return {
        "rate": RATE,
        "prices": _REMEMBERED,
        "left_out": _LEFT_OUT,
        "measured": {"CPU of an event": costs.source, "rows and log": ledger.source},
        "cpu_us_per_event": {
            "worker task": costs.task_us,
            "PostgreSQL": costs.postgres_us,
            "Redis": costs.valkey_us,
        },
        "parts_dollars_a_million": {part.value: round(now.a_million(part), 4) for part in Part},
        "parts_share": {part.value: round(now.a_million(part) / now.a_million(), 3) for part in Part},
        "bill_a_month": {
            line.item: f"${line.dollars:,.0f} = {line.arithmetic}"
            for _, line in sorted(now.lines, key=lambda pair: -pair[1].dollars)
        },
        "ways_dollars_a_million": {way.name: round(found.a_million(), 4) for way, found in ways.items()},
        "ways_need": {way.name: way.change for way in ways if way.change},
        "meets_it_alone": meets(costs, ledger),
        "from_a_full_stream": "not measured yet"
        if full is None
        else {
            "dollars_a_million": round(bill(full, ledger, RATE).a_million(), 4),
            "cpu_us_per_event": round(sum(full.micros), 1),
            "measured": full.source,
        },
        "per_decade": {
            "unit": "dollars a million events",
            "costs": {str(rate): round(at, 4) for rate in rates if (at := _at(costs, ledger, rate))},
        },
    }


def _at(costs: Costs, ledger: Ledger, rate: int) -> float:
    """Of another rate; 0 where one environment does not carry it."""
    try:
        return bill(costs, ledger, rate).a_million()
    except ConfigError:
        return 0.0


def _show(ways: dict[Way, Bill]) -> None:
    table = Table("$ a million", "a month", "", title=f"{RATE:,} events a second, all month")
    for part, line in sorted(ways[AS_DEPLOYED].lines, key=lambda pair: -pair[1].dollars):
        share = line.dollars / ways[AS_DEPLOYED].dollars * ways[AS_DEPLOYED].a_million()
        table.add_row(f"{share:.4f}", f"{line.dollars:,.0f}", f"{part}: {line.item}, {line.arithmetic}")
    console = Console(width=140)
    console.print(table)
    for way, found in ways.items():
        console.print(f"{found.a_million():.4f}  {way.name}", highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
