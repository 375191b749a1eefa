"""The drills themselves: each causes one failure on a stage at load and says when it is over."""

import shutil
from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple

import psutil
import redis

from tests.faults import kinesis_local, resharding
from tests.faults.hardships import clock_skew, disk_full, no_faketime, no_mount, rotate_passwords
from tests.faults.stage import Stage, family, kill
from worker.local.watching import wait_for

_STARTS = "edu_daemon_starts_total"
POISON = 1_200
"""Poisoned events of the flood; the default limit is 500 in a row."""
RESHARDING_RATE = 300
"""Events a second of the drills that reshard: what the emulator of a stream with an end holds."""


def anywhere() -> str | None:
    """Most drills need nothing of the machine."""
    return None


def nothing_more(_stage: Stage) -> None:
    """Of most drills the proof says all."""


class Drill(NamedTuple):
    """One failure: its number and name, what causes it, and the stage it needs.

    `unavailable` says why this machine cannot run it, None where it can. `check` looks at what must hold
    beside the proof. `most_per_second` is all that the stage of this drill can carry.
    """

    number: int
    name: str
    act: Callable[[Stage], None]
    tasks: int = 1
    settings: Mapping[str, str] = {}
    goal_seconds: float | None = None
    poison: int = 0
    unavailable: Callable[[], str | None] = anywhere
    reshards: bool = False
    most_per_second: int | None = None
    check: Callable[[Stage], None] = nothing_more


def kill_child(stage: Stage) -> None:
    stage.observer.fault()
    kill(stage.shards_of("a")[0])


def kill_daemon(stage: Stage) -> None:
    stage.observer.fault()
    kill(family(stage.tasks["a"])["java"][0])


def kill_task(stage: Stage) -> None:
    """The task that holds more shards dies; the other takes them over."""
    name = max(stage.tasks, key=lambda n: len(stage.shards_of(n)))
    stage.observer.fault()
    stage.tasks.pop(name).kill()


def deploy(stage: Stage) -> None:
    """A new task comes up, the old one is told to go."""
    new = stage.session.start_task("new")
    wait_for(lambda: new.ports is not None, new, seconds=30, what="the new task")
    stage.hold(15)  # a deploy waits for health checks as well
    old = stage.tasks.pop("a")
    stage.tasks["new"] = new
    stage.observer.fault()
    old.stop()


def restart_postgres(stage: Stage) -> None:
    stage.observer.fault()
    stage.session.stack.postgres.kill()
    stage.session.stack.postgres.start()


def postgres_away(stage: Stage) -> None:
    stage.observer.fault()
    stage.session.stack.postgres.kill()
    stage.hold(60)
    stage.session.stack.postgres.start()


def redis_away(stage: Stage) -> None:
    """Longer than the patience of 30 s: commits go on without the projection."""
    stage.observer.fault()
    stage.session.stack.valkey.kill()
    stage.hold(60)
    stage.session.stack.valkey.start()


def redis_empty(stage: Stage) -> None:
    valkey = stage.session.stack.valkey
    stage.observer.fault()
    valkey.kill()
    shutil.rmtree(valkey.folder)
    valkey.start()


def flushall(stage: Stage) -> None:
    stage.observer.fault()
    with redis.Redis.from_url(stage.session.stack.endpoints.redis_url) as client:
        client.flushall()


def redis_stale(stage: Stage) -> None:
    """Redis comes back as it was some seconds ago: a replica that lagged was promoted."""
    valkey = stage.session.stack.valkey
    replica = valkey.folder.with_name("replica")
    valkey.stop()
    shutil.copytree(valkey.folder, replica)
    valkey.start()
    stage.hold(5)
    stage.observer.fault()
    valkey.kill()
    shutil.rmtree(valkey.folder)
    replica.rename(valkey.folder)
    valkey.start()


def poison_flood(stage: Stage) -> None:
    """More poison in a row than the limit allows: the shard halts; a new task with a higher limit goes on."""
    stage.observer.fault()
    stage.edges.producer.put_raw(b"\n".join([b"{poison}"] * POISON), 0)
    wait_for(
        lambda: any(ready["status"] == "halted" for ready in stage.readiness("a").values()),
        stage.tasks["a"],
        seconds=60,
        what="a halted shard",
    )
    stage.tasks.pop("a").kill()
    raised = {"POISON_SHARE": "1", "POISON_STREAK": str(10 * POISON)}
    stage.tasks["a"] = stage.session.start_task("a", raised)


def frozen_task(stage: Stage, seconds: float = 60) -> None:
    """A task is stopped in the middle and wakes as a former owner that does not know it."""
    name = max(stage.tasks, key=lambda n: len(stage.shards_of(n)))
    frozen = stage.tasks[name]
    assert frozen.process.pid is not None
    tree = [psutil.Process(frozen.process.pid), *chain(*family(frozen).values())]
    stage.observer.fault()
    for process in tree:
        process.suspend()
    stage.hold(seconds)
    for process in tree:
        process.resume()


def dynamodb_throttled(stage: Stage, seconds: float = 60) -> None:
    stage.observer.fault()
    stage.session.stack.emulator.refuse({"dynamodb": 0.8})
    stage.hold(seconds)
    stage.session.stack.emulator.refuse({})


def kinesis_throttled(stage: Stage, seconds: float = 60) -> None:
    stage.observer.fault()
    stage.session.stack.emulator.refuse({"kinesis": 0.8})
    stage.hold(seconds)
    stage.session.stack.emulator.refuse({})


def kill_leader(stage: Stage) -> None:
    """The task that leads dies: its leases need a leader to find a new owner."""
    name = stage.leader()
    stage.observer.fault()
    stage.tasks.pop(name).kill()


def kinesis_away(stage: Stage) -> None:
    """Every call to Kinesis is refused for 60 s: nothing to be mended by restarting anything."""
    starts = stage.metric("a", _STARTS)
    stage.observer.fault()
    stage.session.stack.emulator.refuse({"kinesis": 1.0})
    for _ in range(60):
        stage.hold(1)
        stage.promise(stage.healthy("a"), "healthy all the time")
    stage.session.stack.emulator.refuse({})
    stage.await_recovery()
    stage.promise(stage.healthy("a"), "healthy all the time")
    stage.promise(stage.metric("a", _STARTS) == starts == 1, "no restart of the daemon")


def _resharding(number: int, name: str, act: Callable[[Stage], None], *, tasks: int = 1, room: int) -> Drill:
    return Drill(
        number,
        name,
        act,
        tasks=tasks,
        settings=resharding.settings(room),
        unavailable=kinesis_local.missing,
        reshards=True,
        most_per_second=RESHARDING_RATE,
        check=resharding.check,
    )


DRILLS = (
    Drill(1, "kill -9 of a shard process", kill_child),
    Drill(2, "kill -9 of the daemon", kill_daemon, goal_seconds=10),
    Drill(3, "kill -9 of a task, another takes over", kill_task, tasks=2, goal_seconds=20),
    Drill(5, "deploy: new task up, SIGTERM to the old", deploy, goal_seconds=5),
    Drill(6, "PostgreSQL killed and started", restart_postgres),
    Drill(7, "PostgreSQL away 60 s", postgres_away),
    Drill(8, "Redis killed, back empty", redis_empty),
    Drill(9, "FLUSHALL under load", flushall),
    Drill(10, "Redis back with old data", redis_stale),
    _resharding(11, "a shard is split", resharding.split, room=3),
    _resharding(12, "two shards are merged", resharding.merge, room=2),
    _resharding(13, "a shard is split, kill -9 of its task", resharding.split_and_kill, tasks=2, room=3),
    Drill(14, "DynamoDB refuses 80 % for 60 s", dynamodb_throttled),
    Drill(15, "Kinesis refuses 80 % for 60 s", kinesis_throttled),
    Drill(16, "poison flood halts the shard", poison_flood, poison=POISON),
    Drill(17, "passwords rotate, the secrets follow late", rotate_passwords),
    Drill(18, "PostgreSQL's disk is full", disk_full, unavailable=no_mount),
    Drill(19, "a task frozen for 60 s wakes up", frozen_task, tasks=2),
    Drill(20, "clocks 10 min fast and slow, one task dies", clock_skew, unavailable=no_faketime),
    Drill(21, "Redis away 60 s", redis_away),
    # without a question to Kinesis itself the watchdog would take the daemon for stuck after that time
    Drill(22, "Kinesis away 60 s", kinesis_away, settings={"WATCHDOG_STUCK_SECONDS": "30"}),
    Drill(4, "kill -9 of the leader's task", kill_leader, tasks=2, goal_seconds=90),
)
