"""What the demo found, as values; how it is shown is another matter."""

import dataclasses
from typing import Any

import msgspec

from worker.domain.accounting import Accounting, Outcome
from worker.domain.score import CourseScores
from worker.local.compare import Comparison
from worker.local.verifying import States


@dataclasses.dataclass(frozen=True)
class Pupil:
    """One pupil's scores in one course, by the ids of the input."""

    student_id: str
    course_id: str
    scores: CourseScores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything a run measured and proved; times in seconds."""

    input: str
    events_sent: int
    live_sent: int
    accounting: Accounting
    first_record_seconds: float | None
    history_events_per_second: float | None
    visible_samples: int
    visible_missing: int
    visible_p50_seconds: float | None
    visible_p99_seconds: float | None
    states: States
    comparison: Comparison
    pupils: list[Pupil]

    @property
    def accounted(self) -> bool:
        """Whether every event sent was read, and every event read has exactly one outcome."""
        return self.accounting.closes and self.accounting.read >= self.events_sent + self.live_sent

    @property
    def scores_equal(self) -> bool:
        return self.comparison.pairs_equal == self.comparison.pairs > 0

    @property
    def good(self) -> bool:
        """The exit code's meaning: nothing lost, both verdicts full, every sample seen."""
        return self.accounted and self.states.full and self.scores_equal and not self.visible_missing

    def as_json(self) -> bytes:
        """The summary for machines."""
        body: dict[str, Any] = {
            "input": self.input,
            "events_sent": self.events_sent,
            "live_sent": self.live_sent,
            "events_read": self.accounting.read,
            "outcomes": {outcome.value: self.accounting[outcome] for outcome in Outcome},
            "accounting_closes": self.accounting.closes,
            "first_record_seconds": self.first_record_seconds,
            "history_events_per_second": self.history_events_per_second,
            "put_to_visible": {
                "samples": self.visible_samples,
                "never_visible": self.visible_missing,
                "p50_seconds": self.visible_p50_seconds,
                "p99_seconds": self.visible_p99_seconds,
            },
            "states_equal_ledger": {"equal": self.states.equal, "total": self.states.total},
            "scores_equal_recomputation": {
                "pupils_equal": self.comparison.pupils_equal,
                "pupils": self.comparison.pupils,
                "pairs_equal": self.comparison.pairs_equal,
                "pairs": self.comparison.pairs,
            },
            "good": self.good,
        }
        return msgspec.json.format(msgspec.json.encode(body), indent=2)
