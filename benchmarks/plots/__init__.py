"""The plots of the page, each of one suite's figures; a suite without the figures has no plot."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from benchmarks.drawing import Plot
from benchmarks.plots import cpu, flame, latency, peers, sizes
from benchmarks.result import Result

_OF: Mapping[str, Sequence[Callable[[Mapping[str, Any], Result], Plot]]] = {
    "latency": (latency.distribution, latency.over_time, cpu.at_the_rate),
    "task": (cpu.from_a_full_stream,),
    "peers": (peers.throughput, peers.latency),
    "hotpath": (flame.of_an_event,),
    "backfill": (cpu.of_a_backfill,),
    "growth": (sizes.growth,),
    "cost": (sizes.parts, sizes.decades),
    "scale": (sizes.decades,),
}


def plots(result: Result) -> list[Plot]:
    """What can be drawn of a result."""
    made = []
    for plot in _OF.get(result.suite, ()):
        with suppress(LookupError, AttributeError, TypeError, ValueError):  # a run that left a figure out
            made.append(plot(msgspec.to_builtins(result.figures), result))
    return [plot for plot in made if plot.shown]
