"""The highest rate that still meets a promise: steps up until it fails, then halves of what is between."""

from collections.abc import Callable
from typing import NamedTuple

_STEP = 1.5
_LEAST = 50.0


class Limit(NamedTuple):
    """What was found: the highest rate that held, and every rate tried, in order, with whether it held."""

    rate: float | None
    tried: list[tuple[float, bool]]


def search(holds: Callable[[float], bool], start: float, *, within: float, most: float) -> Limit:
    """Try rates until the highest one that holds is known.

    Args:
        holds: tries a rate.
        start: the first to try.
        within: how near the lowest rate that fails may be, as a share of the highest that holds.
        most: the highest to try.
    """
    tried: list[tuple[float, bool]] = []

    def attempt(rate: float) -> bool:
        good = holds(rate)
        tried.append((rate, good))
        return good

    low, high, rate = None, None, min(start, most)
    while rate >= _LEAST:
        if attempt(rate):
            low = rate
            if high is not None or rate >= most:
                break
            rate = min(rate * _STEP, most)
        else:
            high = rate
            if low is not None:
                break
            rate /= _STEP
    if low is None or high is None:
        return Limit(low, tried)
    while high > low * (1 + within):
        middle = (low + high) / 2
        if attempt(middle):
            low = middle
        else:
            high = middle
    return Limit(low, tried)
