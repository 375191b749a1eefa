"""Between many small requests and few large records: what waits is sent together, one call at a time.

A request is answered when its events are acknowledged, so whatever arrives while a call is under way shares
the next one: under load envelopes fill by themselves, and at rest nobody waits for a timer. One call at a
time also keeps each student's events in their order.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from worker.api.problems import Away, TooMany
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent

MOST_WAITING = 20_000
MOST_AT_ONCE = 10_000


class _Waiting(NamedTuple):
    events: Sequence[ScoreEvent]
    sender: str | None
    acknowledged: "asyncio.Future[None]"


class Collector:
    """Sends events in the background; `put` returns once the stream has them.

    Args:
        send: gives events to the stream and returns when it has acknowledged all; blocks, on a thread.
        linger_seconds: how long the first of a group may wait for others.
        most_waiting: events that may wait; more are refused at once, and of one sender more than half of it.
    """

    def __init__(
        self,
        send: Callable[[Sequence[ScoreEvent]], None],
        linger_seconds: float = 0.02,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._send = send
        self._linger = linger_seconds
        self._most = most_waiting
        self._queue: deque[_Waiting] = deque()
        self._count = 0
        self._of_sender: Counter[str | None] = Counter()
        self._something = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="collector")

    async def close(self) -> None:
        """Send what waits, then end; later events are refused."""
        self._closing = True
        self._something.set()
        if self._task is not None:
            await self._task

    @property
    def waiting(self) -> int:
        """Events that are not acknowledged yet."""
        return self._count

    async def put(self, events: Sequence[ScoreEvent], sender: str | None = None) -> None:
        """Wait until the stream has acknowledged these events.

        Raises:
            TooMany: too much of this sender waits already, while there is room for others.
            Away: too much waits already, or the stream did not take them; send all of them again.
        """
        if self._closing or self._count + len(events) > self._most:
            raise Away("more events wait than can be taken; send all of them again after Retry-After seconds")
        # one busy producer must not shut the others out; a request that waits alone always fits
        others = 0 if sender is None else self._of_sender[sender]
        if others and others + len(events) > self._most // 2:
            raise TooMany("too much of yours waits; send all of these again after Retry-After seconds")
        waiting = _Waiting(events, sender, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._count += len(events)
        self._of_sender[sender] += len(events)
        self._something.set()
        await asyncio.shield(waiting.acknowledged)

    async def _run(self) -> None:
        while not (self._closing and not self._queue):
            await self._something.wait()
            if not self._closing:
                await asyncio.sleep(self._linger)
            self._something.clear()
            while self._queue:
                await self._deliver(self._take())

    def _take(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        size = len(group[0].events)
        while self._queue and size + len(self._queue[0].events) <= MOST_AT_ONCE:
            size += len(self._queue[0].events)
            group.append(self._queue.popleft())
        return group

    async def _deliver(self, group: Sequence[_Waiting]) -> None:
        events = [event for waiting in group for event in waiting.events]
        try:
            await asyncio.to_thread(self._send, events)
        except StreamUnavailable:
            refusal = Away("the stream did not take the events; send all of them again")
            _answer(group, refusal)
        except Exception as error:
            _answer(group, error)
        else:
            _answer(group, None)
        finally:
            self._count -= len(events)
            for waiting in group:
                self._of_sender[waiting.sender] -= len(waiting.events)
            self._of_sender += Counter()  # forgets who has nothing left


def _answer(group: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in group:
        if waiting.acknowledged.done():
            continue
        if error is None:
            waiting.acknowledged.set_result(None)
        else:
            waiting.acknowledged.set_exception(error)
            waiting.acknowledged.exception()  # the client may have gone away: then nobody asks for it
