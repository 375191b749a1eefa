"""Pathway's runs: how it is started, when it is done, and whether all of it is there.

It commits when its clock says so, so it is asked for a mark: the last new attempt of what it was given,
where a look costs the server nothing. Only then is everything counted.
"""

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec

from benchmarks.peers.cost import Cost, cost
from benchmarks.peers.events import CALL
from benchmarks.peers.expecting import close, expected, registered
from benchmarks.peers.stage import NotRun, Stage, dropped, held, pid_of

WORKS = ("rows", "means", "registers")
_SETTLE_SECONDS = 5.0

Mark = Callable[[], bool]


class PathwayRuns:
    """Runs of one stage.

    Args:
        stage: where.
        plain: the events, each as JSON.
    """

    def __init__(self, stage: Stage, plain: Sequence[bytes]) -> None:
        self._stage = stage
        self._plain = plain
        self._numbers = count()

    def kinesis(self) -> Cost:
        """The connector one would use, if it is to be had."""
        return self._stream("kinesis", "means")

    def poll(self, work: str) -> Cost:
        """The stream, read by a connector of one's own."""
        return self._stream("poll", work)

    def files(self, work: str) -> Cost:
        """Files, which the engine reads itself."""
        stage, plain = self._stage, self._plain
        stage.sinks.clear()
        folder = stage.session.directory / "pathway" / str(next(self._numbers))
        folder.mkdir(parents=True)
        dropped(folder / "first.jsonl", plain[:CALL])
        first, last = self._marks(work, plain[:CALL]), self._marks(work, plain)
        options = ("--source", "files", "--folder", str(folder), "--work", work)
        with stage.running("pathway", "pathway_postgres", *options, *self._postgres()) as process:
            stage.until(first, process, "first rows")
            meter = stage.meter(pid_of(process))
            before = meter.look()
            dropped(folder / "rest.jsonl", plain[CALL:])
            stage.until(last, process, "last rows")
            found = cost(before, meter.look(), len(plain) - CALL)
            self._prove(work)
        return found

    def _stream(self, source: str, work: str) -> Cost:
        stage, plain = self._stage, self._plain
        stage.sinks.clear()
        first, last = self._marks(work, plain[:CALL]), self._marks(work, plain)
        with stage.stream("peers-pathway") as stream:
            stage.put(stream, plain[:CALL])
            options = ("--source", source, "--stream", stream, "--work", work)
            with stage.running("pathway", "pathway_postgres", *options, *self._postgres()) as process:
                stage.until(first, process, "first rows")
                meter = stage.meter(pid_of(process))
                with held(pid_of(process)):  # the emulator takes records far more slowly than they are read
                    stage.put(stream, plain[CALL:])
                    before = meter.look()
                stage.until(last, process, "last rows")
                found = cost(before, meter.look(), len(plain) - CALL)
                self._prove(work)
        return found

    def _postgres(self) -> tuple[str, str]:
        return "--postgres", self._stage.sinks.settings()

    def _marks(self, work: str, records: Sequence[bytes]) -> Mark:
        """Whether these records are all in PostgreSQL."""
        sinks = self._stage.sinks
        if work == "rows":
            return lambda: sinks.rows("pathway_scores") >= len(records)
        events = [msgspec.json.decode(record) for record in records]
        newest = next(
            event for event in reversed(events) if event.get("score") is not None and "graded_at" not in event
        )
        state = newest["student_id"], newest["course_id"]
        if work == "means":
            scores = expected(events).scores[state]
            look = "SELECT scores FROM peers.pathway_means WHERE student_id = %s AND course_id = %s"
            return lambda: (
                self._found(look, *state) == scores and (sinks.rows("pathway_scores") >= len(records))
            )
        mean = registered(events).means[state]
        look = "SELECT mean FROM peers.pathway_windows WHERE student_id = %s AND course_id = %s"
        attempt = (
            "SELECT 1 FROM peers.pathway_attempts "
            "WHERE course_id = %s AND student_id = %s AND item_id = %s AND attempt = %s"
        )
        names = newest["course_id"], newest["student_id"], newest["item_id"], newest["attempt"]

        def there() -> bool:
            shown = self._found(look, *state)
            return shown is not None and close(shown, mean) and self._found(attempt, *names) is not None

        return there

    def _found(self, query: str, *values: object) -> Any:
        row = self._stage.sinks.connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def _prove(self, work: str) -> None:
        """Everything, and soon: what lies behind the mark is on its way."""
        events = [msgspec.json.decode(record) for record in self._plain]
        deadline = time.monotonic() + _SETTLE_SECONDS
        while missing := self._missing(work, events):
            if time.monotonic() > deadline:
                raise NotRun(f"its figure does not count: {missing}")
            time.sleep(0.1)

    def _missing(self, work: str, events: Sequence[Any]) -> str:
        sinks = self._stage.sinks
        if work == "registers":
            return sinks.missing_registers(registered(events))
        wanted = expected(events)
        return sinks.missing_means(wanted) if work == "means" else sinks.missing_rows(wanted)
