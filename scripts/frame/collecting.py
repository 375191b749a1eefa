"""The interpreter's search for cycles, for work that makes tuples by the million and no cycles.

As it is set for programs of every kind it takes a third of all the time such work has.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 500_000


def collect_rarely() -> None:
    """From now on, for a process that does nothing else."""
    gc.set_threshold(_YOUNG_OBJECTS, 50, 50)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """As long as it is held."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
