"""Splits and merges under load, and what must hold afterwards beyond the proof that every drill has.

The order of a student's events across a reshard comes from KCL alone: it reads a child only once its parent
is read to the end. What is ours is to say that end honestly, last of all, and to let go of a finished shard
without a restart, a sweep or a lease that somebody else must wait for.
"""

from collections import Counter
from typing import Any, NamedTuple

from tests.faults.stage import Stage, worker_id
from worker import wiring_aws
from worker.adapters.kinesis import Shard
from worker.adapters.leases import DynamoLeases
from worker.leases import Lease
from worker.local.session import APPLICATION, SHARDS, STREAM
from worker.local.watching import wait_for
from worker.ports import Progress
from worker.settings import load

_HELD_SECONDS = 180.0
_WATCHED_SECONDS = 100.0
_LAST_SECONDS = 5.0
_COUNTED = {"edu_daemon_starts_total": 1, "edu_watchdog_restarts_total": 0, "edu_sweeps_total": 0}
"""A reshard causes neither restarts nor sweeps."""


def settings(room: int) -> dict[str, str]:
    """Those of the tasks, each with room for so many leases: no more than it must read at a time.

    The watchdog has the least patience it can be told, so that a finished shard has the time to upset it.
    """
    return {
        "MAX_LEASES": str(room),
        "WATCHDOG_SILENT_SECONDS": "30",
        "WATCHDOG_LEASE_SECONDS": "30",
    }


class Shards(NamedTuple):
    """The stream's shards by id."""

    ended: frozenset[str]
    open: frozenset[str]


def split(stage: Stage) -> None:
    """Shard 0 is split in the middle of its range."""
    stage.observer.fault(shards=SHARDS + 1)
    _split(stage, stage.stream.open_shards()[0])
    _await_children(stage)


def merge(stage: Stage) -> None:
    """Both shards become one."""
    first, second = stage.stream.open_shards()
    stage.observer.fault(shards=SHARDS - 1)
    _kinesis(stage).merge_shards(
        StreamName=STREAM, ShardToMerge=first.shard_id, AdjacentShardToMerge=second.shard_id
    )
    _await_children(stage)


def split_and_kill(stage: Stage) -> None:
    """Shard 0 is split, and the task that reads it dies before anyone has read it to its end."""
    parent = stage.stream.open_shards()[0]
    reader = next(name for name in stage.tasks if parent.shard_id in stage.readiness(name))
    stage.observer.fault(shards=SHARDS + 1)
    _split(stage, parent)
    stage.tasks.pop(reader).kill()
    _await_children(stage)


def check(stage: Stage) -> None:
    """What must hold once the load has ended and everything is projected; stops the tasks at the end."""
    # the watchdogs must have had the time to mistake a finished shard for a broken one
    stage.hold(max(0.0, _WATCHED_SECONDS - stage.observer.since_fault))
    shards, leases, progress = _shards(stage), _leases(stage), _progress(stage)
    stage.promise(_held(stage) == Counter(shards.open), "every open shard held once, and no other")
    for shard in sorted(shards.ended):
        stage.promise(shard not in leases, f"the lease of {shard} gone")
        at_end = shard in progress and progress[shard].projected == progress[shard].committed
        stage.promise(at_end, f"the floor of {shard} at its end")
    owners = {worker_id(task) for task in stage.tasks.values()}
    for shard in sorted(shards.open):
        stage.promise(shard in leases and leases[shard].holder in owners, f"{shard} leased to a live task")
    moved = moved_students(stage)
    stage.say(f"{moved} students have attempts on both sides of the reshard")
    stage.promise(moved > 0, "students with attempts on both sides of the reshard")
    for name in stage.tasks:
        for metric, count in _COUNTED.items():
            stage.promise(stage.metric(name, metric) == count, f"{count} in {metric}")
    for task in stage.tasks.values():
        task.stop()
    for lease in _leases(stage).values():
        stage.promise(lease.holder not in owners, f"the lease of {lease.shard} given back")


def moved_students(stage: Stage) -> int:
    """How many students have attempts sent before the reshard and well after it, in a shard that ended."""
    ended_ids = _shards(stage).ended
    ended = [shard for shard in _all_shards(stage) if shard.shard_id in ended_ids]
    last = round(_LAST_SECONDS * stage.load.rate)
    events, before = list(stage.load.events), stage.observer.sent_before
    sides = [{event["student_id"] for event in side} for side in (events[:before], events[-last:])]
    keys = {stage.edges.key(str(student), "").student_key.int for student in set.intersection(*sides)}
    return sum(any(shard.first <= key <= shard.last for shard in ended) for key in keys)


def _split(stage: Stage, parent: Shard) -> None:
    middle = (parent.first + parent.last + 1) // 2
    _kinesis(stage).split_shard(
        StreamName=STREAM, ShardToSplit=parent.shard_id, NewStartingHashKey=str(middle)
    )


def _await_children(stage: Stage) -> None:
    """Until every open shard is held by exactly one process, and each has read something since."""
    read: dict[str, int] = {}

    def held_and_moving() -> bool:
        shards = _shards(stage)
        if not shards.ended or _held(stage) != Counter(shards.open):
            return False
        progress = _progress(stage)
        now = {shard: progress[shard].accounting.read for shard in shards.open if shard in progress}
        for shard, count in now.items():
            read.setdefault(shard, count)
        return now.keys() == shards.open and all(count > read[shard] for shard, count in now.items())

    wait_for(held_and_moving, stage.any_task(), seconds=_HELD_SECONDS, what="children that move")


def _held(stage: Stage) -> Counter[str]:
    """How many tasks hold each shard."""
    return Counter(shard for name in stage.tasks for shard in stage.readiness(name))


def _shards(stage: Stage) -> Shards:
    opened = frozenset(shard.shard_id for shard in stage.stream.open_shards())
    return Shards(frozenset(shard.shard_id for shard in _all_shards(stage)) - opened, opened)


def _all_shards(stage: Stage) -> list[Shard]:
    pages = _kinesis(stage).get_paginator("list_shards").paginate(StreamName=STREAM)
    return [
        Shard(
            shard["ShardId"],
            int(shard["HashKeyRange"]["StartingHashKey"]),
            int(shard["HashKeyRange"]["EndingHashKey"]),
        )
        for page in pages
        for shard in page["Shards"]
    ]


def _progress(stage: Stage) -> dict[str, Progress]:
    """The ledger's progress by shard id."""
    return {source.rpartition(":")[2]: found for source, found in stage.edges.ledger.progress().items()}


def _leases(stage: Stage) -> dict[str, Lease]:
    dynamodb = wiring_aws.client(load(stage.session.environment), "dynamodb")
    return {lease.shard: lease for lease in DynamoLeases(dynamodb, APPLICATION).leases()}


def _kinesis(stage: Stage) -> Any:
    return wiring_aws.client(load(stage.session.environment), "kinesis")
