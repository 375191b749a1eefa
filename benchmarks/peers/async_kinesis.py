"""async-kinesis 3.0 as its guides show it: `async for` over a consumer, with a checkpoint in Redis.

`--way record` handles each message when it comes: one INSERT, committed, and one round trip to Redis.
`--way batch` collects messages in a list as the guide's archival consumer does (every 500, or when the
stream falls silent) and stores them by one COPY and one Redis pipeline. `--way list` reads records that
hold a JSON list of events each (JsonListProcessor, which the README recommends for the highest throughput)
and stores each list that way.

asyncpg writes to PostgreSQL, the fastest driver there is for asyncio. The consumer polls as the library
does by default, once a second and not for two seconds after an empty answer; `--fast` polls five times a
second, the most that Kinesis allows, and hardly waits.

What it leaves out: the same as the sample of amazon_kclpy. Besides, its checkpoints follow what was taken
from its queue: a list that is still being filled is lost by a crash, and so are the records of a poll
behind one for which the queue has no room for 30 seconds.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

INSERT = (
    "INSERT INTO peers.scores "
    "(student_id, course_id, item_id, attempt, score, max_score, occurred_at, graded_at, kind) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
COLUMNS = (
    "student_id",
    "course_id",
    "item_id",
    "attempt",
    "score",
    "max_score",
    "occurred_at",
    "graded_at",
    "kind",
)
KEPT = 20
BATCH = 500

Event = dict[str, Any]


class Sinks:
    """A connection to each server."""

    def __init__(self, postgres: Any, redis: Any) -> None:
        self._postgres = postgres
        self._redis = redis

    async def one(self, event: Event) -> None:
        """Store one event."""
        await self._postgres.execute(INSERT, *row(event))
        if event.get("score") is not None:
            pipeline = self._redis.pipeline(transaction=False)
            append(pipeline, event)
            await pipeline.execute()

    async def many(self, events: Sequence[Event]) -> None:
        """Store many in one transaction and one pipeline."""
        if not events:
            return
        rows = [row(event) for event in events]
        await self._postgres.copy_records_to_table(
            "scores", schema_name="peers", columns=COLUMNS, records=rows
        )
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            if event.get("score") is not None:
                append(pipeline, event)
        await pipeline.execute()


def row(event: Event) -> tuple[object, ...]:
    """The event as a row."""
    graded_at = event.get("graded_at")
    return (
        event["student_id"],
        event["course_id"],
        event["item_id"],
        event.get("attempt"),
        event.get("score"),
        event.get("max_score"),
        datetime.fromisoformat(event["occurred_at"]),
        None if graded_at is None else datetime.fromisoformat(graded_at),
        event.get("kind", "scored"),
    )


def append(pipeline: Any, event: Event) -> None:
    """The last scores of the student in the course."""
    key = f"{event['student_id']}:{event['course_id']}"
    pipeline.rpush(key, event["score"])
    pipeline.ltrim(key, -KEPT, -1)


async def consume(stream: str, way: str, *, fast: bool) -> None:
    """Until cancelled."""
    import asyncpg
    import redis.asyncio
    from kinesis import Consumer, JsonListProcessor, JsonProcessor, RedisCheckPointer

    postgres = await asyncpg.connect(os.environ["DATABASE_URL"])
    sinks = Sinks(postgres, redis.asyncio.Redis.from_url(os.environ["REDIS_URL"]))
    quick = {"shard_fetch_rate": 5, "sleep_time_no_records": 0.05, "idle_timeout": 0.05} if fast else {}
    async with Consumer(
        stream_name=stream,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
        region_name=os.environ.get("AWS_REGION"),
        checkpointer=RedisCheckPointer(name="peers"),
        processor=JsonListProcessor() if way == "list" else JsonProcessor(),
        **quick,
    ) as consumer:
        while True:  # the iteration ends whenever the stream has been silent for a while
            batch: list[Event] = []
            async for message in consumer:
                if way == "record":
                    await sinks.one(message)
                elif way == "list":
                    await sinks.many(message)
                else:
                    batch.append(message)
                    if len(batch) >= BATCH:
                        await sinks.many(batch)
                        batch.clear()
            await sinks.many(batch)


def main(argv: Sequence[str] | None = None) -> int:
    """Consume until ended by a signal."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.async_kinesis",
        description=__doc__,
        epilog="DATABASE_URL, REDIS_URL, REDIS_HOST, REDIS_PORT, REDIS_DB, AWS_ENDPOINT_URL: the servers.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stream", required=True, help="its name")
    parser.add_argument(
        "--way", choices=("record", "batch", "list"), default="record", help="(default: %(default)s)"
    )
    parser.add_argument("--fast", action="store_true", help="poll as often as Kinesis allows")
    arguments = parser.parse_args(argv)
    if missing := [name for name in ("DATABASE_URL", "REDIS_URL") if name not in os.environ]:
        parser.error(f"{' and '.join(missing)} not set")
    asyncio.run(consume(arguments.stream, arguments.way, fast=arguments.fast))
    return 0


if __name__ == "__main__":
    sys.exit(main())
