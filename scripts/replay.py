"""`python -m scripts.replay`: a time range of the stream once more through the same pipeline.

For when a decoder was mended, or the ledger was restored to an earlier time. Live leases, checkpoints and
positions are not touched: the job has sources of its own, one a shard, named after the range, so that the
same command goes on where an earlier run of it ended.
"""

import argparse
import hashlib
import re
import time
from collections.abc import Sequence

from scripts.frame.patience import Patience
from scripts.frame.script import Run, Script, WrongArguments, execute
from scripts.jobs.closing import close_earlier_jobs
from scripts.jobs.moments import moment, written
from scripts.jobs.tally import Tally
from scripts.replaying.comparing import compare
from scripts.replaying.sending import account, reached, send, sources
from worker import wiring, wiring_jobs
from worker.domain.event import REVISION_OF_NORMALISER, length_prefixed
from worker.history import EventStream
from worker.stream.replaying import Clock, Replay, Span

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="first", type=moment, required=True, metavar="MOMENT", help="arrived then or later"
    )
    parser.add_argument(
        "--to", dest="last", type=moment, required=True, metavar="MOMENT", help="arrived before then"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.4,
        help="of each shard's read quota, and of the time ledger and projection are kept busy (default 0.4)",
    )
    parser.add_argument("--job", default="", metavar="NAME", help="replays anew what was replayed before")


def _work(run: Run, arguments: argparse.Namespace) -> None:
    settings = run.settings()
    span = Span(arguments.first, arguments.last)
    _check(span, arguments)
    patience = Patience(run.stopping, run.show)
    world = wiring_jobs.world(settings, Tally(), patience)
    stream = wiring_jobs.history(settings)
    clock = Clock(time.monotonic, patience)
    _tell_what_is_gone(run, stream, span)
    try:
        close_earlier_jobs(run, world.ledger, world.projection)
        if run.dry_run:
            compare(run, settings, world, Replay(stream, span, {}, arguments.share, clock))
            return
        prefix = f"replay:{_job(wiring.stream_prefix(settings)(), span, arguments.job)}"
        before = sources(world, prefix)
        replay = Replay(stream, span, reached(before), arguments.share, clock)
        send(run, settings, world, replay, prefix)
        account(run, prefix, before, sources(world, prefix))
        run.report.figure("times a shard's read quota was used up", replay.throttled)
    finally:
        world.ledger.close()
        world.projection.close()


def _check(span: Span, arguments: argparse.Namespace) -> None:
    if not span.first < span.last <= wiring.now():
        msg = "--from must lie before --to, and --to not in the future"
        raise WrongArguments(msg)
    if not 0 < arguments.share <= 1:
        msg = "--share lies above 0 and not above 1"
        raise WrongArguments(msg)
    if arguments.job and not _NAME.fullmatch(arguments.job):
        msg = "--job takes up to 40 letters, digits, dots, dashes and underlines"
        raise WrongArguments(msg)


def _job(stream: str, span: Span, name: str) -> str:
    """The same for the same range of the same stream under the same decoder, another for any other."""
    parts = (stream, written(span.first), written(span.last), str(REVISION_OF_NORMALISER), name)
    digest = hashlib.blake2b(length_prefixed(*(part.encode() for part in parts)), digest_size=6)
    return f"{name or f'{span.first:%Y%m%dT%H%M%SZ}'}-{digest.hexdigest()}"


def _tell_what_is_gone(run: Run, stream: EventStream, span: Span) -> None:
    gone = stream.gone_before()
    whole = gone is None or gone <= span.first
    detail = "" if whole or gone is None else f"what arrived before {written(gone)} is not kept any more"
    run.report.verdict("the stream still keeps the whole range", good=whole, detail=detail)


SCRIPT = Script(
    name="replay",
    summary="Sends a time range of the stream through the pipeline again, beside live traffic.",
    examples=[
        "python -m scripts.replay --from 2026-03-02T09:00:00Z --to 2026-03-02T12:00:00Z --dry-run",
        "python -m scripts.replay --from 2026-03-02T09:00:00Z --to 2026-03-02T12:00:00Z",
        "python -m scripts.replay --from 2026-03-02T09:00:00Z --to 2026-03-02T12:00:00Z --share 0.1",
        "python -m scripts.replay --from 2026-03-02T09:00:00Z --to 2026-03-02T12:00:00Z --job again",
    ],
    arguments=_arguments,
    work=_work,
)

if __name__ == "__main__":
    raise SystemExit(main())
