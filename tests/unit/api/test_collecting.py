"""Between requests and the stream: order, bounds, refusals, and an end that leaves nothing behind."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tests.conftest import score_event
from worker.api.collecting import MOST_AT_ONCE, Collector
from worker.api.problems import Away, TooMany
from worker.domain.errors import StreamUnavailable
from worker.domain.event import ScoreEvent


class Stream:
    """What was sent, call by call; `hold` keeps a call until it is told to go on."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.error: Exception | None = None
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def hold(self) -> None:
        self.go_on.clear()
        self.entered.clear()

    def send(self, events: Sequence[ScoreEvent]) -> None:
        self.entered.set()
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        self.calls.append([event.item_id for event in events])

    @property
    def items(self) -> list[str]:
        return [item for call in self.calls for item in call]


def events(*items: str) -> list[ScoreEvent]:
    return [score_event(item=item) for item in items]


Scene = Callable[[Stream, Collector], Coroutine[Any, Any, None]]


def play(scene: Scene, *, most_waiting: int = 100, linger: float = 0.0) -> Stream:
    stream = Stream()

    async def run() -> None:
        collector = Collector(stream.send, linger, most_waiting)
        collector.start()
        await scene(stream, collector)
        stream.go_on.set()
        await collector.close()
        assert collector.waiting == 0

    asyncio.run(asyncio.wait_for(run(), 20))
    return stream


async def entered(stream: Stream) -> None:
    assert await asyncio.to_thread(stream.entered.wait, 10)


def test_a_put_returns_once_the_stream_has_the_events() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        put = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        assert not put.done()
        assert collector.waiting == 1
        stream.go_on.set()
        await put
        assert stream.calls == [["a"]]

    play(scene)


def test_what_comes_during_a_call_shares_the_next_one_in_order() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        first = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        rest = [asyncio.create_task(collector.put(events(f"{n}x", f"{n}y"))) for n in range(5)]
        await asyncio.sleep(0)
        stream.go_on.set()
        await asyncio.gather(first, *rest)

    stream = play(scene)
    assert stream.calls == [["a"], [f"{n}{part}" for n in range(5) for part in "xy"]]


def test_requests_within_the_linger_share_a_call() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        await asyncio.gather(*(collector.put(events(str(n))) for n in range(20)))

    assert play(scene, linger=0.01).calls == [[str(n) for n in range(20)]]


def test_a_call_holds_no_endless_group() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        first = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        big = [asyncio.create_task(collector.put(events("b") * 500)) for _ in range(30)]
        await asyncio.sleep(0)
        stream.go_on.set()
        await asyncio.gather(first, *big)

    sizes = [len(call) for call in play(scene, most_waiting=20_000).calls]
    assert sizes == [1, MOST_AT_ONCE, 5_000]


def test_a_refusal_reaches_everybody_of_the_call_and_nobody_else() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.error = StreamUnavailable()
        stream.hold()
        first = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        second = [asyncio.create_task(collector.put(events(item))) for item in "bc"]
        await asyncio.sleep(0)
        stream.go_on.set()
        with pytest.raises(Away, match="all of them again"):
            await first
        assert [type(e) for e in await asyncio.gather(*second, return_exceptions=True)] == [Away, Away]
        stream.error = None
        await collector.put(events("d"))

    assert play(scene).items == ["d"]


def test_an_unexpected_error_is_the_requests_own_and_the_collector_lives_on() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.error = KeyError("boom")
        with pytest.raises(KeyError):
            await collector.put(events("a"))
        stream.error = None
        await collector.put(events("b"))

    assert play(scene).items == ["b"]


def test_more_than_may_wait_is_refused_at_once_and_taken_later() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        first = asyncio.create_task(collector.put(events("a", "b")))
        await entered(stream)
        second = asyncio.create_task(collector.put(events("c")))
        await asyncio.sleep(0)
        with pytest.raises(Away):
            await collector.put(events("d"))
        stream.go_on.set()
        await asyncio.gather(first, second)
        await collector.put(events("d", "e", "f"))

    assert play(scene, most_waiting=3).items == ["a", "b", "c", "d", "e", "f"]


def test_one_sender_has_half_of_the_room_and_the_others_the_rest() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        puts = [asyncio.create_task(collector.put(events(*"abcd"), "busy"))]
        await entered(stream)
        puts.append(asyncio.create_task(collector.put(events("e"), "busy")))
        await asyncio.sleep(0)
        with pytest.raises(TooMany) as refused:
            await collector.put(events("f"), "busy")
        assert refused.value.status == 429
        assert "Retry-After" in refused.value.headers
        puts.append(asyncio.create_task(collector.put(events(*"ghijk"), "other")))
        await asyncio.sleep(0)
        stream.go_on.set()
        await asyncio.gather(*puts)
        await collector.put(events(*"lmnopqrs"), "busy")  # alone it may take all the room there is

    assert "".join(play(scene, most_waiting=10).items) == "abcdeghijklmnopqrs"


def test_a_client_that_goes_away_takes_nothing_along() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        puts = [asyncio.create_task(collector.put(events(item))) for item in "abc"]
        await entered(stream)
        puts[0].cancel()
        puts[1].cancel()
        await asyncio.gather(*puts[:2], return_exceptions=True)
        stream.go_on.set()
        await puts[2]

    assert play(scene).items == ["a", "b", "c"]


def test_a_client_that_went_away_hears_of_no_error(recwarn: pytest.WarningsRecorder) -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        stream.error = StreamUnavailable()
        put = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put

    assert play(scene).items == []
    assert not recwarn.list


def test_a_close_sends_what_waits_and_refuses_the_rest() -> None:
    async def scene(stream: Stream, collector: Collector) -> None:
        stream.hold()
        first = asyncio.create_task(collector.put(events("a")))
        await entered(stream)
        second = asyncio.create_task(collector.put(events("b")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(collector.close())
        await asyncio.sleep(0)
        with pytest.raises(Away):
            await collector.put(events("c"))
        stream.go_on.set()
        await closing
        await asyncio.gather(first, second)

    assert play(scene).items == ["a", "b"]
