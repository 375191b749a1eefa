"""Rounds over lots of ledgers: each lot has its turn in every round, so all share the machine's moods."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.growing.batches import EVENTS
from benchmarks.growing.measuring import Cost, Subject
from benchmarks.growing.yard import Ledger, Yard

_WARM_UP, _COUNTED = 2, 4
FRESH_BELOW = 50 * (_WARM_UP + _COUNTED) * EVENTS
"""A ledger to which a turn would add a fiftieth or more is replaced for each round."""


class Lot(NamedTuple):
    """What is measured under one name: ledgers alike, one for all rounds or one for each, and how.

    Attributes:
        name: of the lot.
        ledgers: at most as many as rounds.
        events: of a batch.
        lane: two lots of one ledger differ in it.
    """

    name: str
    ledgers: Sequence[Ledger]
    events: int = EVENTS
    lane: int = 0


def measured(
    yard: Yard, settings: Mapping[str, str], lots: Sequence[Lot], rounds: int, say: Callable[[str], None]
) -> dict[str, Cost]:
    """The medians of all rounds, by lot, with PostgreSQL set up like that."""
    yard.settle(settings)
    found: dict[str, list[Cost]] = defaultdict(list)
    with ExitStack() as open_:
        subjects: dict[str, list[Subject]] = {}
        for lot in lots:
            most = -(-rounds // len(lot.ledgers)) * (_WARM_UP + _COUNTED)
            subjects[lot.name] = [
                open_.enter_context(Subject(yard, one, most, lot.lane)) for one in lot.ledgers
            ]
        for subject in (one for alike in subjects.values() for one in alike):
            subject.warm()
        for number in range(rounds):
            for lot in lots:
                alike = subjects[lot.name]
                # as many events in all, whatever the size of a batch
                more = EVENTS // lot.events
                cost = alike[number % len(alike)].turn(_WARM_UP * more, _COUNTED * more, lot.events)
                found[lot.name].append(cost)
                say(f"round {number + 1}, {lot.name}: {cost.cpu_us:.0f} us of CPU an event")
    return {name: median(all_rounds) for name, all_rounds in found.items()}


def median(rounds: Sequence[Cost]) -> Cost:
    """Part by part."""
    return Cost(*(statistics.median(parts) for parts in zip(*rounds, strict=True)))


def told(cost: Cost) -> dict[str, float]:
    """The parts and their sums, in microseconds an event."""
    sums = {"postgres_us": cost.postgres_us, "cpu_us": cost.cpu_us}
    return {name: round(value, 1) for name, value in (cost._asdict() | sums).items()}


PARTS = ("client_us", "postgres_us", "valkey_us", "cpu_us", "wall_us", "wal_bytes", "redis_bytes")


def ratios(small: Cost, large: Cost) -> dict[str, float]:
    """How many times what it costs at first each part costs at last."""
    return {name: round(getattr(large, name) / getattr(small, name), 3) for name in PARTS}


def by_batch(small: Cost, large: Cost, few: int, many: int) -> dict[str, dict[str, float]]:
    """What a batch costs whatever is in it, and what each of its events adds; from two sizes of batches."""
    found = {}
    for name in PARTS:
        dear, cheap = getattr(small, name), getattr(large, name)
        a_batch = (dear - cheap) * few * many / (many - few)
        found[name] = {"a_batch": round(a_batch, 1), "an_event": round(cheap - a_batch / many, 2)}
    return found
