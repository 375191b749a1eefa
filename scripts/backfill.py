"""Files of attempts into the ledger and the projection, or over the stream; `--help` tells the rest."""

import argparse
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from scripts.backfilling.filling import Filler
from scripts.backfilling.inputs import Input, Reading, find, inspect
from scripts.backfilling.lanes import Stopped, pause_of
from scripts.backfilling.looking import Looking
from scripts.backfilling.manifest import Entry, Manifest
from scripts.backfilling.rejects import Rejects
from scripts.backfilling.rows import Edge, decode
from scripts.backfilling.sharing import Unread
from scripts.backfilling.ways import File, OverStream, Straight, Way
from scripts.frame.patience import patiently
from scripts.frame.script import Run, Script, WrongArguments, execute
from scripts.jobs.closing import close_earlier_jobs
from scripts.jobs.tally import Tally
from worker import wiring, wiring_jobs
from worker.domain.identity import Identity
from worker.local.columns import ColumnsError
from worker.local.event_files import read_events
from worker.settings import Settings
from worker.stream.decoding import Decoder, Limits
from worker.stream.difference import Difference
from worker.stream.retrying import Backoff

_STUDENTS = 1 << 17
_EVENTS = 2_000
_MANIFEST = "backfill-manifest.json"


class _Plan(NamedTuple):
    """Which files, how they are read, and where is kept what becomes of them."""

    inputs: Sequence[Input]
    reading: Reading
    identity: Identity
    manifest: Manifest
    rejects: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The script's own arguments."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="files, or folders of them; .csv or .ndjson, .gz, .zst",
    )
    parser.add_argument(
        "--columns",
        default="",
        metavar="TEXT",
        help="where the fields come from: field=column, ... (see README)",
    )
    parser.add_argument("--realm", help="who issued the student ids (default: REALM)")
    parser.add_argument(
        "--via-stream", action="store_true", help="send them over the stream as a producer does, instead"
    )
    parser.add_argument(
        "--rate", type=_positive, metavar="N", help="with --via-stream: at most N events a second"
    )
    parser.add_argument(
        "--transaction",
        type=_positive,
        default=_EVENTS,
        metavar="N",
        help=f"events in one ledger transaction (default: {_EVENTS:,})",
    )
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE", help="what is done of each file (default: beside the report)"
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        metavar="FOLDER",
        help="where the lists of rejected rows go (default: beside each file)",
    )


def work(run: Run, given: argparse.Namespace) -> None:
    """Bring every file all the way, and prove that all of its rows are accounted for."""
    if given.rate is not None and not given.via_stream:
        raise WrongArguments("--rate limits --via-stream alone")
    settings = run.settings()
    paths = find(given.files)
    identity = wiring.identity(settings, _STUDENTS)
    realm = given.realm or settings.realm
    reading = Reading(given.columns, realm, identity.current, "stream" if given.via_stream else "ledger")
    run.show.say(f"looking at {len(paths):,} file{'s' if len(paths) > 1 else ''}")
    inspected = _inspected(run, paths, given.columns)
    inputs = list({found.sha256: found for found in inspected}.values())
    manifest = Manifest(given.manifest or given.report.parent / _MANIFEST, keeps=not run.dry_run)
    with _way(run, given, settings, identity, manifest) as way:
        entries = _taken(run, _Plan(inputs, reading, identity, manifest, given.rejects), way)
        if isinstance(way, Looking):
            way.conclude()
        _report(run, entries, straight=isinstance(way, Straight))


def _taken(run: Run, plan: _Plan, way: Way) -> list[Entry]:
    entries: list[Entry] = []
    started, moved = time.monotonic(), 0
    rows = sum(found.lines for found in plan.inputs)
    with suppress(Stopped), run.show.progress("rows", rows) as advance:
        for found in plan.inputs:
            sources = plan.reading.sources(found)
            entry = plan.manifest.entry(sources[0], found.path, datetime.now(UTC), found.lines)
            entries.append(entry)
            if way.done(sources, entry):
                run.show.say(f"{found.path}: done already")
                advance(found.lines)
                continue
            plan.manifest.save()
            rejects = Rejects(found.path, plan.rejects, keeps=not run.dry_run)
            edge = Edge(plan.identity, plan.reading.realm, entry.arrived_at)
            unread = Unread(found.path, plan.reading.columns, edge)
            apart = unread if found.long else None
            try:
                way.take(File(sources, decode(*unread), entry, rejects, advance, apart))
            finally:
                rejects.close()
                plan.manifest.save()
            moved += entry.read
            if entry.rejected:
                run.show.say(_told(entry, rejects, dry_run=run.dry_run))
    run.report.figure("rows per second", moved / max(1e-9, time.monotonic() - started))
    return entries


def _inspected(run: Run, paths: Sequence[Path], columns: str) -> list[Input]:
    for path in paths:
        try:
            read_events(path, columns)
        except ColumnsError as error:
            raise WrongArguments(f"{path}: {error}\nsay it with --columns") from None
        except EOFError as error:
            raise OSError(f"{path} is cut short: {error}") from None
    found: list[Input] = []
    with run.show.progress("bytes", None) as advance:
        for path in paths:
            if run.stopping.asked:
                raise KeyboardInterrupt
            found.append(inspect(path, advance))
    return found


@contextmanager
def _way(
    run: Run, given: argparse.Namespace, settings: Settings, identity: Identity, manifest: Manifest
) -> Iterator[Way]:
    with ExitStack() as held:
        if given.via_stream and run.dry_run:
            yield Looking(run, None, None)
        elif run.dry_run:
            registers = held.enter_context(closing(wiring_jobs.registers(settings)))
            yield Looking(run, held.enter_context(closing(wiring.ledger(settings))), Difference(registers))
        elif given.via_stream:
            producer, delays = wiring.producer(settings), Backoff().delays(random.Random())
            yield OverStream(producer, given.rate, manifest, run.stopping, delays)
        else:
            pause = pause_of(run.stopping)
            world = patiently(run, lambda: wiring_jobs.world(settings, Tally(), pause))
            held.callback(world.ledger.close)
            held.callback(world.projection.close)
            close_earlier_jobs(run, world.ledger, world.projection)
            limits = Limits(given.transaction, given.transaction)
            policy = dataclasses.replace(wiring.policy(settings), limits=limits)
            filler = Filler([world], Decoder(identity, settings.realm), policy, run.stopping)
            yield Straight(filler, world, policy, run.stopping)


def _told(entry: Entry, rejects: Rejects, *, dry_run: bool) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejects.reasons.most_common(5))
    where = "" if dry_run else f"; lines and reasons in {rejects.path}"
    return f"{entry.path}: {entry.rejected:,} of {entry.read:,} rows rejected ({reasons}){where}"


def _report(run: Run, entries: Sequence[Entry], *, straight: bool) -> None:
    report = run.report
    finished = [entry for entry in entries if entry.done or run.dry_run]
    read, accepted, rejected = (
        sum(getattr(entry, name) for entry in finished) for name in ("read", "accepted", "rejected")
    )
    report.figure("files", len(entries))
    report.figure("files done", sum(entry.done for entry in entries))
    report.figure("rows read", read)
    report.figure("rows accepted", accepted)
    report.figure("rows rejected", rejected)
    report.verdict(
        "every row is accepted or rejected",
        good=read == accepted + rejected,
        detail=f"{read:,} = {accepted:,} + {rejected:,}",
    )
    if read:
        report.verdict("some rows are events", good=accepted > 0, detail=f"{accepted:,} of {read:,}")
    if straight:
        outcomes = Counter[str]()
        for entry in finished:
            outcomes.update(entry.outcomes)
        for outcome, count in outcomes.items():
            report.figure(outcome.replace("_", "-"), count)
        # Only a transaction whose answer was lost is made again; what it had done is redelivered then.
        once = outcomes.total() - outcomes["redelivered"]
        report.verdict(
            "every accepted row is in the ledger's books",
            good=once == accepted,
            detail=f"{once:,} of {accepted:,}",
        )
    report.detail("by_file", entries)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


SCRIPT = Script(
    name="backfill",
    summary="Brings files of attempts into ledger and projection; run again, it goes on where it stopped.",
    examples=(
        "python -m scripts.backfill scores.csv.gz",
        "python -m scripts.backfill /mnt/exports --manifest /mnt/backfill.json --dry-run",
        "python -m scripts.backfill old.ndjson.zst --columns 'student_id=sid, max_score=100' --realm north",
        "python -m scripts.backfill scores.csv --via-stream --rate 2000",
    ),
    arguments=arguments,
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main())
