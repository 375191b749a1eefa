"""`python -m tests.faults --soak MINUTES`: two tasks at a high load for long, with a failure every minute.

A drill shows that one failure heals. A soak shows that healing leaves nothing behind: no memory, no slowness,
no event, whatever the order in which the failures come. The order is drawn from a seed that is printed.
"""

import itertools
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from tests.faults import drills
from tests.faults.load import Crowd, Say
from tests.faults.memory import MemoryWatch, Trend
from tests.faults.proof import Proof, prove, wait_until_quiet
from tests.faults.stage import Stage, family, kill, staged
from worker.local.process import StackError
from worker.local.watching import wait_for

CROWD = Crowd(students=50_000, courses=20, skew=0.5)
"""Many students, of whom even the busiest sends two events of a thousand: a school, and not a drill."""
_TICK_SECONDS = 0.1
_EVERY_SECONDS = 60.0
_CALM_SECONDS = 15.0
_PATIENCE = 240.0
_QUIET_PATIENCE = 1_200.0


class Soaked(NamedTuple):
    """The end of a soak; memory in MB, times in seconds."""

    seed: int
    minutes: float
    failures: dict[str, int]
    longest_pause: float
    offered_per_second: float
    catch_up_seconds: float
    load_cpu_share: float
    proof: Proof
    proof_seconds: float
    harness_mb: float
    memory: Trend | None
    longest_lives: dict[str, Trend]

    @property
    def good(self) -> bool:
        return self.proof.good and self.memory is not None and self.memory.flat


Act = Callable[["Soak"], None]


class Soak:
    """One long stage, and the choice of what happens next on it."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.chance = random.Random(seed)
        self._names = (f"task-{n}" for n in itertools.count(1))
        self._puts_told = 0
        self.failures: dict[str, int] = {}
        self.longest_pause = 0.0

    def go_on(self, minutes: float) -> None:
        """A failure every minute, or when the one before is over, until the time is."""
        begun = time.monotonic()
        end = begun + 60 * minutes
        while (now := time.monotonic()) < end - _CALM_SECONDS:
            self.stage.hold(_CALM_SECONDS)
            self._fail()
            self.stage.hold(max(0.0, min(now + _EVERY_SECONDS, end) - time.monotonic()))
            self._tell((time.monotonic() - begun) / 60)

    def any_name(self) -> str:
        return self.chance.choice(sorted(self.stage.tasks))

    def start_another(self) -> None:
        """A task of its own name and worker id, once it listens."""
        name = next(self._names)
        task = self.stage.session.start_task(name)
        wait_for(lambda: task.ports is not None, task, seconds=_PATIENCE, what="the new task")
        self.stage.tasks[name] = task

    def _fail(self) -> None:
        name = self.chance.choice(sorted(FAILURES))
        self.failures[name] = self.failures.get(name, 0) + 1
        self.stage.say(name)
        try:
            FAILURES[name](self)
            self.stage.await_recovery()
        except (StackError, psutil.Error) as error:
            self.stage.promise(held=False, what=f"recovery after {name} ({error})")

    def _tell(self, minute: float) -> None:
        load, observer = self.stage.load, self.stage.observer
        puts = load.put_seconds[self._puts_told :]
        self._puts_told += len(puts)
        put = 1_000 * median(puts or [0])
        pause, recovered = observer.longest_pause, observer.recovered_after
        self.longest_pause = max(self.longest_pause, pause)
        self.stage.say(
            f"minute {minute:.1f}: {load.sent:,} sent at {load.rate:,.0f}/s,"
            f" the load is late by {load.late_seconds:.1f} s, a put takes {put:.0f} ms,"
            f" {observer.behind:,} to read, longest pause {pause:.1f} s,"
            f" recovered after {'-' if recovered is None else f'{recovered:.1f} s'}"
        )


def _kill_child(soak: Soak) -> None:
    _kill_one(soak, "shard")


def _kill_daemon(soak: Soak) -> None:
    _kill_one(soak, "java")


def _kill_one(soak: Soak, kind: str) -> None:
    def found() -> list[psutil.Process]:
        return [one for name in sorted(soak.stage.tasks) for one in family(soak.stage.tasks[name])[kind]]

    wait_for(lambda: bool(found()), soak.stage.any_task(), seconds=_PATIENCE, what=f"a {kind} process")
    soak.stage.observer.fault()
    kill(soak.chance.choice(found()))


def _kill_task(soak: Soak) -> None:
    name = soak.any_name()
    soak.stage.observer.fault()
    soak.stage.tasks.pop(name).kill()
    soak.start_another()


def _deploy(soak: Soak) -> None:
    name = soak.any_name()
    soak.start_another()
    soak.stage.hold(15)  # a deploy waits for health checks as well
    soak.stage.observer.fault()
    soak.stage.tasks.pop(name).stop()


FAILURES: dict[str, Act] = {
    "kill -9 of a shard process": _kill_child,
    "kill -9 of a daemon": _kill_daemon,
    "kill -9 of a task, a new one comes": _kill_task,
    "deploy of one task": _deploy,
    "PostgreSQL killed and started": lambda soak: drills.restart_postgres(soak.stage),
    "Redis killed, back empty": lambda soak: drills.redis_empty(soak.stage),
    "FLUSHALL": lambda soak: drills.flushall(soak.stage),
    "Redis back with old data": lambda soak: drills.redis_stale(soak.stage),
    "DynamoDB refuses 80 % for 10 s": lambda soak: drills.dynamodb_throttled(soak.stage, 10),
    "Kinesis refuses 80 % for 10 s": lambda soak: drills.kinesis_throttled(soak.stage, 10),
    "a task frozen for 20 s": lambda soak: drills.frozen_task(soak.stage, 20),
}
"""Those of the drills that two tasks go through and that leave everything as it was."""


def soak(minutes: float, per_second: int, seed: int, say: Say) -> Soaked:
    """From an empty stack to the proof."""
    say(f"soak: {minutes:g} min at {per_second:,} events/s, seed {seed}")
    with (
        tempfile.TemporaryDirectory(prefix="edu-soak-") as folder,
        staged(
            Path(folder),
            say,
            tasks=2,
            per_second=per_second,
            settings={},
            crowd=CROWD,
            tick_seconds=_TICK_SECONDS,
            backlog=2 * per_second,
        ) as stage,
    ):
        memory = MemoryWatch(lambda: list(stage.tasks.values()))
        memory.start()
        going, begun = Soak(stage, seed), time.monotonic()
        going.go_on(minutes)
        stage.load.stop()
        ended = time.monotonic()
        wait_until_quiet(stage.edges, stage.any_task(), stage.load.sent, _QUIET_PATIENCE)
        quiet = time.monotonic()
        memory.stop()
        say(f"quiet after {quiet - ended:.1f} s; the proof of {stage.load.sent:,} events takes its time")
        proof = prove(stage.edges, stage.session.stack.endpoints.database_url, stage.load).but(stage.broken)
        return Soaked(
            seed=seed,
            minutes=(ended - begun) / 60,
            failures=going.failures,
            longest_pause=going.longest_pause,
            offered_per_second=stage.load.rate,
            catch_up_seconds=quiet - ended,
            load_cpu_share=stage.load.cpu_seconds / (ended - begun),
            proof=proof,
            proof_seconds=time.monotonic() - quiet,
            harness_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            memory=memory.a_task,
            longest_lives=memory.longest,
        )


def told(result: Soaked) -> str:
    """The result in some lines."""
    proof = result.proof
    lines = [
        f"soak of {result.minutes:.1f} min, seed {result.seed}: {'good' if result.good else 'BAD'}",
        f"  {proof.sent:,} events sent, {result.offered_per_second:,.0f}/s",
        f"  {proof.lost} lost, {proof.double} double",
        f"  {proof.states}; {proof.scores}",
        f"  {sum(result.failures.values())} failures; longest pause of a shard {result.longest_pause:.1f} s",
        f"  all read and projected {result.catch_up_seconds:.1f} s after the end of the load",
        f"  memory of a task: {result.memory}",
        *(f"  longest-lived {kind}: {trend}" for kind, trend in sorted(result.longest_lives.items())),
        f"  the load took {result.load_cpu_share:.0%} of a core",
        f"  the proof took {result.proof_seconds:.0f} s, this process at most {result.harness_mb:.0f} MB",
        *(f"  BROKEN: {promise}" for promise in proof.broken),
    ]
    return "\n".join(lines)
