"""A range of the stream through pipelines of the job's own sources, one a shard."""

from collections.abc import Mapping

from scripts.frame.script import Run
from scripts.replaying.course import Course, seconds
from worker import wiring_jobs
from worker.batch import Source
from worker.domain.accounting import Accounting, Outcome
from worker.domain.position import ORIGIN, Position
from worker.ports import Progress
from worker.settings import Settings
from worker.stream.checkpointing import Nowhere
from worker.stream.pipeline import Pipeline, World
from worker.stream.replaying import Replay


def sources(world: World, prefix: str) -> Mapping[Source, Progress]:
    """The job's sources, closed ones included."""
    found = world.ledger.progress()
    return {source: progress for source, progress in found.items() if source.startswith(f"{prefix}:")}


def reached(sources: Mapping[Source, Progress]) -> Mapping[str, Position]:
    """By shard the position up to which an earlier run is done, projection included."""
    return {
        source.rpartition(":")[2]: progress.projected
        for source, progress in sources.items()
        if progress.projected != ORIGIN
    }


def send(run: Run, settings: Settings, world: World, replay: Replay, prefix: str) -> None:
    """Replay until done or asked to stop; every position that was reached is stored then."""
    pipelines: dict[str, Pipeline] = {}
    trimmed: list[str] = []
    run.show.say(f"job {prefix.partition(':')[2]}, {len(replay.shards)} shards")
    with run.show.progress("seconds of shards", seconds(replay.span) * len(replay.shards)) as advance:
        course = Course(replay.span, advance)
        for turn in replay.turns():
            if run.stopping.asked:
                break
            if turn.trimmed:
                trimmed.append(turn.shard_id)
            if turn.records and turn.shard_id not in pipelines:
                source = f"{prefix}:{turn.shard_id}"
                pipelines[turn.shard_id] = wiring_jobs.pipeline(settings, source, world)
                pipelines[turn.shard_id].open(None)
            if turn.records:
                pipelines[turn.shard_id].process(turn.records)
                pipelines[turn.shard_id].settle(Nowhere())
            if turn.done and turn.shard_id in pipelines:
                pipeline = pipelines.pop(turn.shard_id)
                pipeline.finish()
                pipeline.settle(Nowhere(), at_once=True)
            course.take(turn)
    for pipeline in pipelines.values():
        pipeline.settle(Nowhere(), at_once=True)
    gaps = f"trimmed where an earlier run ended: {', '.join(trimmed)}" if trimmed else ""
    run.report.verdict("nothing was trimmed between two runs", good=not trimmed, detail=gaps)


def account(
    run: Run, prefix: str, before: Mapping[Source, Progress], after: Mapping[Source, Progress]
) -> None:
    """What this run did, from the ledger's own counters."""
    done = Accounting()
    for source, progress in after.items():
        earlier = before.get(source)
        done += progress.accounting if earlier is None else progress.accounting - earlier.accounting
    run.report.figure("job", prefix.partition(":")[2])
    run.report.figure("events read", done.read)
    for outcome in Outcome:
        run.report.figure(f"events {outcome.value}", done[outcome])
    run.report.verdict(
        "every event is accounted for", good=done.closes, detail=f"{done.accounted:,} of {done.read:,}"
    )
    if not run.stopping.asked:
        behind = [source for source, progress in after.items() if progress.projected != progress.committed]
        run.report.verdict("everything committed is projected", good=not behind)
        if not done.read and before:
            run.show.say("an earlier run of this job has replayed this range; --job NAME replays it anew")
