"""What one run measured, as values that the JSON, the page and the verdicts are all made from."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
_BUCKET_SECONDS = 5
_SLACK = 0.99
"""So much of a required rate counts as all of it: the first and the last second are not whole ones."""
LATE_SECONDS = 1.0
"""A put later than this after its time means that the generator or the way in did not keep up."""


class Latency(msgspec.Struct, frozen=True):
    """Times in seconds from an event's scheduled moment until readers find it."""

    samples: int
    unseen: int
    mean: float | None
    quantiles: dict[str, float]
    most: float | None

    @property
    def p99(self) -> float | None:
        """What 99 of 100 do not exceed; a sample never seen exceeds everything."""
        return None if self.unseen * 100 > self.samples + self.unseen else self.quantiles.get("p99")


class Window(msgspec.Struct, frozen=True):
    """Latencies of the events due in some seconds of the run, from `at` on."""

    at: float
    samples: int
    p50: float
    p95: float
    p99: float
    most: float


class Moment(msgspec.Struct, frozen=True):
    """The system at one second of the run."""

    at: float
    committed: dict[str, int]
    iterator_age: dict[str, float]
    projected_behind: dict[str, float]


class Trial(msgspec.Struct, frozen=True):
    """One run at one rate, from its first event to the proof."""

    run: str
    profile: str
    way: str
    peak_rate: float
    seconds: float
    planned: int
    sent: int
    interrupted: bool
    rate: float
    peak_seen: float
    late_seconds: float
    refusals: int
    put_p50: float
    put_p99: float
    drain_seconds: float
    latency: Latency
    latencies: list[float]
    windows: list[Window]
    offered: list[int]
    acknowledged: list[int]
    moments: list[Moment]
    retries: dict[str, float]
    balance: dict[str, int]
    cpu_seconds: dict[str, float]
    cpu_over: float
    throttled: str
    distinct: int
    standing: int
    voided: int
    found: int
    missing: int
    unexpected: int
    unknown: int
    foreign: int
    lost: int
    double: int
    outcomes: dict[str, int]
    read: int
    closes: bool
    states: int
    states_equal: int
    proof_seconds: float

    @property
    def held(self) -> bool:
        """Whether everything planned was taken when it was due."""
        return self.sent == self.planned and self.late_seconds <= LATE_SECONDS

    @property
    def required_of(self) -> float:
        """The rate that a requirement speaks of: the mean, or of an uneven profile its highest."""
        return self.rate if self.profile == "steady" else self.peak_seen

    def reaches(self, rate: float) -> bool:
        """Whether so many events a second were taken."""
        return self.held and self.required_of >= _SLACK * rate

    @property
    def whole(self) -> bool:
        """Whether the proof holds: nothing lost or double, the counters close, readers see the ledger."""
        return self.lost == self.double == 0 and self.closes and self.states == self.states_equal > 0

    @property
    def oldest(self) -> float | None:
        """The highest iterator age that was seen, in seconds."""
        return max((age for m in self.moments for age in m.iterator_age.values()), default=None)

    @property
    def furthest_behind(self) -> float | None:
        """The longest that a shard's projection was behind the present, in seconds."""
        return max((age for m in self.moments for age in m.projected_behind.values()), default=None)

    @property
    def imbalance(self) -> float | None:
        """How much the busiest shard took beyond its share, as a part of that share."""
        counts = [count for count in self.balance.values() if count]
        return max(counts) * len(counts) / sum(counts) - 1 if counts else None


def latency(seconds: Sequence[float], unseen: int) -> Latency:
    """The figures of a set of samples."""
    if not seconds:
        return Latency(0, unseen, None, {}, None)
    ordered = np.sort(np.asarray(seconds))
    found = {_name(share): _rank(ordered, share) for share in SHARES}
    return Latency(len(ordered), unseen, float(ordered.mean()), found, float(ordered[-1]))


def windows(sights: Sequence[tuple[float, float]]) -> list[Window]:
    """The same over time; `sights` are moments since the start, and latencies."""
    buckets: dict[int, list[float]] = {}
    for at, seconds in sights:
        buckets.setdefault(int(at // _BUCKET_SECONDS), []).append(seconds)
    found = []
    for bucket, values in sorted(buckets.items()):
        ordered = np.sort(np.asarray(values))
        p50, p95, p99 = (_rank(ordered, share) for share in (0.5, 0.95, 0.99))
        found.append(Window(bucket * _BUCKET_SECONDS, len(ordered), p50, p95, p99, float(ordered[-1])))
    return found


def sustained(per_second: Sequence[int], seconds: int = 5) -> float:
    """The highest mean rate over so many whole seconds in a row."""
    counts = np.asarray(per_second[1:-1] or per_second, dtype=float)
    width = min(seconds, len(counts))
    return float(np.convolve(counts, np.ones(width) / width, "valid").max()) if width else 0.0


def per_event(cpu: Mapping[str, float], events: int) -> dict[str, float]:
    """Microseconds of CPU an event."""
    return {name: seconds / max(1, events) * 1e6 for name, seconds in cpu.items()}


def _rank(ordered: "np.ndarray[tuple[int], np.dtype[np.float64]]", share: float) -> float:
    """The value that this share of the samples does not exceed (nearest rank)."""
    return float(ordered[min(len(ordered) - 1, int(np.ceil(len(ordered) * share)) - 1)])


def _name(share: float) -> str:
    return f"p{share * 100:.10g}"
