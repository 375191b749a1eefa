"""Breadth-first search: the first violation found is one that takes the fewest steps."""

import gc
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from tests.model import deleting, faults, invariants, pipeline, reading
from tests.model.invariants import Violation
from tests.model.state import State, Step
from tests.model.world import Configuration, World


class Result(NamedTuple):
    """What a search found; `trace` leads to the violation, in words."""

    configuration: Configuration
    states: int
    steps: int
    resting: int
    seconds: float
    violation: Violation | None = None
    trace: tuple[str, ...] = ()
    complete: bool = True


def successors(world: World, state: State) -> Iterator[Step]:
    """Every next step of everyone."""
    for w in range(len(state.workers)):
        yield from pipeline.steps(world, state, w)
    yield from reading.steps(world, state)
    yield from deleting.steps(world, state)
    yield from faults.steps(world, state)


class Search:
    """One breadth-first search.

    Args:
        limit: give up after so many states; the result says so.
        progress: told the number of states and the seconds now and then.
    """

    def __init__(
        self, configuration: Configuration, limit: int, progress: Callable[[int, float], None] | None = None
    ) -> None:
        self._world = World(configuration)
        self._limit = limit
        self._progress = progress
        self._started = time.monotonic()
        self._states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._parents = array("q")
        self._steps = 0
        self._resting: list[int] = []
        # the ways on that need no fault, as pairs of numbers
        self._from = array("q")
        self._to = array("q")

    def run(self) -> Result:
        gc.disable()  # millions of tuples, and not one cycle
        try:
            self._number(self._world.start(), -1)
            at = 0
            while at < len(self._states):
                broken = self._visit(at)
                if broken is not None:
                    return self._result(broken, at)
                at += 1
                if len(self._states) > self._limit:
                    return self._result(None, at)._replace(complete=False)
            return self._rest()
        finally:
            gc.enable()

    def _visit(self, at: int) -> Violation | None:
        world, state = self._world, self._states[at]
        resting = invariants.at_rest(world, state)
        broken = invariants.violation(world, state, resting)
        if broken is not None:
            return broken
        if resting:
            self._resting.append(at)
        for step in successors(world, state):
            number = self._number(step.after, at)
            self._steps += 1
            if not step.fault:
                self._from.append(at)
                self._to.append(number)
        return None

    def _number(self, state: State, parent: int) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._parents.append(parent)
            if self._progress is not None and number % 100_000 == 99_999:
                self._progress(number + 1, time.monotonic() - self._started)
        return number

    def _rest(self) -> Result:
        """Whether every state can come to rest with no further fault: walk back from those at rest."""
        good = bytearray(len(self._states))
        for number in self._resting:
            good[number] = 1
        changed = True
        while changed:
            changed = False
            for edge in range(len(self._from) - 1, -1, -1):
                if good[self._to[edge]] and not good[self._from[edge]]:
                    good[self._from[edge]] = 1
                    changed = True
        stuck = good.find(0)
        if stuck < 0:
            return self._result(None, 0)
        because = f"{good.count(0)} states cannot come to rest, the first one after this"
        return self._result(Violation(invariants.COMES_TO_REST, because), stuck)

    def _result(self, violation: Violation | None, at: int) -> Result:
        return Result(
            self._world.configuration,
            len(self._states),
            self._steps,
            len(self._resting),
            time.monotonic() - self._started,
            violation,
            tuple(self._trace(at)) if violation else (),
        )

    def _trace(self, at: int) -> list[str]:
        """The steps that led to a state, found again between each state and the next."""
        way = [at]
        while self._parents[way[-1]] >= 0:
            way.append(self._parents[way[-1]])
        way.reverse()
        return [
            next(
                str(step)
                for step in successors(self._world, self._states[here])
                if step.after == self._states[there]
            )
            for here, there in pairwise(way)
        ]


def explore(
    configuration: Configuration,
    limit: int = 10_000_000,
    progress: Callable[[int, float], None] | None = None,
) -> Result:
    """Search a configuration to its end, to its first violation, or to the limit."""
    return Search(configuration, limit, progress).run()
