"""How the demo speaks: a live progress bar on a terminal, plain lines elsewhere, tables at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker.domain.accounting import Outcome
from worker.local.summary import Summary

Update = Callable[[int, int, float | None], None]
_PLAIN_EVERY_SECONDS = 2.0


class Show:
    """Writes to one console."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()

    def say(self, line: str) -> None:
        """One line of narration."""
        self._console.print(line, style="dim", highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def progress(self, total: int) -> Iterator[Update]:
        """A bar of `total` events; the update takes sent, committed and iterator age in seconds."""
        if not self._console.is_terminal:
            yield self._plain(total)
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[age]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as bar:
            sending = bar.add_task("sent", total=total, age="")
            committing = bar.add_task("committed", total=total, age="")

            def update(sent: int, committed: int, age: float | None) -> None:
                told = "" if age is None else f"iterator age {age:.1f} s"
                bar.update(sending, completed=sent)
                bar.update(committing, completed=committed, age=told)

            yield update

    def summary(self, summary: Summary) -> None:
        """The closing tables and verdicts."""
        self._console.print(_outcomes(summary), _figures(summary), _pupils(summary))
        for difference in summary.comparison.differences[:10]:
            self._console.print(f"  {difference}", style="red", markup=False)
        self._verdict("every event accounted for", good=summary.accounted, detail=_equation(summary))
        self._verdict(
            "Redis equals a rebuild from the ledger", good=summary.states.full, detail=summary.states
        )
        self._verdict(
            "metrics equal an independent recomputation from the input",
            good=summary.scores_equal,
            detail=summary.comparison,
        )

    def _verdict(self, claim: str, *, good: bool, detail: object) -> None:
        mark = "[bold green]yes[/]" if good else "[bold red]NO [/]"
        self._console.print(f"{mark}  {claim}: {detail}", highlight=False, soft_wrap=True)

    def _plain(self, total: int) -> Update:
        last = 0.0

        def update(sent: int, committed: int, age: float | None) -> None:
            nonlocal last
            if time.monotonic() - last >= _PLAIN_EVERY_SECONDS:
                last = time.monotonic()
                told = "" if age is None else f", iterator age {age:.1f} s"
                self.say(f"sent {sent:,}, committed {committed:,} of {total:,}{told}")

        return update


def _equation(summary: Summary) -> str:
    parts = " + ".join(f"{summary.accounting[o]:,} {o.replace('_', '-')}" for o in Outcome)
    return f"{summary.accounting.read:,} read = {parts}"


def _outcomes(summary: Summary) -> Table:
    table = Table(title=f"{summary.input}: what became of every event")
    table.add_column("")
    table.add_column("events", justify="right")
    table.add_row("sent from the input", f"{summary.events_sent:,}")
    table.add_row("sent live", f"{summary.live_sent:,}")
    table.add_row("read", f"{summary.accounting.read:,}", end_section=True)
    for outcome in Outcome:
        table.add_row(outcome.replace("_", "-"), f"{summary.accounting[outcome]:,}")
    return table


def _figures(summary: Summary) -> Table:
    table = Table(title="how fast")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("start of the worker → first record committed", _seconds(summary.first_record_seconds))
    rate = summary.history_events_per_second
    table.add_row("events/s, first commit → last projection", "-" if rate is None else f"{rate:,.0f}")
    table.add_row(
        f"put → visible p50 ({summary.visible_samples:,} samples)", _seconds(summary.visible_p50_seconds)
    )
    table.add_row("put → visible p99", _seconds(summary.visible_p99_seconds))
    return table


def _pupils(summary: Summary) -> Table:
    table = Table(title="a few pupils")
    for name in ("student", "course"):
        table.add_column(name, overflow="fold")
    for name in ("attempts", "mean of last 20", "ewma", "latest", "best", "trend"):
        table.add_column(name, justify="right")
    for pupil in summary.pupils:
        scores = pupil.scores
        figures = (scores.mean_last_n, scores.ewma, scores.latest, scores.best, scores.trend)
        shown = ["-" if figure is None else f"{figure:.3f}" for figure in figures]
        table.add_row(pupil.student_id, pupil.course_id, str(scores.attempts_total), *shown)
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
