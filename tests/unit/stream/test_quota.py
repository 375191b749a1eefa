from itertools import pairwise

import pytest

from worker.history import Page
from worker.stream.quota import BYTES_A_SECOND, CALLS_A_SECOND, Quota


def page(fetched: int, size: int) -> Page:
    return Page([], fetched=fetched, size=size, at_tip=False)


@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
def test_a_reader_of_steady_records_stays_within_its_share(share: float) -> None:
    quota, now, calls, size = Quota(share), 0.0, 0, 0
    record = 3_000
    while now < 100:
        now = max(now, quota.due)
        calls, size = calls + 1, size + quota.limit * record
        quota.spent(page(quota.limit, quota.limit * record), now)
    now = quota.due
    assert calls / now <= share * CALLS_A_SECOND + 1e-9
    assert calls / now <= 1, "KCL makes four calls a second, and five are allowed"
    assert size / now <= share * BYTES_A_SECOND * 1.01
    assert size / now > share * BYTES_A_SECOND * 0.8, "it takes what it may"


def test_a_page_larger_than_the_share_is_paid_for_by_waiting() -> None:
    quota = Quota(0.5)
    quota.spent(page(10, 4 * BYTES_A_SECOND), now=100.0)
    assert quota.due == 108.0


def test_small_records_are_asked_for_in_growing_numbers() -> None:
    quota, limits = Quota(0.4), []
    for _ in range(8):
        limits.append(quota.limit)
        quota.spent(page(quota.limit, quota.limit * 10), 0.0)
    assert all(later <= 4 * earlier for earlier, later in pairwise(limits))
    assert limits[-1] == 10_000


def test_large_records_are_asked_for_one_by_one() -> None:
    quota = Quota(0.1)
    quota.spent(page(1, 1024 * 1024), 0.0)
    assert quota.limit == 1


def test_who_is_refused_stays_away_longer_each_time_and_asks_for_less() -> None:
    quota, waits = Quota(1.0), []
    quota.spent(page(100, 1_000), 0.0)
    before = quota.limit
    for _ in range(6):
        quota.refused(0.0)
        waits.append(quota.due)
    assert waits == sorted(waits)
    assert waits[0] == 2.0
    assert waits[-1] == waits[-2] == 16.0
    assert quota.limit < before
    quota.spent(page(1, 1_000), 100.0)
    quota.refused(200.0)
    assert quota.due == 202.0, "after a success it is trusted again"


def test_an_empty_page_says_nothing_about_the_records() -> None:
    quota = Quota(0.4)
    before = quota.limit
    quota.spent(page(0, 0), 5.0)
    assert (quota.limit, quota.due) == (before, 6.0)
