"""The demo: real scores through the real product on one machine, and proof that the result is right.

It ends with a table, a JSON summary and an exit code: 0 only when every event is accounted for and both
verdicts are full.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from worker.domain.event import Kind, ScoreEvent
from worker.local.edges import Edges
from worker.local.event_files import read_events
from worker.local.live import live_attempts
from worker.local.recompute import recompute
from worker.local.sending import Native, Sender
from worker.local.session import Session, Task
from worker.local.showing import Show
from worker.local.star import star_events
from worker.local.summary import Pupil, Summary
from worker.local.verifying import read_scores, scores_equal_recomputation, states_equal_ledger
from worker.local.watching import VisibilityProbe, iterator_age, position, quantile, wait_for
from worker.stream.reading import ScoreReader

LIVE_PER_SECOND = 1_000
_TICK_SECONDS = 0.02
_PATIENCE_SECONDS = 600.0
_SEED = 20261122


class History(NamedTuple):
    """The input of a run: its name, and its events in the order they are sent."""

    name: str
    events: Sequence[Native | bytes]


def now() -> datetime:
    """The present, aware UTC."""
    return datetime.now(UTC)


def run(
    directory: Path,
    connect: Callable[[Mapping[str, str]], Edges],
    show: Show,
    *,
    events_file: Path | None,
    columns: str,
    live_seconds: int,
) -> Summary:
    """Run the whole demo; `connect` gives the ports of an environment.

    Raises:
        StackError: a server of the stack did not come up.
        ColumnsError: the file's columns do not give events.
    """
    history = _history(events_file, columns)
    session = Session(directory, show.say)
    session.remove()  # a demo proves its result against its own input, so it starts empty
    with session:
        task = session.start_task()
        edges = connect(session.environment)
        try:
            return _Demo(edges, task, show, history).run(live_seconds)
        finally:
            edges.close()


class _Demo:
    def __init__(self, edges: Edges, task: Task, show: Show, history: History) -> None:
        self._edges = edges
        self._task = task
        self._show = show
        self._history = history
        self._started = time.monotonic()
        self._sender = Sender(edges, now)
        self._live: list[Native] = []
        self._first_record: float | None = None
        self._caught_up = self._started

    def run(self, live_seconds: int) -> Summary:
        self._send_history()
        probe = VisibilityProbe(self._edges.projection)
        self._send_live(probe, live_seconds)
        as_of = now()
        self._show.say("stopping the worker as a deploy would")
        self._task.stop()
        self._show.say("rebuilding every state from the ledger")
        states = states_equal_ledger(self._edges)
        self._show.say("recomputing every score from the input")
        sent = [event for event in [*self._history.events, *self._live] if isinstance(event, dict)]
        expected = recompute(sent, as_of, arrived_by=as_of)
        comparison = scores_equal_recomputation(self._edges, expected, as_of)
        accounting = position(self._edges.ledger).accounting
        return Summary(
            input=self._history.name,
            events_sent=len(self._history.events),
            live_sent=len(self._live),
            accounting=accounting,
            first_record_seconds=self._first_record,
            history_events_per_second=self._rate(),
            visible_samples=len(probe.seconds),
            visible_missing=probe.waiting,
            visible_p50_seconds=quantile(probe.seconds, 0.50),
            visible_p99_seconds=quantile(probe.seconds, 0.99),
            states=states,
            comparison=comparison,
            pupils=self._pupils(list(expected), as_of),
        )

    def _send_history(self) -> None:
        with self._show.progress(len(self._history.events)) as progress:
            self._sender.send(self._history.events)
            self._wait_until_projected(progress)
        self._caught_up = time.monotonic()

    def _send_live(self, probe: VisibilityProbe, seconds: int) -> None:
        found = (_pair(event) for event in self._history.events if isinstance(event, dict))
        pairs = sorted({pair for pair in found if pair is not None})
        if not seconds or not pairs:
            return
        attempts = live_attempts(pairs, random.Random(_SEED), seconds * LIVE_PER_SECOND, now)
        probe.start()
        with self._show.progress(len(self._history.events) + seconds * LIVE_PER_SECOND) as progress:
            begun = time.monotonic()
            for tick in range(round(seconds / _TICK_SECONDS)):
                due = begun + tick * _TICK_SECONDS
                time.sleep(max(0.0, due - time.monotonic()))
                self._send_tick(
                    [next(attempts) for _ in range(round(LIVE_PER_SECOND * _TICK_SECONDS))], probe, due
                )
                if tick % 50 == 0:
                    read = position(self._edges.ledger).accounting.read
                    progress(self._sender.sent, read, iterator_age(self._task))
            self._wait_until_projected(progress)
            wait_for(
                lambda: probe.waiting == 0, self._task, seconds=30, what="sight of every sampled attempt"
            )
        probe.stop()

    def _send_tick(self, events: list[Native], probe: VisibilityProbe, due: float) -> None:
        """Put one tick's attempts and watch the first that will show: new and scored."""
        self._live += events
        admitted = self._sender.send_batch(events)
        fresh = [event for event in admitted if _is_fresh(event, now())]
        if fresh:
            probe.watch(fresh[0], due)
        for event in admitted:
            if event.kind is Kind.VOIDED:
                probe.forget(event)

    def _wait_until_projected(self, progress: Callable[[int, int, float | None], None]) -> None:
        def done() -> bool:
            where = position(self._edges.ledger)
            read = where.accounting.read
            if read and self._first_record is None:
                self._first_record = time.monotonic() - self._started
            progress(self._sender.sent, read, iterator_age(self._task))
            return read >= self._sender.sent and where.projected

        wait_for(done, self._task, seconds=_PATIENCE_SECONDS, what="projection of everything sent")

    def _rate(self) -> float | None:
        """Events a second from the first commit seen to the last projection of the history."""
        if self._first_record is None:
            return None
        return len(self._history.events) / max(self._caught_up - self._started - self._first_record, 0.001)

    def _pupils(self, pairs: Sequence[tuple[str, str]], as_of: datetime) -> list[Pupil]:
        """A few pupils to look at, the busiest first."""
        reader = ScoreReader(self._edges.ledger, self._edges.projection)
        busiest = list(dict.fromkeys(_pair(event) for event in self._live))[:2]
        chosen = [*filter(None, busiest), *random.Random(_SEED).sample(pairs, min(3, len(pairs)))]
        found = [(pair, read_scores(reader, self._edges.key(*pair), as_of)) for pair in chosen]
        return [Pupil(*pair, scores) for pair, scores in found if scores is not None]


def _is_fresh(event: ScoreEvent, moment: datetime) -> bool:
    """Whether an attempt is new and will stand at the end of its pupil's ring."""
    scored = event.kind is Kind.SCORED and event.score is not None and event.max_score > 0
    new = event.graded_at == event.occurred_at and moment - event.occurred_at < timedelta(seconds=1)
    return scored and new


def _history(events_file: Path | None, columns: str) -> History:
    if events_file is None:
        return History("Project STAR", list(star_events()))
    return History(events_file.name, [found.event for found in read_events(events_file, columns)])


def _pair(event: Native) -> tuple[str, str] | None:
    student, course = event.get("student_id"), event.get("course_id")
    return (student, course) if isinstance(student, str) and isinstance(course, str) else None
