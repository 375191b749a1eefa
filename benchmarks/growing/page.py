"""The tables of docs/growth.md: the plan to a billion rows, reckoned anew from what growth measured.

The page's words are written by hand. What stands between two marks is made here of `results/growth.json`, so
that a new measurement changes the plan, and a test tells when it did not.
"""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks import reckoning
from benchmarks.growing.batches import Mix
from benchmarks.growing.plan import School, Tables, Term, fitted, terms
from benchmarks.growing.vacuums import Load, Vacuum, deleting, in_one_table, in_tables_of_terms
from benchmarks.reckoning import Ledger
from benchmarks.result import Result
from benchmarks.tables import number
from deploy import capacity, prices

GOAL = 1_000_000_000
SCHOOL = School()
POLLS, SHARDS, FLOORS = 4.0, 2, 1 / 3
"""Transactions a second while events come: a batch at each poll of a shard, a floor at each checkpoint."""
NAMES = ("source", "terms", "event", "statements", "levels", "parts", "vacuum", "archive")
_ABSENT = "*not measured yet: `make bench-growth`*"


def blocks(results: Mapping[str, Result]) -> dict[str, str]:
    """What stands between the marks of each name."""
    result = results.get("growth")
    if result is None:
        return dict.fromkeys(NAMES, f"{_ABSENT[:-1]}*")
    measured = reckoning.of_growth(result)
    rebuilt = results.get("backfill")
    made = (
        f"Reckoned from `benchmarks/results/growth.json`, {measured.source}.",
        _terms(measured),
        _event(result, measured),
        _statements(measured),
        _levels(measured),
        _parts(measured),
        _vacuum(measured),
        _archive(measured, _per_second(rebuilt)),
    )
    return dict(zip(NAMES, made, strict=True))


def load(measured: Ledger) -> Load:
    """What makes vacuums at the school: the mix of events is that of the measured batches."""
    mix = Mix.of(measured.batch_events)
    changed = (mix.regrades + mix.voids) / (measured.batch_events - mix.copies)
    return Load(measured.room["attempts"].heap_bytes, changed, SHARDS * (POLLS + FLOORS))


def shown_terms(found: Sequence[Term]) -> list[Term]:
    """The first, the last that is kept whole, the middle and the end."""
    wanted = sorted({1, SCHOOL.kept_terms, len(found) // 2, len(found)})
    return [found[at - 1] for at in wanted]


def _terms(measured: Ledger) -> str:
    line = fitted(measured.cpu_us)
    shown = shown_terms(terms(measured, SCHOOL, GOAL))
    in_redis = capacity.redis_bytes(SCHOOL.states)

    def row(name: str, values: Iterator[str]) -> str:
        return f"| {name} | " + " | ".join(values) + " |"

    def of(tables: Tables) -> float:
        return tables.heaps["attempts"]

    rows = [
        row("rows of `attempts`, all kept", (f"{one.whole.rows:,}" for one in shown)),
        row("states (`course_scores`)", (f"{one.whole.states:,}" for one in shown)),
        row("students ever seen", (f"{one.whole.students:,}" for one in shown)),
        row("heap of `attempts`, GB", (_gb(of(one.whole)) for one in shown)),
        *(
            row(f"index `{name}`, GB", (_gb(one.whole.indexes[name]) for one in shown))
            for name in shown[0].whole.indexes
        ),
        row("everything, GB", (_gb(one.whole.bytes) for one in shown)),
        row("everything, the last terms kept, GB", (_gb(one.kept.bytes) for one in shown)),
        row("what the running term touches, GB", (_gb(one.touched) for one in shown)),
        row("ACU that hold it in memory", (number(one.acu) for one in shown)),
        row("states in Redis, whose life is a term, GB", (_gb(in_redis) for _ in shown)),
        row("storage a month, all kept, $", (_dollars(one.whole.bytes) for one in shown)),
        row("storage a month, the last terms kept, $", (_dollars(one.kept.bytes) for one in shown)),
        row(
            "tables of terms attached, the last kept",
            (str(min(one.number, SCHOOL.kept_terms)) for one in shown),
        ),
        row("CPU of an event, one table, µs", (number(line.at(one.whole.rows)) for one in shown)),
        row("CPU of an event, a table a term, µs", (number(line.at(SCHOOL.rows)) for _ in shown)),
    ]
    head = row("after", (f"{one.number} term{'s' if one.number > 1 else ''}" for one in shown))
    return "\n".join([head, "|---" + "|--:" * len(shown) + "|", *rows])


def _event(result: Result, measured: Ledger) -> str:
    costs = result.figures["cost"]["aurora"]  # type: ignore[index]
    sizes = sorted(measured.cpu_us)
    line = fitted(measured.cpu_us)
    rows = [
        f"| {size:,} | "
        + " | ".join(number(costs[str(size)][part]) for part in ("client_us", "postgres_us", "valkey_us"))
        + f" | {number(measured.cpu_us[size])} | {number(line.at(size))} |"
        for size in sizes
    ]
    rows.append(f"| {GOAL:,} | | | | | {number(line.at(GOAL))} |")
    head = "| rows | worker | PostgreSQL | Valkey | all, measured | all, by the line |\n" + "|--:" * 6 + "|"
    first = line.at(GOAL) / measured.cpu_us[sizes[0]]
    told = (
        f"A tenfold ledger costs {number(line.a_decade)} µs more an event. A billion rows in one table cost "
        f"{first:.2f} times what {sizes[0]:,} do."
    )
    return "\n".join([head, *rows, "", told])


def _statements(measured: Ledger) -> str:
    small, large = (
        measured.statements[size] for size in (min(measured.statements), max(measured.statements))
    )
    of = measured.batch_events
    rows = []
    for name in sorted(large, key=lambda one: small.get(one, {}).get("ms", 0) - large[one]["ms"]):
        now, then = large[name], small.get(name, {"ms": 0.0, "pages": 0})
        more = (now["ms"] - then["ms"]) * 1e3 / of
        pages = (then["pages"] / of, now["pages"] / of)
        if abs(more) >= 0.1:
            rows.append(
                f"| `{name}` | {number(pages[0])} | {number(pages[1])} "
                f"| {number(then['ms'] * 1e3 / of)} | {number(now['ms'] * 1e3 / of)} | {more:+.1f} |"
            )
    sizes = f"{min(measured.statements):,}", f"{max(measured.statements):,}"
    head = (
        f"| of an event | pages, {sizes[0]} rows | {sizes[1]} | µs, {sizes[0]} | µs, {sizes[1]} | more |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    return "\n".join([head, *rows])


def _levels(measured: Ledger) -> str:
    sizes = sorted(measured.levels)
    whole = terms(measured, SCHOOL, GOAL)[-1].whole
    head = (
        "| index | " + " | ".join(f"{size:,} rows, measured" for size in sizes) + f" | {GOAL:,}, reckoned |"
    )
    rows = [
        f"| `{name}` | " + " | ".join(str(measured.levels[size][name]) for size in sizes) + f" | {level} |"
        for name, level in whole.levels.items()
    ]
    return "\n".join([head, "|---" + "|--:" * (len(sizes) + 1) + "|", *rows])


def _parts(measured: Ledger) -> str:
    if measured.parted is None:
        return f"What partitions cost an event: {_ABSENT}."
    times, count = measured.parted
    return f"Measured: in {count} partitions of the same rows an event costs {times:.2f} times the CPU."


def _vacuum(measured: Ledger) -> str:
    count = SCHOOL.terms_until(GOAL)
    given = load(measured)
    ways = {
        "one table": in_one_table(SCHOOL, given, count),
        "a table for each term": in_tables_of_terms(SCHOOL, given, count),
    }
    head = "| | vacuums | read, GB | the largest, GB | the largest, minutes as paced | why the largest |"
    rows = [f"| {name} | {_vacuums(found)} |" for name, found in ways.items()]
    freeze = measured.upkeep.get("freeze_s_per_gb")
    unpaced = _ABSENT if freeze is None else f"{number(freeze)} s a gigabyte, measured in memory"
    return "\n".join(
        [head, "|---|--:|--:|--:|--:|---|", *rows, "", f"A freeze that is not paced: {unpaced}."]
    )


def _vacuums(found: Sequence[Vacuum]) -> str:
    largest = max(found, key=lambda one: one.bytes)
    read = sum(one.bytes for one in found)
    return (
        f"{len(found)} | {_gb(read)} | {_gb(largest.bytes)} | {number(largest.paced_minutes)} | {largest.why}"
    )


def _archive(measured: Ledger, rebuilt: float | None) -> str:
    found = terms(measured, SCHOOL, GOAL)[-1]
    rows = []
    for name, tables in (("all terms", found.whole), (f"the last {SCHOOL.kept_terms}", found.kept)):
        index = tables.indexes["attempts_pkey"]
        gone = deleting(SCHOOL.rows, tables.heaps["attempts"], index)
        look, sweep = (
            _minutes(None if us is None else us * tables.states / 1e6)
            for us in (measured.upkeep.get(f"{one}_us_per_state") for one in ("retention", "sweep"))
        )
        filled = _minutes(tables.states / rebuilt if rebuilt else None)
        rows.append(
            f"| {name} | {tables.rows:,} | {gone.passes} x {_gb(index)} | {number(gone.paced_minutes)} "
            f"| {look} | {sweep} | {filled} |"
        )
    head = (
        "| kept | rows | a term deleted row by row: index read, GB | minutes as paced | retention looks, min "
        "| a sweep, min | Redis made anew, min |"
    )
    return "\n".join([head, "|---" + "|--:" * 6 + "|", *rows])


def _per_second(result: Result | None) -> float | None:
    return None if result is None else float(result.figures["rebuild"]["per_second"])  # type: ignore[index]


def _minutes(seconds: float | None) -> str:
    return "not measured yet" if seconds is None else number(seconds / 60)


def _gb(size: float) -> str:
    return number(size / 1e9)


def _dollars(size: float) -> str:
    return number(size / 1e9 * prices.AURORA_GB_MONTH)
