import itertools

import numpy as np
import pytest

from scripts.loading.profiles import PROFILES, Schedule


def test_a_steady_schedule_is_even_to_the_microsecond() -> None:
    schedule = Schedule("steady", 4, 2)
    assert schedule.due.tolist() == [0, 250_000, 500_000, 750_000, 1_000_000, 1_250_000, 1_500_000, 1_750_000]
    assert schedule.per_second() == [4, 4]
    assert [schedule.due_by(at) for at in (0.0, 0.2499, 0.25, 10.0)] == [1, 1, 2, 8]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_reaches_its_peak_and_no_more(profile: str) -> None:
    counts = Schedule(profile, 1_000, 100).per_second()
    assert 990 <= max(counts) <= 1_001


def test_an_exam_is_handed_in_within_a_part_of_the_time() -> None:
    counts = np.array(Schedule("exam", 1_000, 100).per_second())
    assert counts[30:87].sum() > 0.9 * counts.sum()
    assert counts[90:].max() < 60


def test_a_ramp_never_falls() -> None:
    counts = Schedule("ramp", 1_000, 50).per_second()
    assert all(after >= before - 1 for before, after in itertools.pairwise(counts))


def test_no_two_events_share_a_microsecond() -> None:
    assert (np.diff(Schedule("spike", 900_000, 0.5).due) > 0).all()
