"""What a run looks like from outside: the ledger's counters, iterator age, the time to visible."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from worker.batch import StateKey
from worker.domain import window
from worker.domain.accounting import Accounting
from worker.domain.errors import ProjectionUnavailable, Unavailable
from worker.domain.event import ScoreEvent, micros, register_of
from worker.domain.window import HEADER_SIZE, RING
from worker.local.process import StackError
from worker.local.session import Task
from worker.ports import Ledger, Projection

_POLL_SECONDS = 0.004
_WAIT_SECONDS = 0.2


class Position(NamedTuple):
    """The counters of all sources together, and whether everything committed is also projected."""

    accounting: Accounting
    projected: bool


def position(ledger: Ledger) -> Position:
    """Where the whole stream stands."""
    sources = ledger.progress().values()
    accounting = sum((progress.accounting for progress in sources), Accounting())
    return Position(accounting, all(progress.committed == progress.projected for progress in sources))


def scrape(url: str) -> list[Sample]:
    """The samples of a Prometheus endpoint, none while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - an operator's own endpoint
            families = list(text_string_to_metric_families(answer.read().decode()))
    except (urllib.error.URLError, OSError):
        return []
    return [sample for family in families for sample in family.samples]


def metrics_url(task: Task) -> str | None:
    """Where a task tells its metrics, None until it listens."""
    ports = task.ports
    return None if ports is None else f"http://127.0.0.1:{ports['metrics']}/metrics"


def iterator_age(task: Task) -> float | None:
    """The greatest iterator age of the task's shards in seconds, None while it does not tell."""
    url = metrics_url(task)
    found = [] if url is None else scrape(url)
    return max((s.value for s in found if s.name == "edu_iterator_age_seconds"), default=None)


def wait_for(condition: Callable[[], bool], task: Task, *, seconds: float, what: str) -> None:
    """Poll until the condition holds.

    Raises:
        StackError: the task ended, or the time is over; says what was waited for and where to look.
    """
    deadline = time.monotonic() + seconds
    while not _holds(condition):
        if not task.process.running:
            raise StackError(f"the worker ended while waiting for {what}; see {task.process.log}")
        if time.monotonic() > deadline:
            raise StackError(f"no {what} within {seconds:.0f} s; see {task.process.log}")
        time.sleep(_WAIT_SECONDS)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except Unavailable:
        return False  # a drill has taken the server away: look again


class _Attempt(NamedTuple):
    """One attempt of one student in one course, by the half of its key that a state keeps."""

    state: StateKey
    high: int

    @classmethod
    def of(cls, event: ScoreEvent) -> Self:
        return cls(StateKey(event.student_key, event.course_id), register_of(event).key >> 32)


class _Watched(NamedTuple):
    attempt: _Attempt
    occurred: int
    put_at: float


class VisibilityProbe:
    """Measures put → visible: from the moment an attempt is due to be put until its state in Redis shows it.

    A thread of its own looks at the states every few milliseconds, where readers find them, without claiming.

    Args:
        projection: where readers find states; a connection of its own.
        poll_seconds: time between two looks, which is how exact a measure can be.
    """

    def __init__(self, projection: Projection, poll_seconds: float = _POLL_SECONDS) -> None:
        self._projection = projection
        self._poll_seconds = poll_seconds
        self._watched: list[_Watched] = []
        self._voided: set[_Attempt] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="visibility-probe", daemon=True)
        self.sights: list[tuple[float, float]] = []
        """When each attempt seen was due, and how long after that it was seen."""

    def watch(self, event: ScoreEvent, put_at: float) -> None:
        """Wait for this newest scored attempt of its student; `put_at` in monotonic seconds."""
        watched = _Watched(_Attempt.of(event), micros(event.occurred_at), put_at)
        with self._lock:
            if watched.attempt not in self._voided:
                self._watched.append(watched)

    def forget(self, void: ScoreEvent) -> None:
        """This void may remove its attempt before anyone sees it: then there is nothing to measure."""
        attempt = _Attempt.of(void)
        with self._lock:
            self._voided.add(attempt)
            self._watched = [one for one in self._watched if one.attempt != attempt]

    @property
    def seconds(self) -> list[float]:
        """How long it took, of each attempt seen."""
        return [seconds for _, seconds in self.sights]

    @property
    def waiting(self) -> int:
        """How many watched attempts are not visible yet."""
        return len(self._watched)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            with self._lock:
                watched = list(self._watched)
            if not watched:
                continue
            try:
                states = self._projection.states([one.attempt.state for one in watched])
            except ProjectionUnavailable:
                continue  # nobody sees anything now
            now = time.monotonic()
            seen = {one for one, state in zip(watched, states, strict=True) if _shows(state, one)}
            self.sights += [(one.put_at, now - one.put_at) for one in seen]
            with self._lock:
                self._watched = [one for one in self._watched if one not in seen]


def _shows(state: bytes | None, watched: _Watched) -> bool:
    """Whether a state holds the attempt, or is full of later ones: a busy student rolls past it."""
    if state is None:
        return False
    ring = [(occurred, high) for occurred, _, high in window.unpack(state[HEADER_SIZE:]).ring]
    entry = (watched.occurred, watched.attempt.high)
    return entry in ring or (len(ring) == RING and ring[0] > entry)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the sorted values lie (nearest rank), None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
