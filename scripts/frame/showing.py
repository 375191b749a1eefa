"""How a script speaks: a live bar on a terminal, plain lines in a log, and a summary that fits a screen.

Everything goes to stderr but a result that another program may want to read.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from scripts.frame.report import Figure, Report

Advance = Callable[[int], None]
"""Takes by how much the work has advanced."""

_PLAIN_EVERY_SECONDS = 2.0


class Show:
    """Writes to one console.

    Args:
        console: where to; by default stderr.
        clock: monotonic seconds, for rates.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock

    def say(self, line: str) -> None:
        """One line of narration."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Advance]:
        """Progress of so many units (None: nobody knows), with rate and time left.

        Args:
            what: what is counted, such as `rows` or `states`.
            total: how many there are.
        """
        if not self._console.is_terminal:
            with self._plain(what, total) as advance:
                yield advance
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(what, total=total, rate="")
            started, done = self._clock(), 0

            def shown(by: int) -> None:
                nonlocal done
                done += by
                rate = done / max(1e-9, self._clock() - started)
                bar.update(task, completed=done, rate=f"{rate:,.0f}/s")

            yield shown

    def summary(self, title: str, report: Report) -> None:
        """The figures as a table, then every verdict."""
        if report.figures:
            table = Table(title=title, show_header=False)
            table.add_column("")
            table.add_column("", justify="right")
            for name, value in report.figures.items():
                table.add_row(name, _shown(value))
            self._console.print(table)
        for verdict in report.verdicts:
            mark = "[bold green]yes[/]" if verdict.good else "[bold red]NO [/]"
            self._console.print(mark, end="  ")
            self.say(f"{verdict.claim}{': ' if verdict.detail else ''}{verdict.detail}")

    @contextmanager
    def _plain(self, what: str, total: int | None) -> Iterator[Advance]:
        started = told = self._clock()
        done = 0

        def advance(by: int) -> None:
            nonlocal done, told
            done += by
            if self._clock() - told >= _PLAIN_EVERY_SECONDS:
                told = self._clock()
                self.say(_line(what, done, total, told - started))

        yield advance
        self.say(_line(what, done, total, self._clock() - started))


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / max(1e-9, seconds)
    of = "" if total is None else f" of {total:,}"
    left = "" if total is None or not rate else f", {max(0, total - done) / rate:,.0f} s left"
    return f"{done:,}{of} {what}, {rate:,.0f}/s{left}"


def _shown(value: Figure) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if isinstance(value, float) else value
