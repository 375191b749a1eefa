"""`python -m benchmarks.hotpath`: where an event's CPU goes, function by function, statement by statement.

A missed goal is explained by what binds, and "Python" is no explanation. The shard process that the daemon
starts is fed the daemon's messages, against real PostgreSQL and Valkey: once unwatched, for what an event
costs; once sampled, while PostgreSQL tells what each statement used. The shares of the samples are told in
microseconds of the unwatched run. What is left in ledger and Redis is proven as ever.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks import flames, statements
from benchmarks.peers import ours
from benchmarks.peers.cost import Cost, Meter, cost
from benchmarks.peers.events import CALL, ENVELOPE, Call, Events, calls, empty
from benchmarks.peers.feeder import Feeder
from benchmarks.result import keep
from benchmarks.sampler import BEGIN_OR_END, SECONDS
from benchmarks.staging import say, stack
from worker.local.session import Session

SUITE = "hotpath"
_QUICK = 20_000
_TOLD = 20
_WARM_CALLS = 5


class NotProven(Exception):
    """What was left in the servers is not what must be there; the text says what is missing."""


class Watched(NamedTuple):
    """What the runs showed: the unwatched one's cost, and the other one's with all that was seen of it."""

    cost: Cost
    commands: Mapping[str, float]
    sampled: Cost
    samples: Counter[flames.Stack]
    statements: Mapping[str, statements.Spent]
    stages: Mapping[str, float]

    @property
    def each(self) -> float:
        """Microseconds of an event's CPU that a sample stands for."""
        return self.cost.process_us / max(1, self.samples.total())

    @property
    def samples_over_cpu(self) -> float:
        """Far from 1, the samples are not those of the process's CPU."""
        return self.samples.total() * SECONDS * 1e6 / (self.sampled.process_us * self.sampled.events)


def main(argv: Sequence[str] | None = None) -> int:
    """Watch and keep; 0 when all was proven, 1 when not, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{SUITE}", description=__doc__)
    parser.add_argument("--events", type=int, default=150_000, help="of each run (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"a look: {_QUICK:,} events")
    given = parser.parse_args(argv)
    events = _QUICK if given.quick else given.events
    if events < (least := 2 * _WARM_CALLS * CALL):
        parser.error(f"--events is at least {least:,}")
    with stack(say) as session:
        try:
            watched = watch(session, events)
        except NotProven as error:
            say(str(error))
            return 1
    for name, count in flames.by_module(watched.samples).most_common(_TOLD):
        say(f"{count * watched.each:6.1f} us  {name}")
    for text, micros in _statements(watched, "cpu").items():
        say(f"{micros:6.1f} us  PostgreSQL: {text}")
    say(f"kept in {keep(SUITE, f'python -m benchmarks.{SUITE} --events {events}', [], told(watched))}")
    return 0


def watch(session: Session, events: int) -> Watched:
    """Three runs; in the first all students are made known, as they are in a system that has run for a while.

    Raises:
        NotProven: events are lost or double.
    """
    url, samples = session.environment["REDIS_URL"], session.directory / "samples.txt"
    log = session.directory / "stack" / "log" / "postgres.log"
    spoken = statements.Statements(session.environment["DATABASE_URL"], log)
    ledger = ours.Ledger(session.environment)
    sampling = (sys.executable, "-u", "-m", "benchmarks.sampler", str(samples), "worker", "shard")

    def counted(feeder: Feeder, meter: Meter, fed: Sequence[Call]) -> Cost:
        before = meter.look()
        _feed(feeder, fed)
        return cost(before, meter.look(), sum(call.events for call in fed))

    def sampled(feeder: Feeder, meter: Meter, fed: Sequence[Call]) -> Cost:
        with spoken.told():
            os.kill(feeder.pid, BEGIN_OR_END)
            found = counted(feeder, meter, fed)
            os.kill(feeder.pid, BEGIN_OR_END)
        return found

    try:
        say(f"{events:,} events, so that all students are known")
        with _run(session, ledger, "known", events) as (feeder, _, rest, _):
            _feed(feeder, rest)
        say(f"{events:,} events, not watched")
        with _run(session, ledger, "plain", events) as (feeder, meter, rest, stages):
            statements.forget(url)
            found = counted(feeder, meter, rest)
            commands = statements.commands(url)
        say(f"an event takes {found.process_us:.1f} us of the shard process; {events:,} events, sampled")
        with _run(session, ledger, "watched", events, sampling) as (feeder, meter, rest, _):
            watched = sampled(feeder, meter, rest)
    finally:
        ledger.close()
    micros = {name: spent / found.events for name, spent in commands.items()}
    stacks = flames.stacks(samples.read_text())
    return Watched(found, micros, watched, stacks, spoken.found, dict(stages))


@contextmanager
def _run(
    session: Session,
    ledger: ours.Ledger,
    name: str,
    events: int,
    command: Sequence[str] = ours.COMMAND,
) -> Iterator[tuple[Feeder, Meter, Sequence[Call], Mapping[str, float]]]:
    """A shard process that is warm, its meter, what it is still to be fed, and its time by stage an event.

    Raises:
        NotProven: what was to be left is not there at the end.
    """
    made = Events(name, events, ledger.edges.identity, ledger.edges.realm)
    fed = calls(made.envelopes(), ENVELOPE)
    path = session.directory / "heartbeats"
    stages: dict[str, float] = {}
    ledger.begin()
    with ours.heard(path) as heart:
        environment = ours.environment(session.environment, name, path)
        with Feeder(command, environment, session.directory / "log" / f"{name}.log") as feeder:
            heart.start()
            feeder.begin()
            _feed(feeder, [empty(), *fed[:_WARM_CALLS]])
            servers = session.stack.postgres.pid, session.stack.valkey.pid
            yield feeder, Meter(feeder.pid, *servers), fed[_WARM_CALLS:], stages
            feeder.end()
        heart.join()
    stages.update({stage: seconds * 1e6 / events for stage, seconds in heart.stages.items()})
    if missing := ledger.missing(made):
        raise NotProven(missing)


def told(watched: Watched) -> dict[str, object]:
    """As the figures of a result."""
    found = watched.cost
    cpu = {"shard process": found.process_us, "PostgreSQL": found.postgresql_us, "Valkey": found.valkey_us}
    return {
        "events_of_a_run": found.events,
        "samples": watched.samples.total(),
        "samples_over_those_of_its_cpu": round(watched.samples_over_cpu, 2),
        "cpu_us_per_event": _rounded(cpu),
        "passing_us_per_event_by_stage": _rounded(watched.stages),
        "cpu_us_by_module": _shares(flames.by_module, watched),
        "cpu_us_in_function": _shares(flames.itself, watched),
        "cpu_us_of_function_and_what_it_calls": _shares(flames.with_called, watched),
        "postgresql_cpu_us": _statements(watched, "cpu"),
        "postgresql_passing_us": _statements(watched, "elapsed"),
        "valkey_us": {name: round(us, 2) for name, us in watched.commands.items() if us >= 0.01},
        "flame_graph": flames.tree(watched.samples, watched.each),
    }


def _feed(feeder: Feeder, fed: Sequence[Call]) -> None:
    for call in fed:
        feeder.feed(call)


def _shares(
    counted: Callable[[Mapping[flames.Stack, int]], Counter[str]], watched: Watched
) -> dict[str, float]:
    """The largest, in microseconds of CPU an event."""
    largest = counted(watched.samples).most_common(_TOLD)
    return _rounded({name: count * watched.each for name, count in largest})


def _statements(watched: Watched, figure: str) -> dict[str, float]:
    """The dearest statements, in microseconds an event, of CPU or of time."""
    dearest = sorted(watched.statements.items(), key=lambda one: -one[1].cpu)[:_TOLD]
    events = watched.sampled.events
    return _rounded({text: getattr(spent, figure) * 1e6 / events for text, spent in dearest})


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
