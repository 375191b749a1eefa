"""When a checkpoint is due: told the time, it needs none."""

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from worker.stream.checkpointing import CheckpointPolicy

MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),  # the first one
        (NOW, False),
        (NOW - timedelta(seconds=3) + MICROSECOND, False),
        (NOW - timedelta(seconds=3), True),
        (NOW - timedelta(days=1), True),
        (NOW + MICROSECOND, True),  # the clock was set back: by how much, nobody knows
        (NOW + timedelta(minutes=10), True),
    ],
)
def test_at_most_one_every_three_seconds(last: datetime | None, *, due: bool) -> None:
    assert CheckpointPolicy().due(last, NOW) is due


def test_a_clock_set_back_delays_no_checkpoint() -> None:
    policy, set_back = CheckpointPolicy(), NOW - timedelta(minutes=10)
    assert policy.due(NOW, set_back)
    assert not policy.due(set_back, set_back + timedelta(seconds=1))  # from here on as ever
    assert policy.due(set_back, set_back + policy.interval)


@given(st.integers(1, 60_000), st.lists(st.integers(0, 20_000), max_size=60))
def test_however_often_it_is_asked(interval_millis: int, steps: list[int]) -> None:
    interval = timedelta(milliseconds=interval_millis)
    policy = CheckpointPolicy(interval)
    now, last, made = NOW, None, []
    for step in steps:
        now += timedelta(milliseconds=step)
        if policy.due(last, now):
            last = now
            made.append(now)
        assert last is not None
        assert now - last < interval  # nothing waits longer than that to be asked for
    assert all(later - earlier >= interval for earlier, later in itertools.pairwise(made))
