"""What all shard processes of a task counted together, for Prometheus to read.

The shard processes hold no Prometheus client: they send deltas, and only their sums are exposed, through a
collector, because a client's histogram cannot take observations that were already sorted into buckets.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.kcl.heartbeat import Beat
from worker.metrics import COUNTERS, GAUGES, HISTOGRAMS, PREFIX, CounterName, GaugeName

_Values: TypeAlias = tuple[str, ...]
# the names in a datagram are plain text
_COUNTERS = {str(name): table for name, table in COUNTERS.items()}
_HISTOGRAMS = {str(name): table for name, table in HISTOGRAMS.items()}


class ShardTotals(Collector):
    """The sums of what the shard processes counted, as Prometheus metrics of the tables in `worker.metrics`.

    Counters outlive the processes that counted them; gauges go with the shard, or a lease that moved away
    would leave its last iterator age behind as a false alarm.

    Args:
        live: gauges of the supervisor itself, read at each scrape.
    """

    def __init__(self, live: Mapping[GaugeName, Callable[[], float]]) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._counters: dict[str, dict[_Values, float]] = {name: {} for name in COUNTERS}
        self._gauges: dict[str, dict[str, float]] = {name: {} for name in GAUGES}
        self._buckets: dict[str, dict[_Values, list[int]]] = {name: {} for name in HISTOGRAMS}
        self._sums: dict[str, dict[_Values, float]] = {name: {} for name in HISTOGRAMS}

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:
        """Add to a counter of the supervisor's own, which belongs to no shard; from any thread."""
        with self._lock:
            _add(self._counters[name], _values(COUNTERS[name].labels, labels, ""), value)

    def add(self, beat: Beat) -> None:
        """Add a beat's deltas; a metric that this version does not know is left out."""
        with self._lock:
            for name, labels, value in beat.counters:
                if name in _COUNTERS:
                    key = _values(_COUNTERS[name].labels, labels, beat.shard)
                    _add(self._counters[name], key, value)
            for name, value in beat.gauges:
                if name in GAUGES:
                    self._gauges[name][beat.shard] = value
            for name, labels, counts, total in beat.histograms:
                if name in _HISTOGRAMS and len(counts) == len(_HISTOGRAMS[name].buckets) + 1:
                    key = _values(_HISTOGRAMS[name].labels, labels, beat.shard)
                    known = self._buckets[name].get(key, [0] * len(counts))
                    self._buckets[name][key] = [one + other for one, other in zip(known, counts, strict=True)]
                    _add(self._sums[name], key, total)

    def forget(self, shard: str) -> None:
        """Drop the gauges of a shard that is held no more."""
        with self._lock:
            for values in self._gauges.values():
                values.pop(shard, None)

    def collect(self) -> Iterator[Metric]:
        """All metric families, for a registry."""
        with self._lock:
            yield from [*self._counter_families(), *self._gauge_families(), *self._histogram_families()]

    def _counter_families(self) -> Iterator[Metric]:
        for name, table in COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, table.help, labels=table.labels)
            for labels, value in self._counters[name].items():
                counter.add_metric(labels, value)
            yield counter

    def _gauge_families(self) -> Iterator[Metric]:
        for name, table in GAUGES.items():
            gauge = GaugeMetricFamily(PREFIX + name, table.help, labels=table.labels)
            if name in self._live:
                gauge.add_metric((), self._live[name]())
            for shard, value in self._gauges[name].items():
                gauge.add_metric((shard,), value)
            yield gauge

    def _histogram_families(self) -> Iterator[Metric]:
        for name, table in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(PREFIX + name, table.help, labels=table.labels)
            for labels, counts in self._buckets[name].items():
                bounds = [*(str(bound) for bound in table.buckets), "+Inf"]
                so_far = list(zip(bounds, accumulate(counts), strict=True))
                histogram.add_metric(labels, so_far, self._sums[name][labels])
            yield histogram


def _add(values: dict[_Values, float], key: _Values, value: float) -> None:
    values[key] = values.get(key, 0) + value


def _values(names: tuple[str, ...], labels: Mapping[str, str], shard: str) -> _Values:
    return tuple(shard if name == "shard" else labels.get(name, "") for name in names)
