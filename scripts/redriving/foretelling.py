"""What would become of the chosen letters, by the reason under which they lie; nothing is claimed for it."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from scripts.redriving.bench import Bench
from worker import wiring
from worker.domain.errors import Reason
from worker.letters import Letter, Selection
from worker.stream.difference import Difference
from worker.stream.redriving import CHUNK, Trial


def foretell(bench: Bench, selection: Selection) -> None:
    """Judge every chosen letter and report how many would pass."""
    passing: Counter[Reason] = Counter()
    failing: Counter[tuple[Reason, Reason]] = Counter()
    sealed, after = 0, 0
    until, difference = bench.waiting.until_ledger, Difference(bench.judge.registers)
    with bench.run.show.progress("letters", sum(bench.letters.counts(selection).values())) as advance:
        while page := until(partial(bench.letters.page, selection, after, CHUNK)):
            for trial in until(partial(_judged, bench, page)):
                until(partial(difference.take, trial.events))
                if trial.failure is None:
                    passing[trial.letter.reason] += 1
                else:
                    failing[trial.letter.reason, trial.failure.reason] += 1
                sealed += not trial.opened
            after = page[-1].number
            advance(len(page))
            if bench.run.stopping.asked:
                return
    with bench.run.show.progress("states compared", difference.states) as advance:
        found = until(lambda: difference.conclude(wiring.now(), advance=advance))
    report = bench.run.report
    report.figure("letters that would be recovered", passing.total())
    report.figure("letters that would fail again", failing.total())
    report.figure("of these not opened by the present key", sealed)
    for reason in sorted({*passing, *(reason for reason, _ in failing)}):
        fails = sum(count for (of, _), count in failing.items() if of is reason)
        report.figure(f"  {reason.value}", f"{passing[reason]:,} would pass, {fails:,} would fail")
    report.detail(
        "would_fail",
        [{"reason": of.value, "today": now.value, "letters": n} for (of, now), n in sorted(failing.items())],
    )
    report.figure("attempts that would be new", found.new)
    report.figure("attempts that would be revised", found.revised)
    report.figure("students touched", found.students)


def _judged(bench: Bench, letters: Sequence[Letter]) -> list[Trial]:
    return [trial for group in bench.judge.groups(letters) for trial in group]
