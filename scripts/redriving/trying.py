"""Letters tried: each goes or stays, and every one of them is told."""

import os
import time
from collections import Counter

from scripts.redriving.bench import Bench
from worker import wiring_jobs
from worker.domain.accounting import Outcome
from worker.domain.errors import LedgerUnavailable, Reason
from worker.letters import Selection
from worker.stream.redriving import CLAIM_SECONDS, Job, Redrive, Step

_KEEP_EVERY = CLAIM_SECONDS / 5


def redrive(bench: Bench, selection: Selection, name: str) -> None:
    """Try every chosen letter once and report what became of them."""
    run = bench.run
    chosen = sum(bench.letters.counts(selection).values())
    run.report.figure("letters chosen", chosen)
    if not chosen:
        return
    job = Job(f"redrive:{name}", f"{name}:{os.urandom(8).hex()}")
    pipeline = wiring_jobs.pipeline(bench.settings, job.source, bench.world)
    pipeline.open(None)
    before = bench.world.ledger.progress()[job.source].accounting
    bench.patience.meanwhile = _Keeping(bench, job)
    told = _Told()
    try:
        with run.show.progress("letters", chosen) as advance:
            for step in Redrive(bench.letters, bench.judge, job, pipeline, bench.waiting).steps(selection):
                told.take(step)
                advance(len(step.trials))
                if run.stopping.asked:
                    break
    finally:
        _give_back(bench, job)
    told.report(bench, chosen)
    done = bench.world.ledger.progress()[job.source].accounting - before
    run.report.figure("job", name)
    for outcome in Outcome:
        run.report.figure(f"events {outcome.value}", done[outcome])
    run.report.verdict(
        "every event sent is accounted for", good=done.closes, detail=f"{done.accounted:,} of {done.read:,}"
    )


class _Told:
    """What became of the letters tried so far, by the reason under which they lay."""

    def __init__(self) -> None:
        self._tried: Counter[Reason] = Counter()
        self._failed: Counter[Reason] = Counter()
        self._today: Counter[Reason] = Counter()
        self._sealed = self._recovered = self._kept = 0

    def take(self, step: Step) -> None:
        """One more step."""
        for letter, _, _, opened in step.trials:
            self._tried[letter.reason] += 1
            self._failed[letter.reason] += letter.number in step.failed
            self._sealed += not opened
        self._today.update(failure.reason for failure in step.failed.values())
        self._recovered += step.settled.recovered
        self._kept += step.settled.kept

    def report(self, bench: Bench, chosen: int) -> None:
        """Figures, and the verdict that every letter tried is accounted for."""
        report, tried, failed = bench.run.report, self._tried.total(), self._failed.total()
        report.figure("letters tried", tried)
        report.figure("letters recovered", self._recovered)
        report.figure("letters that failed again", self._kept)
        report.figure("of these not opened by the present key", self._sealed)
        report.figure(
            "letters not tried (in the hands of another run, or interrupted)", max(0, chosen - tried)
        )
        report.detail(
            "by_reason",
            {
                reason.value: {"tried": count, "failed": self._failed[reason]}
                for reason, count in sorted(self._tried.items())
            },
        )
        report.detail("failed_today_for", {reason.value: n for reason, n in sorted(self._today.items())})
        report.verdict(
            "every letter tried is recovered or kept",
            good=(self._recovered, self._kept) == (tried - failed, failed),
            detail=f"{tried:,} = {self._recovered:,} + {self._kept:,}",
        )


class _Keeping:
    """Renews the claims of a run that waits, so that they do not run out under it."""

    def __init__(self, bench: Bench, job: Job) -> None:
        self._bench = bench
        self._job = job
        self._kept_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._kept_at < _KEEP_EVERY:
            return
        self._kept_at = time.monotonic()
        try:
            self._bench.letters.renew(self._job.operator, CLAIM_SECONDS)
        except LedgerUnavailable:
            return  # nobody else can claim anything now either


def _give_back(bench: Bench, job: Job) -> None:
    try:
        bench.letters.release(job.operator)
    except LedgerUnavailable:
        bench.run.show.say(f"the letters in hand are free again in {CLAIM_SECONDS / 60:.0f} minutes")
