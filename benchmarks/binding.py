"""What a measured rate runs into: the task's own share of CPU, the machine's cores, or a wait for somebody.

A missed goal is worth little without its reason. The reason is read from what each part used of what it had,
so that it is never written by hand.
"""

from collections.abc import Mapping

_FULL = 0.93
"""So much of a limit counts as all of it: a round has a first and a last moment in which little happens."""
_TASK = "worker task"


def task_share(cpu: Mapping[str, float], seconds: float) -> float:
    """The cores that a worker task used: supervisor, Java and shard processes together."""
    return sum(used for part, used in cpu.items() if part.startswith(_TASK)) / seconds


def binds(
    cpu: Mapping[str, float],
    events: int,
    seconds: float,
    *,
    limit: float | None,
    busy: float,
    cores: int,
) -> str:
    """What bound, down to the resource and its largest users.

    Args:
        cpu: seconds by part of the system.
        events: so many were handled.
        seconds: in this time.
        limit: the cores that the worker task may use, None for all.
        busy: the share of all cores that was busy.
        cores: of the machine.
    """
    task = {part: used for part, used in cpu.items() if part.startswith(_TASK)}
    if limit is not None and task_share(cpu, seconds) >= _FULL * limit:
        return f"CPU: the task's {limit:g} cores are used up; {_told(task, events)}"
    if busy >= _FULL:
        return f"CPU: all {cores} cores of the machine are busy; {_told(cpu, events)}"
    shards = sum(used for part, used in task.items() if part.endswith("shard processes"))
    waiting = 1 - shards / seconds / 2
    return (
        f"waiting: no CPU limit is reached ({busy:.0%} of {cores} cores busy), each of the 2 shard processes "
        f"waits {waiting:.0%} of the time, mostly for the answer to a transaction; {_told(cpu, events)}"
    )


def _told(cpu: Mapping[str, float], events: int) -> str:
    largest = sorted(cpu.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{part} {used / events * 1e6:.0f} µs an event" for part, used in largest)
