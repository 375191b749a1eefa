"""The sources of earlier jobs, closed by the next one, because no job waits an hour for its own end."""

from scripts.frame.patience import patiently
from scripts.frame.script import Run
from worker.ports import Ledger, Projection
from worker.stream.closing import close_finished, finished


def close_earlier_jobs(run: Run, ledger: Ledger, projection: Projection) -> None:
    """Close what can be closed, and name what cannot; a dry run only says so.

    Raises:
        KeyboardInterrupt: somebody asked to stop during an outage.
    """
    close = finished if run.dry_run else close_finished
    closed, unfinished = patiently(run, lambda: close(ledger, projection))
    run.report.figure("sources of earlier jobs closed", len(closed))
    for source in unfinished:
        run.show.say(f"unfinished: {source}; run its job again")
    run.report.detail("unfinished sources", unfinished)
