"""`python -m scripts.redrive`: dead letters tried again, after a fix.

What succeeds is in the ledger and in Redis before its letter goes; what fails again stays, one try older.
Two operators at once never try the same letter, and the letters of one who was killed are free again after
five minutes.
"""

import argparse
import os
import re
from collections.abc import Sequence

from scripts.frame.script import Run, Script, WrongArguments, execute
from scripts.jobs.closing import close_earlier_jobs
from scripts.jobs.moments import moment
from scripts.redriving.bench import opened
from scripts.redriving.foretelling import foretell
from scripts.redriving.trying import redrive
from worker import wiring
from worker.domain.errors import Reason
from worker.letters import Selection

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    reasons = [reason.value for reason in Reason]
    parser.add_argument(
        "--reason",
        action="append",
        choices=reasons,
        metavar="REASON",
        help=f"of this reason; may be repeated: {', '.join(reasons)}",
    )
    parser.add_argument("--from", dest="first", type=moment, metavar="MOMENT", help="stored then or later")
    parser.add_argument("--to", dest="last", type=moment, metavar="MOMENT", help="stored before then")
    parser.add_argument("--shard", metavar="SHARD", help="of this shard, such as shardId-000000000000")
    parser.add_argument("--job", metavar="NAME", help="names the job's source (default: the present time)")


def _work(run: Run, arguments: argparse.Namespace) -> None:
    if arguments.first and arguments.last and arguments.first >= arguments.last:
        msg = "--from must lie before --to"
        raise WrongArguments(msg)
    if arguments.job and not _NAME.fullmatch(arguments.job):
        msg = "--job takes up to 40 letters, digits, dots, dashes and underlines"
        raise WrongArguments(msg)
    reasons = frozenset(map(Reason, arguments.reason)) if arguments.reason else None
    with opened(run) as bench:
        newest = bench.letters.newest()
        selection = Selection(reasons, arguments.first, arguments.last, arguments.shard, newest)
        close_earlier_jobs(run, bench.world.ledger, bench.world.projection)
        if run.dry_run:
            foretell(bench, selection)
        else:
            default = f"{wiring.now():%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"
            redrive(bench, selection, arguments.job or default)


SCRIPT = Script(
    name="redrive",
    summary="Tries dead letters again, after a fix; those that fail again stay.",
    examples=[
        "python -m scripts.redrive --dry-run",
        "python -m scripts.redrive --reason missing_field --reason invalid_field",
        "python -m scripts.redrive --shard shardId-000000000001 --from 2026-03-02T09:00:00Z",
    ],
    arguments=_arguments,
    work=_work,
)

if __name__ == "__main__":
    raise SystemExit(main())
