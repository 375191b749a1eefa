"""A shard process that answers before it is ready, so that a handover does not wait for Python.

KCL 3.1 takes a new shard through rounds of one second each, and an answer that misses its round costs another
one. Between the answer to `initialize` and the first records it lets two rounds pass, whatever we do. So the
answer is given at once, and the imports, the connections and the opening of the ledger happen in these two
seconds. Nothing is promised by it: no record is taken before all of that has succeeded, and where it fails
the process ends as it would have.
"""

import gc
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Processor(Protocol):
    """amazon_kclpy's record processor, version 3, the supervisor's word, and the daemon's silence."""

    def leave(self) -> None: ...

    def idle(self) -> None: ...

    def initialize(self, call: Any) -> None: ...

    def process_records(self, call: Any) -> None: ...

    def shutdown_requested(self, call: Any) -> None: ...

    def shard_ended(self, call: Any) -> None: ...

    def lease_lost(self, call: Any) -> None: ...


_YOUNG_OBJECTS = 50_000


class Warming:
    """Makes and initializes the real processor on a thread; every later callback waits for it.

    Args:
        make: makes the processor; may import whatever it needs.
        die: ends the process at once; does not return.
    """

    version = 3

    def __init__(self, make: Callable[[], Processor], die: Callable[[int], Any] = os._exit) -> None:
        self._make = make
        self._die = die
        self._processor: Processor
        self._ready = threading.Event()
        self._leaving = False

    def leave(self) -> None:
        self._leaving = True
        if self._ready.is_set():
            self._processor.leave()

    def idle(self) -> None:
        if self._ready.is_set():  # else it is not the daemon that is waited for
            self._processor.idle()

    def initialize(self, call: Any) -> None:
        threading.Thread(target=self._warm, args=(call,), name="warming", daemon=True).start()

    def process_records(self, call: Any) -> None:
        self._warmed().process_records(call)

    def shutdown_requested(self, call: Any) -> None:
        if self._ready.is_set():  # else no record was taken, and there is nothing to finish
            self._processor.shutdown_requested(call)

    def shard_ended(self, call: Any) -> None:
        self._warmed().shard_ended(call)

    def lease_lost(self, call: Any) -> None:
        self._warmed().lease_lost(call)

    def _warm(self, call: Any) -> None:
        try:
            self._processor = self._make()
            self._processor.initialize(call)
        except BaseException as error:
            log.critical("fatal: %s while starting", type(error).__name__)
            self._die(1)
        else:
            # A batch makes tens of thousands of objects that all go together; what was made until here stays.
            gc.freeze()
            gc.set_threshold(_YOUNG_OBJECTS)
            self._ready.set()

    def _warmed(self) -> Processor:
        self._ready.wait()
        if self._leaving:
            self._processor.leave()
        return self._processor
