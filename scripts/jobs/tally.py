"""What a pipeline counts while a job drives it, kept for the job's report."""

from collections import Counter

from worker.metrics import CounterName, GaugeName, HistogramName


class Tally:
    """Metrics of one run, of which only the counters are kept, for the report."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, name: CounterName, value: float = 1, **labels: str) -> None:  # noqa: ARG002
        self.counts[name] += int(value)

    def gauge(self, name: GaugeName, value: float) -> None:
        """Nobody looks at a gauge after the end."""

    def observe(self, name: HistogramName, value: float, **labels: str) -> None:
        """Nor at a histogram."""
