"""What a rate runs into is read from what was used of each resource."""

from benchmarks.binding import binds, task_share

CPU = {
    "worker task": 0.1,
    "worker task, shard processes": 4.0,
    "worker task, KCL's Java": 0.9,
    "PostgreSQL": 8.0,
}


def test_a_task_that_uses_its_share_up_is_bound_by_it() -> None:
    assert task_share(CPU, 10.0) == 0.5
    told = binds(CPU, 100_000, 10.0, limit=0.5, busy=0.7, cores=2)
    assert told.startswith("CPU: the task's 0.5 cores are used up")
    assert "shard processes 40 µs an event" in told
    assert "PostgreSQL" not in told


def test_a_busy_machine_names_its_largest_users() -> None:
    told = binds(CPU, 100_000, 10.0, limit=None, busy=0.99, cores=2)
    assert told.startswith("CPU: all 2 cores")
    assert "PostgreSQL 80 µs an event" in told


def test_where_nothing_is_used_up_somebody_waits() -> None:
    told = binds(CPU, 100_000, 20.0, limit=0.5, busy=0.5, cores=2)
    assert told.startswith("waiting")
    assert "waits 90% of the time" in told
