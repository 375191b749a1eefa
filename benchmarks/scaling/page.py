"""The tables of docs/scale.md, from what `python -m benchmarks.scale` kept.

The words of the page are written by hand; what stands between two marks is made here, so that the plan moves
with the measurements it is reckoned from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.result import Result
from benchmarks.tables import number
from benchmarks.tables import taken as told_taken

NAMES = ("source", "sizes", "binds", "walls", "cell", "shard", "takeover", "leases")
_ABSENT = "*Not reckoned yet: `make bench-scale`.*"
_FULL = 0.75


def blocks(results: Mapping[str, Result]) -> dict[str, str]:
    """What stands between the marks of each name."""
    result = results.get("scale")
    if result is None:
        return dict.fromkeys(NAMES, _ABSENT)
    figures: Any = result.figures
    made = (
        _source(result, figures),
        _sizes(figures),
        _binds(figures["decades"]),
        _walls(figures["decades"]),
        _cell(figures),
        _shard(figures["shard"]),
        _takeover(figures["takeover_s"]),
        _leases(figures["lease_table"]),
    )
    return dict(zip(NAMES, made, strict=True))


def _source(result: Result, figures: Any) -> str:
    measured = "; ".join(f"{what}: {source}" for what, source in figures["measured"].items())
    where = "kept in `benchmarks/results/scale.json`"
    return f"{told_taken(result)}, {where}. Measured: {measured}.\n\n{figures['assumed']}"


def _sizes(figures: Any) -> str:
    costs = figures["per_decade"]["costs"]
    names = {
        "students": "students",
        "shards": "shards",
        "worker_tasks": "worker tasks",
        "api_tasks": "api tasks",
        "acu": "ACU of the writer, by CPU",
        "redis_gb": "states in Redis, GB",
        "redis_cores": "cores of Redis",
        "cells": "cells",
    }
    decades = figures["decades"]
    head = _row("events/s", [f"{int(rate):,}" for rate in decades])
    rows = [_row(told, [number(one[name]) for one in decades.values()]) for name, told in names.items()]
    dollars = _row("dollars a million events, in cells", [f"{costs[rate]:.3f}" for rate in decades])
    return "\n".join([head, _rule(len(decades)), *rows, dollars])


def _binds(decades: Any) -> str:
    lines = []
    for rate, one in decades.items():
        full = [wall for wall in one["walls"] if wall["used"] > _FULL]
        near = one["walls"][0]
        told = "; ".join(f"**{wall['what']}** ({_percent(wall['used'])}): {wall['answer']}" for wall in full)
        nothing = f"nothing; nearest is {near['what']}, {_percent(near['used'])}"
        lines.append(f"- **{int(rate):,} events/s, {one['students']:,} students**: {told or nothing}.")
    return "\n".join(lines)


def _walls(decades: Any) -> str:
    whats = {wall["what"]: wall for one in decades.values() for wall in one["walls"]}
    used = {rate: {wall["what"]: wall["used"] for wall in one["walls"]} for rate, one in decades.items()}
    last = list(decades)[-1]
    head = "| used of | limit | " + " | ".join(f"{int(rate):,}/s" for rate in decades) + " | |"
    rows = [
        f"| {what} | {_limit(wall)} | "
        + " | ".join(_bold(used[rate][what]) for rate in decades)
        + f" | {wall['kind']} |"
        for what, wall in sorted(whats.items(), key=lambda pair: -used[last][pair[0]])
    ]
    return "\n".join([head, "|---|--:" + "|--:" * len(decades) + "|---|", *rows])


def _limit(wall: Mapping[str, Any]) -> str:
    return f"{number(wall['limit'])} {wall['unit']}"


def _cell(figures: Any) -> str:
    cell = figures["cell"]
    first = next(wall for wall in cell["walls"] if wall["kind"] == "hard")
    near = f"The first hard limit is {first['what']}, {_percent(first['used'])} used"
    return (
        f"One cell takes **{number(cell['events_per_s'])} events/s of {cell['students']:,} students**: "
        f"{cell['shards']} shards, {cell['worker_tasks']} worker and {cell['api_tasks']} api tasks, "
        f"{number(cell['acu'])} ACU, {number(cell['redis_gb'])} GB of states. {near}; planned is three "
        f"quarters. The last decade is {cell['cells']} of them."
    )


def _shard(shard: Any) -> str:
    rates = shard["by_rate_ms"]
    before, uneven, most, within, alone = (
        number(shard[name])
        for name in (
            "before_the_process_ms",
            "unevenness_of_a_batch",
            "most_events_per_s",
            "events_per_s_within_p99",
            "events_per_s_within_p99_alone",
        )
    )
    told = (
        f"Set by the measured rate: {before} ms before the process, an unevenness of {uneven}. A shard, "
        f"{shard['shards_a_task']} to a task of {shard['cores_of_a_task']:g} cores, takes {most} events/s at "
        f"all, bound by {shard['binds']}, and **{within} with the promised p99**; one that has its task to "
        f"itself, {alone}."
    )
    found, model = shard["task_events_per_s_within_1s_measured"], shard["task_events_per_s_within_1s"]
    if found:
        told += (
            f" What the model was not told: the highest rate of the whole task with a p99 under a second is "
            f"{number(found)} as the load test's search found it, and {number(model)} by the model."
        )
    head = _row("events/s of a shard", [f"{int(rate):,}" for rate in rates])
    rows = [_row(f"{name}, ms", [number(one[name]) for one in rates.values()]) for name in ("p50", "p99")]
    return "\n".join([told, "", head, _rule(len(rates)), *rows])


def _takeover(fleets: Any) -> str:
    kinds = list(next(iter(fleets.values())))
    head = _row("seconds until all of its shards are at work", [f"loss of {kind}" for kind in kinds])
    rows = [
        _row(
            name if not name.isdigit() else f"{int(name):,} events/s",
            [number(one[kind]["all"]) for kind in kinds],
        )
        for name, one in fleets.items()
    ]
    return "\n".join([head, _rule(len(kinds)), *rows])


def _leases(table: Any) -> str:
    head = _row("shards", [f"{int(shards):,}" for shards in table])
    names = {
        "reads_per_s": "reads a second",
        "reads_per_s_looking_every_10_s": "the same, `LOOK_SECONDS=10`",
        "writes_per_s": "writes a second",
        "round_s": "the leader's longest round, s",
        "takeover_s": "a killed task's shards at work, s",
    }
    rows = [_row(told, [number(one[name]) for one in table.values()]) for name, told in names.items()]
    return "\n".join([head, _rule(len(table)), *rows])


def _row(name: str, values: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(values) + " |"


def _rule(columns: int) -> str:
    return "|---" + "|--:" * columns + "|"


def _percent(used: float) -> str:
    return f"{number(round(used * 100, 1))}%"


def _bold(used: float) -> str:
    return f"**{_percent(used)}**" if used > _FULL else _percent(used)
