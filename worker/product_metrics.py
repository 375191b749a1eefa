"""The product's figures in CloudWatch: one JSON line a minute in the log, in its embedded metric format.

Prometheus' port is not routed, so alarms and dashboards of the platform would see machines alone. CloudWatch
makes metrics of such a line by itself, from the log stream that is there anyway: no agent, no call, no right.
The library for it (aws-embedded-metrics) speaks to an agent or to stdout, and brings an HTTP client with it;
the format is one documented object. A minute's share of each counter is told, so that CloudWatch can add up
what several tasks counted; what counts as usual is told as zero, so that an alarm never lacks data.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, Gauge

from worker.metrics import PREFIX

DIMENSION = "service"
SECONDS = 60.0
Unit: TypeAlias = Literal["Count", "Seconds", "None"]
_MILLIS = 1_000

_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)  # whatever the least level of a line is: without these nobody is woken


class Sample(NamedTuple):
    """One time series of the registry."""

    name: str
    labels: Mapping[str, str]
    value: float


class Figure(NamedTuple):
    """One metric of CloudWatch: its name, unit, and how it comes out of the registry's series.

    Args:
        name: in CloudWatch.
        metric: in Prometheus, without the prefix.
        unit: of CloudWatch's units.
        labels: of the series that belong to it, each with the values it may have.
        share: of a histogram's observations that lie below the figure; None for other metrics.
    """

    name: str
    metric: str
    unit: Unit = "Count"
    labels: Mapping[str, frozenset[str]] = {}
    share: float | None = None


def _of(label: str, *values: str) -> Mapping[str, frozenset[str]]:
    return {label: frozenset(values)}


_STATUS = {f"{first}xx": frozenset(str(first * 100 + n) for n in range(100)) for first in (2, 3, 4, 5)}
_SERVED = frozenset(("/students", "/metrics"))

WORKER: Sequence[Figure] = (
    Figure("EventsRead", "events_read_total"),
    *(
        Figure(f"Events{name}", "events_total", labels=_of("outcome", outcome))
        for name, outcome in (
            ("Applied", "applied"),
            ("Revised", "revised"),
            ("Duplicate", "duplicate"),
            ("Superseded", "superseded"),
            ("Redelivered", "redelivered"),
            ("Erased", "erased"),
        )
    ),
    Figure("DeadLetters", "events_total", labels=_of("outcome", "dead_lettered")),
    *(
        Figure(f"DeadLetters{name}", "dead_letters_total", labels=_of("reason", *reasons))
        for name, reasons in (
            ("Unreadable", ("not_json", "invalid_utf8", "bad_compression", "empty_record")),
            ("TooLarge", ("record_too_large", "event_too_large", "too_many_events")),
            ("WrongEnvelope", ("unknown_envelope", "count_mismatch")),
            ("WrongField", ("missing_field", "invalid_field", "time_out_of_range", "ratio_out_of_range")),
            ("Refused", ("key_collision", "refused_by_database")),
        )
    ),
    Figure("ArrivalToProjectedP50", "arrival_to_projected_seconds", "Seconds", share=0.5),
    Figure("ArrivalToProjectedP99", "arrival_to_projected_seconds", "Seconds", share=0.99),
    Figure("IteratorAge", "iterator_age_seconds", "Seconds"),
    Figure("Halted", "halted"),
    Figure("Degraded", "degraded"),
    Figure("ShardsHeld", "shards_held"),
    Figure("StatesRebuilt", "states_rebuilt_total"),
    Figure("Sweeps", "sweeps_total"),
    Figure("DaemonRestarts", "watchdog_restarts_total"),
)
"""What a worker task tells. A gauge of several shards is the worst of them, `shards_held` their number."""

API: Sequence[Figure] = (
    *(
        Figure(f"Requests{name}", "api_requests_total", labels={"route": _SERVED, "status": statuses})
        for name, statuses in _STATUS.items()
    ),
    Figure("IngestP99", "api_request_seconds", "Seconds", _of("route", "/students"), 0.99),
    Figure("ReadP99", "api_request_seconds", "Seconds", _of("route", "/metrics"), 0.99),
    Figure("EventsAccepted", "api_events_total", labels=_of("outcome", "accepted")),
    Figure("EventsRejected", "api_events_total", labels=_of("outcome", "rejected")),
    Figure("DisclosuresRecorded", "api_disclosures_total"),
)
"""What an api task tells; probes and the page's own files are not among the requests."""


JOB: Sequence[Figure] = (Figure("Done", "done"),)
"""What a job tells at its end: 1 when it has done all it should, else 0."""


class Minute:
    """Turns looks at a registry into lines.

    Args:
        registry: where the process counts.
        figures: what is told.
        namespace: of the metrics in CloudWatch.
        service: which of the services this is.
    """

    def __init__(
        self, registry: CollectorRegistry, figures: Sequence[Figure], namespace: str, service: str
    ) -> None:
        self._registry = registry
        self._figures = figures
        self._namespace = namespace
        self._service = service
        self._before: dict[str, float] = {}

    def look(self, at_seconds: float) -> dict[str, Any]:
        """The next line's object; `at_seconds` since 1970. Seconds of nothing at all are left out."""
        samples = [
            Sample(sample.name.removeprefix(PREFIX), sample.labels, sample.value)
            for family in self._registry.collect()
            for sample in family.samples
        ]
        told = {figure.name: self._value(figure, samples) for figure in self._figures}
        values = {name: value for name, value in told.items() if value is not None}
        return {
            "_aws": {
                "Timestamp": int(at_seconds * _MILLIS),
                "CloudWatchMetrics": [
                    {
                        "Namespace": self._namespace,
                        "Dimensions": [[DIMENSION]],
                        "Metrics": [
                            {"Name": figure.name, "Unit": figure.unit}
                            for figure in self._figures
                            if figure.name in values
                        ],
                    }
                ],
            },
            DIMENSION: self._service,
            **values,
        }

    def _value(self, figure: Figure, samples: Iterable[Sample]) -> float | None:
        ours = [
            sample
            for sample in samples
            if all(sample.labels.get(label) in values for label, values in figure.labels.items())
        ]
        if figure.share is not None:
            buckets = [sample for sample in ours if sample.name == f"{figure.metric}_bucket"]
            return self._quantile(figure.name, figure.share, buckets)
        found = [sample.value for sample in ours if sample.name == figure.metric]
        if figure.metric.endswith("_total"):
            return self._since(figure.name, sum(found))
        return max(found, default=None if figure.unit == "Seconds" else 0.0)

    def _since(self, series: str, value: float) -> float:
        before, self._before[series] = self._before.get(series, 0.0), value
        return value - before

    def _quantile(self, name: str, share: float, buckets: Iterable[Sample]) -> float | None:
        """The bound of the bucket that holds the observation; the last finite bound for what lies beyond."""
        upto: dict[float, float] = {}
        for sample in buckets:
            bound = float(sample.labels["le"])
            upto[bound] = upto.get(bound, 0.0) + sample.value
        new = {bound: self._since(f"{name} {bound}", upto[bound]) for bound in sorted(upto)}
        if not any(new.values()):
            return None
        *finite, infinite = sorted(new)
        return next((bound for bound in finite if new[bound] >= share * new[infinite]), finite[-1])


@contextmanager
def told_each_minute(minute: Minute, now: Callable[[], float], seconds: float = SECONDS) -> Iterator[None]:
    """A line each minute, and a last one at the end, by a thread of its own."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(seconds):
            _tell(minute, now)

    thread = threading.Thread(target=tell, name="product-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _tell(minute, now)


def tell_end(namespace: str, job: str, *, done: bool, now: Callable[[], float]) -> None:
    """A line at the end of a job. Where none comes, it did not run or was killed: absence is what wakes."""
    registry = CollectorRegistry()
    Gauge(f"{PREFIX}done", "whether the job has done all it should", registry=registry).set(done)
    _tell(Minute(registry, JOB, namespace, job), now)


def _tell(minute: Minute, now: Callable[[], float]) -> None:
    # a dict as the message: the formatter puts its members beside its own, which the format allows
    _log.info(minute.look(now()))
