"""All that a load test was: what was asked for, what was driven, every run, the search for the limit."""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scripts.loading.figures import Trial
from scripts.loading.limit import Limit
from worker import __version__


@dataclass
class Told:
    """All that was run and what is known about it."""

    arguments: argparse.Namespace
    trials: list[Trial] = field(default_factory=list)
    warm_up: Trial | None = None
    limit: Limit | None = None
    target: str = ""
    limits: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def main(self) -> Trial:
        """The run that was asked for."""
        return self.trials[0]

    @property
    def command(self) -> str:
        """The command line, which holds no secret: tokens come by the environment."""
        return shlex.join(["python", "-m", "scripts.load_test", *sys.argv[1:]])

    @property
    def machine(self) -> str:
        """Where it ran."""
        return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"

    @property
    def commit(self) -> str:
        """What was measured: the commit of the working tree, elsewhere the version."""
        try:
            asked = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
            done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError):
            return f"version {__version__}"
        return done.stdout.strip()

    @staticmethod
    def line(trial: Trial) -> str:
        """One run in a line."""
        return (
            f"{trial.peak_rate:,.0f}/s {trial.profile}: {trial.sent:,} of {trial.planned:,} taken, late by "
            f"{seconds(trial.late_seconds)}, p99 {seconds(trial.latency.p99)}, {trial.lost:,} lost, "
            f"{trial.double:,} double"
        )


def seconds(value: float | None) -> str:
    """A duration as it is read best."""
    if value is None:
        return "-"
    return f"{value * 1000:,.0f} ms" if value < 10 else f"{value:,.1f} s"
