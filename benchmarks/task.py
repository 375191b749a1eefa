"""`python -m benchmarks.task`: how many events a second one worker task of half a core takes (P1).

One worker task as Fargate would run it: the supervisor, the real KCL daemon, two shard processes, held to
half a core and 1 GiB by a control group. The servers around it have the rest of the machine. Every student
has a full state before the first round. Then rounds: a stream is filled in one go, and the way of its events
into ledger, projection and checkpoints is timed. The goal is judged where it is dearest, every attempt of a
transaction another student's, in the largest envelopes that a producer of ours sends. Beside it: envelopes as
they are at 5,000 events a second, students who answer ten questions in one sitting, and no control group. All
of it is proven at the end.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from benchmarks.classroom import Classroom
from benchmarks.draining import Drained, Entry, Stream, packed
from benchmarks.fullness import fullest
from benchmarks.proving import Proven, prove
from benchmarks.result import Goal, keep
from benchmarks.staging import CPUS, backfill, running, say, stack
from scripts.loading.cgroups import NotLimited
from worker import wiring
from worker.domain.envelope import PACK_EVENTS
from worker.local.edges import Edges
from worker.local.process import StackError
from worker.local.session import Session
from worker.settings import load

GOAL = 25_000.0
SMALL = 125
"""Events in an envelope at 5,000 a second: 50 ms of one of two shards."""
COURSES = 20
_WARM_UP = 200_000
"""Events before the first round: Java compiles what it runs often, which on half a core takes seconds."""
_TASK = "worker task"
_FULL = 0.93


class Regime(NamedTuple):
    """One way to run: events an envelope, whether the task is held to its share, attempts of one sitting."""

    name: str
    per_envelope: int
    limited: bool
    together: int = 1


REGIMES = (
    Regime("limited", PACK_EVENTS, limited=True),
    Regime("limited_small_envelopes", SMALL, limited=True),
    Regime("limited_sittings_of_10", PACK_EVENTS, limited=True, together=10),
    Regime("unlimited", PACK_EVENTS, limited=False),
)


class Found(NamedTuple):
    """A regime's rounds, and what held the task."""

    regime: Regime
    limits: str
    rounds: list[Drained]

    @property
    def median(self) -> Drained:
        """The round of the median rate."""
        return sorted(self.rounds, key=lambda one: one.rate)[len(self.rounds) // 2]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and keep; 0 when the goal is met and everything is proven, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task", description=__doc__)
    parser.add_argument("--events", type=int, default=120_000, help="of each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each regime (default: %(default)s)")
    parser.add_argument("--students", type=int, default=10_000, help="full states (default: %(default)s)")
    names = [regime.name for regime in REGIMES]
    parser.add_argument("--only", choices=names, help="one regime; nothing is kept then")
    parser.add_argument("--sample", type=int, default=500, help="students proven (default: %(default)s)")
    arguments = parser.parse_args(argv)
    wanted = [regime for regime in REGIMES if arguments.only in (None, regime.name)]
    try:
        with stack(say) as session, closing(wiring.edges(load(session.environment))) as edges:
            found, proven = _Measure(session, edges, arguments).all(wanted)
    except (NotLimited, StackError) as reason:
        say(str(reason))
        return 1
    for one in found:
        say(_line(one))
    say(str(proven))
    goal = _goal(found)
    if arguments.only is None and goal is not None:
        given = sys.argv[1:] if argv is None else argv
        command = " ".join(["python -m benchmarks.task", *given])
        say(f"kept in {keep('task', command, [goal], _figures(found, proven, arguments))}")
    return 0 if proven.good and (goal is None or goal.met) else 1


class _Measure:
    def __init__(self, session: Session, edges: Edges, arguments: argparse.Namespace) -> None:
        self._session = session
        self._edges = edges
        self._arguments = arguments
        self._shards = wiring.producer(load(session.environment)).open_shards()
        self._room = Classroom(
            arguments.students, COURSES, identity=edges.identity, realm=edges.realm, now=wiring.now()
        )

    def all(self, regimes: Sequence[Regime]) -> tuple[list[Found], Proven]:
        path = self._session.directory / "history.csv"
        say(f"{self._room.write_history(path):,} attempts fill {self._room.students:,} states")
        backfill(self._session, path)
        found = []
        for limited in (True, False):
            together = [regime for regime in regimes if regime.limited == limited]
            if together:
                found += self._with_one_task(together, limited=limited)
        say("proving")
        return found, prove(self._edges, self._room, self._arguments.sample)

    def _with_one_task(self, regimes: Sequence[Regime], *, limited: bool) -> list[Found]:
        with running(self._session, regimes[0].name, limited=limited) as run:
            stream = Stream(self._session, self._edges, run.cpu)
            stream.drain(*self._made(_WARM_UP, regimes[0]), run.task)
            found = []
            for regime in regimes:
                rounds = []
                for number in range(self._arguments.rounds):
                    rounds.append(stream.drain(*self._made(self._arguments.events, regime), run.task))
                    say(f"{regime.name}, round {number + 1}: {rounds[-1].rate:,.0f} events/s")
                found.append(Found(regime, run.limits, rounds))
        return found

    def _made(self, count: int, regime: Regime) -> tuple[list[Entry], int]:
        events = self._room.events(self._room.draw(count, wiring.now(), regime.together))
        return packed(events, self._shards, regime.per_envelope), count


def _goal(found: Sequence[Found]) -> Goal | None:
    """P1, by the first regime; None where it was not run."""
    first = next((one for one in found if one.regime == REGIMES[0]), None)
    if first is None:
        return None
    value = first.median.rate
    what = f"one worker task {first.limits}, 2 shards, full states, from a full stream"
    return Goal("P1", what, round(value), GOAL, "events/s", True, "" if value >= GOAL else _binds(first))


def _binds(found: Found) -> str:
    """The task's own share where that is used up, else the fullest part; and what an event costs each."""
    one = found.median
    task = one.cores(_TASK)
    if found.regime.limited and task >= _FULL * CPUS:
        bound = f"CPU: the task uses {task:.2f} of its {CPUS:g} cores"
    else:
        cores = {part: used / one.seconds for part, used in one.cpu.items()}
        bound = fullest(cores, os.cpu_count() or 1)
    dearest = sorted(one.cpu, key=lambda part: -one.cpu[part])[:4]
    return f"{bound}; an event costs " + ", ".join(f"{part} {one.micros(part):.0f} µs" for part in dearest)


def _figures(found: Sequence[Found], proven: Proven, arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "events_a_round": arguments.events,
        "full_states": arguments.students,
        "regimes": {one.regime.name: _of_regime(one) for one in found},
        "proof": {**proven._asdict(), "good": proven.good},
    }


def _of_regime(found: Found) -> dict[str, object]:
    one = found.median
    return {
        "task": found.limits,
        "events_an_envelope": found.regime.per_envelope,
        "attempts_of_a_sitting": found.regime.together,
        "events_per_s": round(one.rate),
        "rounds_events_per_s": [round(each.rate) for each in found.rounds],
        "highest_3s_events_per_s": round(max(each.highest for each in found.rounds)),
        "until_checkpoint_s": round(one.checkpoint_seconds, 2),
        "cpu_us_per_event": {part: round(one.micros(part), 1) for part in one.cpu},
        "task_cores": round(one.cores(_TASK), 3),
        "machine_busy": round(one.machine, 3),
        "binds": _binds(found),
    }


def _line(found: Found) -> str:
    rounds = ", ".join(f"{one.rate:,.0f}" for one in found.rounds)
    return f"{found.regime.name}: {found.median.rate:,.0f} events/s ({rounds}); {_binds(found)}"


if __name__ == "__main__":
    raise SystemExit(main())
