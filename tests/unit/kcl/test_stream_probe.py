"""Whether Kinesis is away: asked only when it matters."""

import threading
from contextlib import closing

from worker.domain.errors import StreamUnavailable
from worker.kcl.stream_probe import StreamProbe

PATIENCE = 10.0


class Stream:
    """Answers or not, and counts the questions."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0

    def describe(self) -> None:
        self.asked += 1
        if self.away:
            raise StreamUnavailable


def test_an_outage_is_seen_and_so_is_its_end() -> None:
    stream, rounds = Stream(), threading.Semaphore(0)

    def matters() -> bool:
        rounds.release()
        return True

    probe = StreamProbe(stream.describe, matters, seconds=0.001)
    found = [probe.away]
    probe.start()
    with closing(probe):
        for stream.away in (True, False):
            _several(rounds)
            found.append(probe.away)
    assert found == [False, True, False]


def test_nobody_is_asked_while_it_does_not_matter() -> None:
    stream, rounds = Stream(), threading.Semaphore(0)

    def matters() -> bool:
        rounds.release()
        return False

    probe = StreamProbe(stream.describe, matters, seconds=0.001)
    probe.start()
    with closing(probe):
        _several(rounds)
        assert not probe.away
    assert stream.asked == 0


def _several(rounds: threading.Semaphore) -> None:
    """Rounds that begin from now on: the third begins when the second is over."""
    while rounds.acquire(blocking=False):
        pass
    for _ in range(3):
        assert rounds.acquire(timeout=PATIENCE)
