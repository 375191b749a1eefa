"""A new beginning in Redis after PostgreSQL was restored to an earlier time.

The restored ledger counts versions and births again that Redis has already seen with other contents, so every
state, marker and claim of the lost future must be out of reach before anything starts. The epoch stands in
front of every key; a new one leaves them behind, and then they are removed.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta

from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run, Script, WrongArguments, execute
from scripts.jobs.moments import moment, written
from worker import wiring, wiring_jobs
from worker.batch import Source
from worker.domain.position import Position
from worker.wiring_jobs import Restart

_MARGIN = timedelta(hours=1)
_LAST_SUB = 2**31 - 1
_LOOKS = 5
_BETWEEN_LOOKS = 0.3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--restored-to",
        type=moment,
        required=True,
        metavar="MOMENT",
        help="what PostgreSQL was restored to; names this restore",
    )
    parser.add_argument("--by", help="who does it; kept with the epoch")
    parser.add_argument(
        "--accept-checkpoints",
        action="store_true",
        help="let the workers go on where they were; what lies between the ledger and there is for a replay",
    )
    parser.add_argument("--force", action="store_true", help="do not look whether anything is running")


def _work(run: Run, arguments: argparse.Namespace) -> None:
    restored_to: datetime = arguments.restored_to
    if restored_to > wiring.now():
        msg = "--restored-to is a moment of the past"
        raise WrongArguments(msg)
    if not run.dry_run and not arguments.by:
        msg = "say --by whom; it is kept"
        raise WrongArguments(msg)
    settings = run.settings()
    parts = wiring_jobs.restart(settings)
    try:
        if not arguments.force:
            _must_be_alone(run, parts, settings.failover_millis / 1000)
        epoch = _epoch(run, parts, restored_to, arguments.by)
        if arguments.accept_checkpoints and not run.stopping.asked:
            _accept(run, parts)
        if run.stopping.asked:
            return
        if not run.dry_run:
            _drop(run, parts, epoch)
        _say_what_next(run, restored_to, accepted=arguments.accept_checkpoints)
    finally:
        parts.epochs.close()
        parts.past.close()


def _must_be_alone(run: Run, parts: Restart, failover_seconds: float) -> None:
    """Nothing may write under the old epoch any more: no session in PostgreSQL, no lease that moves."""
    for _ in range(_LOOKS):
        others = patiently(run, parts.epochs.others)
        # a session that was just closed is seen for a moment longer
        if not others or run.stopping.wait(_BETWEEN_LOOKS):
            break
    if others:
        msg = (
            f"{others:,} other sessions of workers, API or jobs are connected to the ledger; stop them first "
            "(scale the services to 0), or --force where they are known to be gone"
        )
        raise Refused(msg)
    before = {lease.shard: lease.counter for lease in patiently(run, parts.leases.leases)}
    if not before:
        return
    run.show.say("watching the leases for one failover time")
    if run.stopping.wait(failover_seconds):
        raise KeyboardInterrupt
    moved = [
        lease for lease in patiently(run, parts.leases.leases) if before.get(lease.shard) != lease.counter
    ]
    if moved:
        msg = f"{len(moved):,} leases are still being renewed: workers are alive; stop them first, or --force"
        raise Refused(msg)


def _epoch(run: Run, parts: Restart, restored_to: datetime, by: str) -> int:
    """The epoch of this restore, begun if it is not yet; greater than any that Redis has ever seen.

    The ledger's own number may have gone back with the restore, and one that was used must not come again.
    """
    begun = patiently(run, lambda: parts.epochs.raised_for(restored_to))
    if begun is not None:
        run.show.say(f"epoch {begun} was begun for this restore already; finishing what is left")
    with run.show.progress("keys", None) as advance:
        counts = patiently(run, lambda: parts.past.count(advance))
    present = patiently(run, parts.epochs.present)
    epoch = max(present, *counts, 0) + 1 if begun is None else begun
    run.report.figure("epoch before", present)
    run.report.figure("epoch", epoch)
    others = sum(count for one, count in counts.items() if one != epoch)
    run.report.figure("keys of other epochs in Redis", others)
    if begun is None and not run.dry_run:
        patiently(run, lambda: parts.epochs.begin(epoch, restored_to, by))
    return epoch


def _accept(run: Run, parts: Restart) -> None:
    """Without this a worker refuses to start: its checkpoint is beyond the ledger."""
    checkpoints: dict[Source, Position] = {}
    for lease in patiently(run, parts.leases.leases):
        if lease.checkpoint.isdecimal():
            source = f"{parts.prefix()}:{lease.shard}"
            checkpoints[source] = Position(int(lease.checkpoint), _LAST_SUB)
    run.report.figure("checkpoints of open shards", len(checkpoints))
    move = parts.epochs.behind if run.dry_run else parts.epochs.accept
    moved = patiently(run, lambda: move(checkpoints))
    run.report.figure("sources with a gap to replay", len(moved))
    gaps = [
        {"source": source, "ledger": str(position), "checkpoint": str(checkpoints[source])}
        for source, position in sorted(moved.items())
    ]
    run.report.detail("gaps", gaps)


def _drop(run: Run, parts: Restart, epoch: int) -> None:
    """States of a lost future hold records too; nobody reads them, and nobody shall."""
    with run.show.progress("keys", None) as advance:
        dropped = patiently(run, lambda: parts.past.drop_all_but(epoch, advance))
        left = patiently(run, lambda: parts.past.count(lambda _: None))
    run.report.figure("keys of other epochs removed", dropped)
    run.report.verdict("nothing of another epoch is left in Redis", good=set(left) <= {epoch})


def _say_what_next(run: Run, restored_to: datetime, *, accepted: bool) -> None:
    since, until = written(restored_to - _MARGIN), written(wiring.now())
    run.show.say("next:")
    if not accepted:
        run.show.say("  python -m scripts.epoch ... --accept-checkpoints    # before the workers start")
    run.show.say("  start the workers and the API again: they read the epoch when they start")
    run.show.say(f"  python -m scripts.replay --from {since} --to {until}    # nothing counts twice")
    run.show.say("  erase again whoever was erased since then: the tombstones are as old as the restore")


SCRIPT = Script(
    name="epoch",
    summary="Begins a new epoch in Redis after PostgreSQL was restored to an earlier time.",
    examples=(
        "python -m scripts.epoch --restored-to 2026-03-02T09:30:00Z --dry-run",
        "python -m scripts.epoch --restored-to 2026-03-02T09:30:00Z --by 'the operator' --accept-checkpoints",
    ),
    arguments=_arguments,
    work=_work,
)


if __name__ == "__main__":
    raise SystemExit(main())
