"""What a run found, for people and for machines: figures, and verdicts that decide the exit code."""

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

Figure = str | int | float | bool | None


class Verdict(NamedTuple):
    """A claim that the run has checked."""

    claim: str
    good: bool
    detail: str


class Report:
    """Collects what a run finds; it must hold no student id, because reports are mailed around.

    Args:
        script: the script's name.
        started: when the run began, aware.
        dry_run: whether nothing was to be changed.
    """

    def __init__(self, script: str, started: datetime, *, dry_run: bool = False) -> None:
        self._script = script
        self._started = started
        self._dry_run = dry_run
        self.figures: dict[str, Figure] = {}
        self.details: dict[str, Any] = {}
        self.verdicts: list[Verdict] = []

    def figure(self, name: str, value: Figure) -> None:
        """One figure, under a name in words such as `events applied`."""
        self.figures[name] = value

    def detail(self, name: str, value: Any) -> None:
        """Something longer that only the JSON holds: anything msgspec can encode."""
        self.details[name] = value

    def verdict(self, claim: str, *, good: bool, detail: object = "") -> None:
        """A claim that was checked; one that is not good makes the run fail."""
        self.verdicts.append(Verdict(claim, good, str(detail)))

    @property
    def good(self) -> bool:
        """Whether every claim holds."""
        return all(verdict.good for verdict in self.verdicts)

    def write(self, path: Path, ended: datetime, exit_code: int) -> None:
        """The whole report as JSON, for the owner's eyes; parents are made.

        Raises:
            OSError: it cannot be written there.
        """
        body = {
            "script": self._script,
            "started": self._started,
            "ended": ended,
            "seconds": (ended - self._started).total_seconds(),
            "dry_run": self._dry_run,
            "exit_code": exit_code,
            "figures": self.figures,
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
            **self.details,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=2))
