"""How far a replay is: nobody knows how many events a range holds, but everybody how long it is."""

from datetime import datetime

from scripts.frame.showing import Advance
from worker.stream.replaying import Span, Turn


class Course:
    """How much of the range is done, as seconds of every shard."""

    def __init__(self, span: Span, advance: Advance) -> None:
        self._span = span
        self._advance = advance
        self._done: dict[str, int] = {}

    def take(self, turn: Turn) -> None:
        """One more turn."""
        gone = seconds(self._span) if turn.done else self._until(turn.reached)
        gained = gone - self._done.get(turn.shard_id, 0)
        if gained > 0:
            self._done[turn.shard_id] = gone
        self._advance(max(0, gained))

    def _until(self, reached: datetime | None) -> int:
        if reached is None or reached <= self._span.first:
            return 0
        return seconds(Span(self._span.first, min(reached, self._span.last)))


def seconds(span: Span) -> int:
    """How long a range is."""
    return int((span.last - span.first).total_seconds())
