"""The clerks: a few threads that read records and write down who asked, many requests at a time.

The ports are synchronous and each belongs to one thread. Requests that arrive while a clerk is busy are taken
together: one commit records all their disclosures, one call to Redis gives all their states. So recording
costs each request a share of a commit and not a commit of its own, and nobody waits for a timer.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from worker.api.problems import Away
from worker.domain.errors import Unavailable
from worker.logs import redact
from worker.ports import StateKey
from worker.reads import ClassStore, Disclosure, DisclosureLog, Records
from worker.stream.reading import Read, ScoreReader

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 128
_NOT_RECORDED = "this read cannot be recorded now, so it does not happen; try again after Retry-After seconds"

Reads = Mapping[StateKey, Read]


class Clerk(NamedTuple):
    """What one thread works with."""

    reader: ScoreReader
    records: Records
    disclosures: DisclosureLog
    classes: ClassStore
    close: Callable[[], None]


class _Asked(NamedTuple):
    keys: Sequence[StateKey]
    disclosure: Disclosure | None
    answer: "asyncio.Future[Reads]"


class Desk:
    """Takes requests from the event loop to the clerks and back.

    Args:
        hire: makes a clerk; called on the clerk's own thread.
        clerks: threads for states and disclosures.
        workers: threads for what takes longer.
        anchor_seconds: how often each chain of disclosures is tied to the others.
        most_waiting: requests that may wait; more are refused at once.
    """

    def __init__(
        self,
        hire: Callable[[], Clerk],
        *,
        clerks: int = 2,
        workers: int = 2,
        anchor_seconds: float = 60.0,
        most_waiting: int = 2_000,
    ) -> None:
        self._hire = hire
        self._anchor_seconds = anchor_seconds
        self._most = most_waiting
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._threads = [
            threading.Thread(target=self._serve, name=f"clerk-{n}", daemon=True) for n in range(clerks)
        ]
        self._local = threading.local()
        self._hired: list[Clerk] = []
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    def start(self) -> None:
        """Begin to serve; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish what was asked, anchor every chain and give the connections back; blocks."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._workers.shutdown()
        for clerk in self._hired:
            clerk.close()

    async def read(self, keys: Sequence[StateKey], disclosure: Disclosure | None) -> Reads:
        """The states of these keys, once the disclosure is recorded; absent ones are left out.

        Raises:
            Away: the disclosure cannot be recorded, or too many wait.
            LedgerUnavailable: a state is not in Redis, and PostgreSQL is away.
        """
        if self._queue.qsize() > self._most:
            raise Away("too many requests wait; try again after Retry-After seconds")
        answer: asyncio.Future[Reads] = self._loop.create_future()
        self._queue.put(_Asked(keys, disclosure, answer))
        return await answer

    async def record(self, disclosure: Disclosure) -> None:
        """Write down a disclosure that needs no state.

        Raises:
            Away: it cannot be recorded.
        """
        await self.read([], disclosure)

    async def work(self, step: Callable[[Clerk], T]) -> T:
        """Something that takes longer, on another thread with a clerk of its own."""
        return await self._loop.run_in_executor(self._workers, lambda: step(self._own_clerk()))

    def _own_clerk(self) -> Clerk:
        clerk: Clerk | None = getattr(self._local, "clerk", None)
        if clerk is None:
            clerk = self._local.clerk = self._hire()
            self._hired.append(clerk)
        return clerk

    def _serve(self) -> None:
        clerk = self._hire()
        try:
            while (group := self._next(clerk)) is not None:
                self._take(clerk, group)
            self._anchor(clerk)
        finally:
            clerk.close()

    def _next(self, clerk: Clerk) -> list[_Asked] | None:
        """Whatever waits, at least one; None once the desk closes."""
        while True:
            try:
                first = self._queue.get(timeout=self._anchor_seconds)
            except Empty:
                self._anchor(clerk)
                continue
            if first is None:
                return None
            group = [first]
            while len(group) < _MOST_AT_ONCE:
                try:
                    more = self._queue.get_nowait()
                except Empty:
                    break
                if more is None:
                    self._queue.put(None)
                    break
                group.append(more)
            return group

    def _anchor(self, clerk: Clerk) -> None:
        try:
            clerk.disclosures.anchor()
        except Unavailable as error:
            _log.warning("disclosures not anchored; tried again later", extra={"error": redact(error)})

    def _take(self, clerk: Clerk, group: Sequence[_Asked]) -> None:
        answers: list[tuple[_Asked, Reads | Exception]] = []
        asked = [one for one in group if one.disclosure is not None]
        failed = self._record(clerk, asked)
        if failed is not None:
            answers += [(one, failed) for one in asked]
            asked = []
        own = [one for one in group if one.disclosure is None]
        for part, checked in ((asked, True), (own, False)):
            answers += self._read(clerk, part, checked=checked)
        self._loop.call_soon_threadsafe(_answer, answers)

    def _record(self, clerk: Clerk, asked: Sequence[_Asked]) -> Exception | None:
        try:
            clerk.disclosures.record([one.disclosure for one in asked if one.disclosure is not None])
        except Unavailable:
            return Away(_NOT_RECORDED)
        except Exception as error:
            return error
        return None

    def _read(
        self, clerk: Clerk, asked: Sequence[_Asked], *, checked: bool
    ) -> list[tuple[_Asked, Reads | Exception]]:
        """`checked` reads cost a look at the ledger anyway, so they are never served a stale state."""
        keys = sorted({key for one in asked for key in one.keys})
        if not keys:
            return [(one, {}) for one in asked]
        try:
            versions = clerk.records.versions_of(keys) if checked else {}
            found = clerk.reader.read_all(keys, versions)
        except Exception as error:
            return [(one, error) for one in asked]
        return [(one, {key: found[key] for key in one.keys if key in found}) for one in asked]


def _answer(answers: Sequence[tuple[_Asked, Reads | Exception]]) -> None:
    for asked, answer in answers:
        if asked.answer.done():
            continue  # the client has gone away
        if isinstance(answer, Exception):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)
