"""Pages of work by several processes: one interpreter alone would leave most of a machine idle."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from scripts.frame.collecting import collect_rarely

_AHEAD = 4
"""Pages that wait for each process, so that none waits for a page."""

Page = TypeVar("Page")
Found = TypeVar("Found")


class Crew(Protocol):
    """Takes pages through a function, and gives what it finds in their order."""

    def __call__(self, work: Callable[[Page], Found], pages: Iterator[Page], /) -> Iterator[Found]: ...


@contextmanager
def crew(processes: int, begin: Callable[..., None], *given: Any) -> Iterator[Crew]:
    """So many processes, each of which has begun; this one alone where one is enough.

    Pages, what is found and `given` travel between processes; the functions are found there by their names.
    """
    if processes <= 1:
        begin(*given)
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(begin, *given)) as pool:

        def side_by_side(work: Callable[[Page], Found], pages: Iterator[Page], /) -> Iterator[Found]:
            waiting = deque(pool.submit(work, page) for page in islice(pages, _AHEAD * processes))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, page) for page in islice(pages, 1))

        yield side_by_side


def _begin(begin: Callable[..., None], *given: Any) -> None:
    """Ctrl-C is for the first process, which ends the others in order. One that is killed cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    collect_rarely()
    begin(*given)


def _end_with_the_first() -> None:
    first = multiprocessing.parent_process()
    if first is not None:
        first.join()
        os._exit(1)  # a page of which a part is written is whole again with the next run
