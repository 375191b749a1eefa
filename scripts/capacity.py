"""`python -m scripts.capacity`: what a load needs of AWS and costs a month, before anything is deployed.

The arithmetic is `deploy/capacity.py`, by which `deploy/config.py` refuses an environment as well. How well
events compress depends on whose they are, so it is measured on a sample of one's own.
"""

import argparse
import os
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from scripts.frame.script import Run, Script, WrongArguments, execute
from worker.domain import envelope
from worker.domain.errors import Poison
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.domain.identity import Identity, Key, Keyring
from worker.local.columns import ColumnsError
from worker.local.event_files import read_events

if TYPE_CHECKING:
    from deploy.capacity import Needs

_SAMPLE = 20_000
_BATCHES = (1, 20, 100, 500, 2_000)
_CERTIFIED = {
    "certificate_arn": "arn:aws:acm:ap-northeast-1:111122223333:certificate/example",
    "internal_domain": "api.internal.example.org",
}
"""What prod refuses to go without, and which changes none of its figures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _work(run: Run, arguments: argparse.Namespace) -> None:
    try:
        from deploy import capacity, config  # noqa: PLC0415 - not part of the image
    except ImportError:
        raise WrongArguments("the platform's figures are not here; run it in a checkout") from None
    _check(arguments)
    event_bytes = arguments.event_bytes
    if arguments.events is not None:
        event_bytes = _measured(run, arguments)
    workload = capacity.Workload(
        rate=arguments.rate,
        event_bytes=event_bytes,
        events_per_record=arguments.batch,
        events_per_request=0 if arguments.by_stream else arguments.request,
        states=arguments.states,
    )
    base = config.EnvConfig(suffix="plan")
    task = capacity.Task(cpu=base.worker.cpu, memory=base.worker.memory, max_leases=base.max_leases)
    found = capacity.needs(workload, task)
    report = run.report
    report.figure("events a second", arguments.rate)
    report.figure("bytes of an event in the stream", round(event_bytes, 1))
    report.figure("events of a record", arguments.batch)
    report.figure("shards", found.shards)
    report.figure("a shard would take", f"{capacity.shard_events(arguments.batch, event_bytes):,} events/s")
    report.figure("worker tasks", f"{found.tasks} of {task.cpu} CPU units and {task.memory:,} MiB")
    report.figure("worker CPU, all tasks", f"{found.worker_cores:.2f} cores")
    report.figure("Aurora, writer", f"{found.acu:g} ACU for {found.postgres_cores:.2f} cores")
    report.figure(
        "Redis", f"{found.redis_bytes / 1e6:,.0f} MB of states: {found.redis_node or 'none holds it'}"
    )
    for sentence in capacity.quotas(found, task):
        report.verdict("within the quotas of an account", good=False, detail=sentence)
    _cost(run, arguments, found, event_bytes)
    if arguments.stage:
        _compare(run, arguments, found, event_bytes)


def _cost(run: Run, arguments: argparse.Namespace, found: "Needs", event_bytes: float) -> None:
    """The bill of the smallest environment that carries the load."""
    from deploy import config, cost  # noqa: PLC0415 - not part of the image

    try:
        environment = config.dev(
            "plan",
            shards=found.shards,
            target_events_per_second=ceil(arguments.rate),
            events_per_record=arguments.batch,
            event_bytes=ceil(event_bytes),
            states=arguments.states,
            min_tasks=found.tasks,
            max_worker_tasks=found.shards,
            max_api_tasks=max(4, found.tasks),
            aurora_max_acu=found.acu,
            redis_node=found.redis_node or "cache.m7g.2xlarge",
        )
    except config.ConfigError as refused:
        for problem in refused.problems:
            run.report.verdict("an environment can be made of it", good=False, detail=problem)
        return
    lines = cost.estimate(environment, rate=arguments.rate, batch=arguments.request)
    run.report.figure(
        "US dollars a month at this rate, all month", round(sum(line.dollars for line in lines))
    )
    run.report.detail("cost", [line._asdict() for line in lines])
    run.show.say(cost.table(lines))


def _compare(run: Run, arguments: argparse.Namespace, found: "Needs", event_bytes: float) -> None:
    """Whether a stage as it is configured carries the load."""
    from deploy import capacity, config  # noqa: PLC0415 - not part of the image

    has = config.dev() if arguments.stage == "dev" else config.prod(**_CERTIFIED)
    takes = capacity.redis_takes(has.redis_node) or 0
    planned = capacity.planned_events(has.shards, arguments.batch, event_bytes)
    for claim, good, detail in (
        ("shards", planned >= arguments.rate, f"{has.shards} of {found.shards}"),
        ("worker tasks", has.max_worker_tasks >= found.tasks, f"{has.max_worker_tasks} of {found.tasks}"),
        ("Aurora", has.aurora_max_acu >= found.acu, f"{has.aurora_max_acu:g} of {found.acu:g} ACU"),
        ("Redis", takes >= found.redis_bytes, f"{takes / 1e6:,.0f} of {found.redis_bytes / 1e6:,.0f} MB"),
    ):
        run.report.verdict(f"{arguments.stage} has enough: {claim}", good=good, detail=detail)


def _check(arguments: argparse.Namespace) -> None:
    """What argparse cannot say.

    Raises:
        WrongArguments: a figure that is none.
    """
    for name in ("rate", "event_bytes", "batch", "request", "states"):
        if getattr(arguments, name) < 1:
            raise WrongArguments(f"--{name.replace('_', '-')} is at least 1")
    if arguments.batch > envelope.PACK_EVENTS:
        raise WrongArguments(f"--batch: a record holds at most {envelope.PACK_EVENTS:,} events")


def _measured(run: Run, arguments: argparse.Namespace) -> float:
    """Bytes an event of the sample, in records of the given batch."""
    try:
        events = list(islice(_sample(arguments.events, arguments.columns), _SAMPLE))
    except (ColumnsError, ValueError) as error:
        raise WrongArguments(f"--events: {error}") from None
    if not events:
        raise WrongArguments("--events: not one row of the file is a valid event")
    # files are sorted by people, streams are not: what stands beside its like compresses too well
    random.Random(1).shuffle(events)
    sizes = {batch: bytes_an_event(events, batch) for batch in sorted({*_BATCHES, arguments.batch})}
    for batch, size in sizes.items():
        run.show.say(f"{batch:>6,} events a record: {size:7.1f} bytes an event")
    run.report.figure("events of the sample", len(events))
    run.report.detail("bytes_an_event_by_batch", sizes)
    return sizes[arguments.batch]


def bytes_an_event(events: Sequence[ScoreEvent], batch: int) -> float:
    """What an event adds to the stream in envelopes of so many events, by the product's own packing."""
    parts = [events[start : start + batch] for start in range(0, len(events), batch)]
    # a last envelope that is nearly empty says nothing about full ones
    whole = [part for part in parts if len(part) == batch] or parts
    return sum(len(envelope.seal(part)) for part in whole) / sum(map(len, whole))


def _sample(path: Path, columns: str) -> Iterator[ScoreEvent]:
    """The valid events of a file, under pseudonyms of a key that nobody keeps."""
    identity = Identity(Keyring("sample", {"sample": Key(os.urandom(32), os.urandom(64))}))
    now = datetime.now(UTC)
    for row in read_events(path, columns):
        raw = row.event if isinstance(row.event, bytes) else orjson.dumps(row.event)
        try:
            parsed = native.parse(raw)
            yield native.canonical(parsed, sealed_id=None, identity=identity, realm="default", arrived_at=now)
        except Poison:
            continue


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, required=True, help="events a second at the busiest time")
    parser.add_argument("--batch", type=int, default=20, help="events of a record (default: %(default)s)")
    parser.add_argument("--request", type=int, default=100, help="events of a post (default: %(default)s)")
    parser.add_argument("--by-stream", action="store_true", help="nothing is posted")
    parser.add_argument("--states", type=int, default=200_000, help="students times their courses")
    parser.add_argument("--event-bytes", type=float, default=200, help="if no sample is given")
    parser.add_argument("--events", type=Path, metavar="FILE", help="a sample of your own events")
    parser.add_argument("--columns", default="", help="where the fields come from, as for `make demo`")
    parser.add_argument("--stage", choices=("dev", "prod"), help="whether it carries the load")


SCRIPT = Script(
    name="capacity",
    summary="Shards, tasks, ACU, Redis memory and cost of a load, and the quotas that it hits.",
    examples=(
        "python -m scripts.capacity --rate 5000",
        "python -m scripts.capacity --rate 20000 --events scores.csv.gz --batch 100 --states 2000000",
        "python -m scripts.capacity --rate 5000 --stage prod    # exit code 1 if prod does not carry it",
    ),
    arguments=_arguments,
    work=_work,
)

if __name__ == "__main__":
    raise SystemExit(main())
