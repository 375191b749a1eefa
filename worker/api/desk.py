"""The clerks: threads that read records and write down who asked, many requests at a time.

The ports are synchronous and each belongs to one thread. Requests that arrive while a clerk is busy are taken
together: one commit records all their disclosures, one call to Redis gives all their states. So recording
costs each request a share of a commit and not a commit of its own. A commit takes a millisecond, in which
hardly another request comes: so groups do not follow one another faster than a linger, and only who comes
right after others waits for it.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from worker.api.counting import DISCLOSURES
from worker.api.problems import Away
from worker.batch import StateKey
from worker.domain.errors import Unavailable
from worker.domain.window import Version
from worker.logs import redact
from worker.reads import ClassStore, Disclosure, DisclosureLog, Records
from worker.stream.reading import Read, ScoreReader

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 128
_REFUSE_SECONDS = 1.0
"""How long disclosures are refused unasked once one could not be recorded: own records need not wait then."""
_NOT_RECORDED = "this read cannot be recorded now, so it does not happen; try again after Retry-After seconds"
_TOO_MANY = "too many requests wait; try again after Retry-After seconds"

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
    checked: bool
    answer: "asyncio.Future[Reads]"


class Desk:
    """Takes requests from the event loop to the clerks and back.

    Args:
        hire: makes a clerk; called on the clerk's own thread.
        clerks: threads for states and disclosures; with one the groups are larger, and a read cheaper.
        workers: threads for what takes longer.
        anchor_seconds: how often each chain of disclosures is tied to the others.
        linger_seconds: from the beginning of one group to that of the next at least.
        most_waiting: requests that may wait; more are refused at once.
    """

    def __init__(
        self,
        hire: Callable[[], Clerk],
        *,
        clerks: int = 1,
        workers: int = 2,
        anchor_seconds: float = 60.0,
        linger_seconds: float = 0.0,
        most_waiting: int = 2_000,
    ) -> None:
        self._hire = hire
        self._anchor_seconds = anchor_seconds
        self._linger = linger_seconds
        self._closing = threading.Event()
        self._most = most_waiting
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._at_work = 0
        self._refuse_until = float("-inf")
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
        self._closing.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._workers.shutdown()
        for clerk in self._hired:
            clerk.close()

    async def read(
        self, keys: Sequence[StateKey], disclosure: Disclosure | None, *, checked: bool = False
    ) -> Reads:
        """The states of these keys, once the disclosure is recorded; absent ones are left out.

        Every read for somebody else is `checked`: it costs a look at the ledger anyway, so it is never served
        a stale state. Where all keys are absent nothing is recorded: nobody's record is
        shown.

        Raises:
            Away: the disclosure cannot be recorded, or too many wait.
            LedgerUnavailable: a state is not in Redis, and PostgreSQL is away.
        """
        if self._queue.qsize() > self._most:
            raise Away(_TOO_MANY)
        answer: asyncio.Future[Reads] = self._loop.create_future()
        self._queue.put(_Asked(keys, disclosure, checked or disclosure is not None, answer))
        return await answer

    async def record(self, disclosure: Disclosure) -> None:
        """Write down a disclosure that needs no state.

        Raises:
            Away: it cannot be recorded.
        """
        await self.read([], disclosure)

    async def work(self, step: Callable[[Clerk], T]) -> T:
        """Something that takes longer, on another thread with a clerk of its own.

        Raises:
            Away: too many wait.
        """
        if self._at_work >= self._most:
            raise Away(_TOO_MANY)
        self._at_work += 1
        done = self._loop.run_in_executor(self._workers, lambda: step(self._own_clerk()))
        done.add_done_callback(self._worked)
        return await done

    def _worked(self, _: "asyncio.Future[T]") -> None:
        self._at_work -= 1

    def _own_clerk(self) -> Clerk:
        clerk: Clerk | None = getattr(self._local, "clerk", None)
        if clerk is None:
            clerk = self._local.clerk = self._hire()
            self._hired.append(clerk)
        return clerk

    def _serve(self) -> None:
        clerk: Clerk | None = None
        anchor_at = time.monotonic() + self._anchor_seconds
        not_before = float("-inf")
        while True:
            group = self._next(anchor_at - time.monotonic(), not_before)
            if group is None:
                break
            if group:
                not_before = time.monotonic() + self._linger
                clerk = self._serve_group(clerk, group)
            if time.monotonic() >= anchor_at:
                self._anchor(clerk)
                anchor_at = time.monotonic() + self._anchor_seconds
        self._anchor(clerk)
        if clerk is not None:
            clerk.close()

    def _serve_group(self, clerk: Clerk | None, group: Sequence[_Asked]) -> Clerk | None:
        """Whatever happens, everybody is answered and the thread lives on."""
        try:
            clerk = clerk or self._hire()
            self._take(clerk, group)
        except Unavailable as error:
            self._tell([(one, error) for one in group])
        except Exception as error:
            _log.error("a clerk failed", extra={"error": redact(error)})
            self._tell([(one, error) for one in group])
        return clerk

    def _next(self, within: float, not_before: float) -> list[_Asked] | None:
        """Whatever waits; nothing where none came in time; None once the desk closes."""
        try:
            first = self._queue.get(timeout=max(0.0, within))
        except Empty:
            return []
        if first is None:
            return None
        early = not_before - time.monotonic()
        if early > 0:
            self._closing.wait(early)
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

    def _anchor(self, clerk: Clerk | None) -> None:
        try:
            if clerk is not None:
                clerk.disclosures.anchor()
        except Exception as error:  # the chain stands; only its tie to the others is late
            _log.warning("disclosures not anchored; tried again later", extra={"error": redact(error)})

    def _take(self, clerk: Clerk, group: Sequence[_Asked]) -> None:
        # first what needs no record: it must not wait for a ledger that is away
        self._tell(self._read(clerk, [one for one in group if not one.checked], {}))
        self._tell(self._recorded(clerk, [one for one in group if one.checked]))

    def _tell(self, answers: Sequence[tuple[_Asked, Reads | Exception]]) -> None:
        if answers:
            self._loop.call_soon_threadsafe(_answer, answers)

    def _recorded(self, clerk: Clerk, asked: Sequence[_Asked]) -> Sequence[tuple[_Asked, Reads | Exception]]:
        """Written down, then read; never stale, because a look at the ledger is taken anyway.

        What is nowhere is not written down: it tells of nobody, and its course may be any text at all.
        """
        if not asked:
            return []
        if time.monotonic() < self._refuse_until:
            return [(one, Away(_NOT_RECORDED)) for one in asked]
        keys = sorted({key for one in asked for key in one.keys})
        try:
            looks = _looks(asked)
            versions = clerk.disclosures.look(keys, looks) if looks else clerk.records.versions_of(keys)
            there = asked
            if len(versions) < len(keys):
                there = [one for one in asked if _is_there(one, versions)]
                looks = _looks(there)
                clerk.disclosures.record(looks)
            DISCLOSURES.inc(len(looks))
        except Unavailable:
            self._refuse_until = time.monotonic() + _REFUSE_SECONDS
            return [(one, Away(_NOT_RECORDED)) for one in asked]
        except Exception as error:
            if len(asked) == 1:
                return [(asked[0], error)]
            # one that cannot be written down must not cost the others their answers
            return [answer for one in asked for answer in self._recorded(clerk, [one])]
        nowhere: list[tuple[_Asked, Reads | Exception]] = [
            (one, {}) for one in asked if not _is_there(one, versions)
        ]
        return [*nowhere, *self._read(clerk, there, versions)]

    def _read(
        self, clerk: Clerk, asked: Sequence[_Asked], versions: Mapping[StateKey, Version]
    ) -> Sequence[tuple[_Asked, Reads | Exception]]:
        keys = sorted({key for one in asked for key in one.keys})
        if not keys:
            return [(one, {}) for one in asked]
        try:
            found = clerk.reader.read_all(keys, versions)
        except Unavailable as error:
            return [(one, error) for one in asked]
        except Exception as error:
            if len(asked) == 1:
                return [(asked[0], error)]
            return [answer for one in asked for answer in self._read(clerk, [one], versions)]
        return [(one, {key: found[key] for key in one.keys if key in found}) for one in asked]


def _looks(asked: Sequence[_Asked]) -> list[Disclosure]:
    return [one.disclosure for one in asked if one.disclosure is not None]


def _is_there(asked: _Asked, versions: Mapping[StateKey, Version]) -> bool:
    return not asked.keys or any(key in versions for key in asked.keys)


def _answer(answers: Sequence[tuple[_Asked, Reads | Exception]]) -> None:
    for asked, answer in answers:
        if asked.answer.done():
            continue  # the client has gone away
        if isinstance(answer, Exception):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)
