"""The record processor that everybody begins with: amazon_kclpy's sample, with a database in its middle.

The sample is a loop over the records of a call, a method for one record ("insert your processing logic
here"), and a checkpoint once a minute, tried five times. `--way record` puts there what most people put:
decode the JSON, one INSERT, committed, and one round trip to Redis that appends to the student's last
scores. `--way batch` is the best that the same callbacks allow without a protocol of one's own: a COPY in
one transaction and one Redis pipeline a call.

It gets one event a record as plain JSON, or our envelopes (`--envelopes`), which it opens as simply as can
be. It runs on the product's own versions of amazon_kclpy, psycopg and redis, so that no library decides.

What it leaves out: an event delivered twice counts twice, in PostgreSQL and in Redis; a regrade is a second
row and a void a third; the last scores are those that arrived last, not those that happened last; there are
no windows, no pseudonyms, no erasure; a record that is no JSON, or a database that is away, raises, and
kclpy reports the call as done all the same, so that the next checkpoint loses its records.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import redis
import zstandard
from amazon_kclpy import kcl

_COLUMNS = "student_id, course_id, item_id, attempt, score, max_score, occurred_at, graded_at, kind"
INSERT = f"INSERT INTO peers.scores ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608
COPY = f"COPY peers.scores ({_COLUMNS}) FROM STDIN"
KEPT = 20

Event = dict[str, Any]
Row = tuple[object, ...]


class Sample:
    """The sample's callbacks around whatever `store` does with the records of a call."""

    version = 3
    _RETRIES, _SLEEP_SECONDS, _EVERY_SECONDS = 5, 5, 60

    def __init__(self, database_url: str, redis_url: str, *, envelopes: bool) -> None:
        # a commit for each statement, as in every tutorial; a batch makes its own transaction
        self.connection = psycopg.connect(database_url, autocommit=True)
        self.redis = redis.Redis.from_url(redis_url)
        self._envelopes = envelopes
        self._largest: tuple[int, int] | None = None
        self._checkpointed = 0.0

    def initialize(self, _call: Any) -> None:
        self._checkpointed = time.time()

    def process_records(self, call: Any) -> None:
        self.store([record.binary_data for record in call.records])
        for record in call.records:
            at = int(record.sequence_number), record.sub_sequence_number
            if self._largest is None or at > self._largest:
                self._largest = at
        if self._largest is not None and time.time() - self._checkpointed > self._EVERY_SECONDS:
            self._checkpoint(call.checkpointer, str(self._largest[0]), self._largest[1])
            self._checkpointed = time.time()

    def lease_lost(self, _call: Any) -> None:
        pass

    def shard_ended(self, call: Any) -> None:
        call.checkpointer.checkpoint()

    def shutdown_requested(self, call: Any) -> None:
        call.checkpointer.checkpoint()

    def store(self, records: Sequence[bytes]) -> None:
        """One event at a time."""
        for data in records:
            for event in opened(data, envelopes=self._envelopes):
                self.connection.execute(INSERT, row(event))
                if event.get("score") is not None:
                    pipeline = self.redis.pipeline(transaction=False)
                    append(pipeline, event)
                    pipeline.execute()

    def _checkpoint(self, checkpointer: Any, sequence: str, sub_sequence: int) -> None:
        for _ in range(self._RETRIES):
            try:
                checkpointer.checkpoint(sequence, sub_sequence)
            except kcl.CheckpointError as error:
                if error.value == "ShutdownException":
                    return
                time.sleep(self._SLEEP_SECONDS)
            else:
                return


class Batched(Sample):
    """One transaction and one pipeline for all records of a call."""

    def store(self, records: Sequence[bytes]) -> None:
        events = [event for data in records for event in opened(data, envelopes=self._envelopes)]
        with (
            self.connection.transaction(),
            self.connection.cursor() as cursor,
            cursor.copy(COPY) as copy,
        ):
            for event in events:
                copy.write_row(row(event))
        pipeline = self.redis.pipeline(transaction=False)
        for event in events:
            if event.get("score") is not None:
                append(pipeline, event)
        pipeline.execute()


def opened(data: bytes, *, envelopes: bool) -> Iterator[Event]:
    """The events of one record."""
    if not envelopes:
        yield json.loads(data)
        return
    lines = zstandard.ZstdDecompressor().decompress(data).split(b"\n")
    yield from map(json.loads, lines[1:])


def row(event: Event) -> Row:
    """The event as a row; an envelope names the student by a pseudonym."""
    return (
        event.get("student_id") or event["student_key"],
        event["course_id"],
        event["item_id"],
        event.get("attempt"),
        event.get("score"),
        event.get("max_score"),
        event["occurred_at"],
        event.get("graded_at"),
        event.get("kind", "scored"),
    )


def append(pipeline: Any, event: Event) -> None:
    """The last scores of the student in the course: their mean is a reader's one command away."""
    key = f"{event.get('student_id') or event['student_key']}:{event['course_id']}"
    pipeline.rpush(key, event["score"])
    pipeline.ltrim(key, -KEPT, -1)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the daemon on stdin and stdout until it closes them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.kclpy_sample",
        description=__doc__,
        epilog="DATABASE_URL and REDIS_URL name the sinks; the table is made by benchmarks.peers.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--way", choices=("record", "batch"), default="record", help="(default: %(default)s)")
    parser.add_argument("--envelopes", action="store_true", help="the records are our envelopes")
    arguments = parser.parse_args(argv)
    kind = Batched if arguments.way == "batch" else Sample
    try:
        sinks = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    except KeyError as missing:
        parser.error(f"{missing.args[0]} is not set")
    kcl.KCLProcess(kind(*sinks, envelopes=arguments.envelopes)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
