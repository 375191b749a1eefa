"""The answer that comes before the processor is ready, and all that waits for it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from worker.kcl.warming import Warming

PATIENCE = 10.0


class Processor:
    """Writes down what it is asked; `initialize` takes until it is released."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.released = threading.Event()
        self.fails: type[BaseException] | None = None

    def leave(self) -> None:
        self.asked.append("leave")

    def idle(self) -> None:
        self.asked.append("idle")

    def initialize(self, call: Any) -> None:
        assert self.released.wait(PATIENCE)
        if self.fails:
            raise self.fails
        self.asked.append(("initialize", call))

    def process_records(self, call: Any) -> None:
        self.asked.append(("records", call))

    def shutdown_requested(self, call: Any) -> None:
        self.asked.append(("shutdown", call))

    def shard_ended(self, call: Any) -> None:
        self.asked.append(("ended", call))

    def lease_lost(self, call: Any) -> None:
        self.asked.append(("lost", call))


@pytest.fixture
def processor() -> Processor:
    return Processor()


def test_it_answers_at_once_and_every_record_waits(processor: Processor) -> None:
    warming = Warming(lambda: processor)
    warming.initialize(1)
    assert processor.asked == []
    threading.Timer(0.05, processor.released.set).start()
    warming.process_records(2)
    assert processor.asked == [("initialize", 1), ("records", 2)]


@pytest.mark.parametrize(("callback", "word"), [(Warming.shard_ended, "ended"), (Warming.lease_lost, "lost")])
def test_the_end_of_a_shard_waits_too(
    processor: Processor, callback: Callable[[Warming, Any], None], word: str
) -> None:
    warming = Warming(lambda: processor)
    warming.initialize(1)
    threading.Timer(0.05, processor.released.set).start()
    callback(warming, 2)
    assert processor.asked == [("initialize", 1), (word, 2)]


def test_a_stop_does_not_wait_for_who_has_taken_nothing(processor: Processor) -> None:
    warming = Warming(lambda: processor)
    warming.initialize(1)
    warming.shutdown_requested(2)
    assert processor.asked == []
    processor.released.set()
    warming.process_records(3)
    warming.shutdown_requested(4)
    assert processor.asked == [("initialize", 1), ("records", 3), ("shutdown", 4)]


def test_who_is_asked_to_leave_before_it_is_ready_hears_of_it(processor: Processor) -> None:
    warming = Warming(lambda: processor)
    warming.leave()
    warming.initialize(1)
    processor.released.set()
    warming.process_records(2)
    assert processor.asked == [("initialize", 1), "leave", ("records", 2)]


def test_who_is_ready_hears_it_at_once(processor: Processor) -> None:
    warming = Warming(lambda: processor)
    processor.released.set()
    warming.initialize(1)
    warming.process_records(2)
    warming.leave()
    assert processor.asked[-1] == "leave"


def test_it_is_not_idle_before_it_is_ready(processor: Processor) -> None:
    warming = Warming(lambda: processor)
    warming.initialize(1)
    warming.idle()
    assert processor.asked == [], "a start that hangs must not be taken for a daemon that asks nothing"
    processor.released.set()
    warming.process_records(2)
    warming.idle()
    assert processor.asked[-1] == "idle"


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_a_start_that_fails_ends_the_process_before_any_record(
    processor: Processor, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    died = threading.Event()
    codes: list[int] = []

    def die(code: int) -> None:
        codes.append(code)
        died.set()

    processor.fails = error
    processor.released.set()
    Warming(lambda: processor, die).initialize(1)
    assert died.wait(PATIENCE)
    assert codes == [1]
    assert processor.asked == []
    assert f"fatal: {error.__name__} while starting" in caplog.messages


def test_a_processor_that_cannot_be_made_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    died = threading.Event()

    def make() -> Processor:
        raise ImportError("ada")

    Warming(make, lambda _code: died.set()).initialize(1)
    assert died.wait(PATIENCE)
    assert "ada" not in caplog.text
