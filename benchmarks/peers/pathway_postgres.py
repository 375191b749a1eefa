"""Pathway 0.33 as its documentation shows it: a Rust engine reads a stream, reduces it, writes PostgreSQL.

`--source kinesis` is the connector one would use (`pw.io.kinesis.read`). It asks for a licence key, which
is given to whoever registers; without one it ends at once and says so, and then this peer is not run that
way. `--source files` reads the same JSON from files that appear in a folder (`pw.io.jsonlines.read`): the
engine's own reader and parser, and no Kinesis at all, neither HTTP nor base64, so it is the best that
Pathway can be. `--source poll` reads Kinesis without a licence, by a connector of one's own as the
documentation of `pw.io.python` shows: a thread with boto3.

`--work rows` writes a stream of changes, one row an event. `--work means` adds what Pathway is good at: the
mean and the number of each student's scores in each course, kept up to date in a snapshot table. `--work
registers` comes as near to our work as is simple: the last grading of each attempt stands in a snapshot
table, voids and copies included, and the mean of each student's last 20 standing attempts in another. Its
telemetry is off and its state is kept in memory: with persistence it would do more.

What it leaves out: Redis, for which it has no connector; windows of days; pseudonyms, erasure, dead
letters, counters that close. With rows and means a correction counts as a further score, a copy twice.
Without a licence for enterprises it promises at least once, and without persistence a restart begins anew.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIELDS = {"student_id": str, "course_id": str, "item_id": str, "attempt": int, "occurred_at": str}
_OPTIONAL: Mapping[str, Any] = {"score": float | None, "max_score": float | None, "graded_at": str | None}
STATE = ("student_id", "course_id")
KEY = (*STATE, "item_id", "attempt")
KEPT = 20
_POLL_SECONDS = 0.25
"""As often as the KCL daemon polls for our shard process."""
_AT_ONCE = 1_000


def settings(text: str) -> dict[str, str]:
    """`key=value key=value` as the mapping that pw.io.postgres takes."""
    return dict(part.split("=", 1) for part in text.split())


def schema(pw: Any) -> Any:
    """The fields of an event."""
    columns = {name: pw.column_definition(dtype=kind) for name, kind in FIELDS.items()}
    columns |= {name: pw.column_definition(dtype=t, default_value=None) for name, t in _OPTIONAL.items()}
    columns["kind"] = pw.column_definition(dtype=str, default_value="scored")
    return pw.schema_builder(columns, name="Score")


def source(pw: Any, arguments: argparse.Namespace) -> Any:
    """The table of events."""
    commit = {"autocommit_duration_ms": arguments.autocommit_ms}
    if arguments.source == "kinesis":
        return pw.io.kinesis.read(arguments.stream, schema=schema(pw), format="json", **commit)
    if arguments.source == "files":
        return pw.io.jsonlines.read(arguments.folder, schema=schema(pw), mode="streaming", **commit)
    return pw.io.python.read(_poller(pw, arguments.stream), schema=schema(pw), **commit)


def _poller(pw: Any, stream: str) -> Any:
    class Poller(pw.io.python.ConnectorSubject):  # type: ignore[misc]
        """Reads the stream's first shard from its beginning, for ever."""

        deletions_enabled = False

        def run(self) -> None:
            import boto3

            client = boto3.client("kinesis")
            shard = client.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
            where = {"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
            iterator = client.get_shard_iterator(**where)["ShardIterator"]
            while True:
                page = client.get_records(ShardIterator=iterator, Limit=_AT_ONCE)
                iterator = page["NextShardIterator"]
                for record in page["Records"]:
                    self.next(**json.loads(record["Data"]))
                if len(page["Records"]) < _AT_ONCE:
                    time.sleep(_POLL_SECONDS)

    return Poller()


def build(pw: Any, arguments: argparse.Namespace) -> None:
    """The whole program."""
    postgres = settings(arguments.postgres)
    events = source(pw, arguments)
    if arguments.work == "registers":
        attempts = registers(pw, events)
        _snapshot(pw, attempts, postgres, "pathway_attempts", KEY)
        _snapshot(pw, windows(pw, attempts), postgres, "pathway_windows", STATE)
        return
    pw.io.postgres.write(events, postgres, "pathway_scores", schema_name="peers")
    if arguments.work == "means":
        _snapshot(pw, means(pw, events), postgres, "pathway_means", STATE)


def means(pw: Any, events: Any) -> Any:
    """Of each student and course the mean of all scores."""
    scored = events.filter(pw.this.score.is_not_none())
    scored = scored.select(pw.this.student_id, pw.this.course_id, score=pw.unwrap(pw.this.score))
    return scored.groupby(pw.this.student_id, pw.this.course_id).reduce(
        pw.this.student_id,
        pw.this.course_id,
        mean=pw.reducers.avg(pw.this.score),
        scores=pw.reducers.count(),
    )


def registers(pw: Any, events: Any) -> Any:
    """Of each attempt the last grading; texts of one form, less their Z, are ordered as their times are."""
    graded = pw.coalesce(events.graded_at, events.occurred_at).str.replace("Z", "")
    gradings = events.select(
        *(pw.this[name] for name in KEY),
        occurred_at=pw.this.occurred_at.str.replace("Z", ""),
        grading=pw.make_tuple(graded, pw.this.kind == "voided", pw.coalesce(pw.this.score, -1.0)),
    )
    last = gradings.groupby(*(pw.this[name] for name in KEY)).reduce(
        *(pw.this[name] for name in KEY),
        occurred_at=pw.reducers.min(pw.this.occurred_at),
        last=pw.reducers.max(pw.this.grading),
    )
    return last.select(
        *(pw.this[name] for name in KEY),
        pw.this.occurred_at,
        graded_at=pw.this.last[0],
        voided=pw.this.last[1],
        score=pw.this.last[2],
    )


def windows(pw: Any, attempts: Any) -> Any:
    """Of each student and course the mean of the last 20 attempts that stand."""

    def mean_of_last(scores: tuple[tuple[str, float], ...]) -> float:
        last = [score for _, score in scores[-KEPT:]]
        return sum(last) / len(last)

    standing = attempts.filter(~pw.this.voided & (pw.this.score >= 0))
    found = standing.groupby(pw.this.student_id, pw.this.course_id).reduce(
        pw.this.student_id,
        pw.this.course_id,
        scores=pw.reducers.sorted_tuple(pw.make_tuple(pw.this.occurred_at, pw.this.score)),
    )
    return found.select(
        pw.this.student_id, pw.this.course_id, mean=pw.apply_with_type(mean_of_last, float, pw.this.scores)
    )


def _snapshot(pw: Any, table: Any, postgres: dict[str, str], name: str, key: Sequence[str]) -> None:
    pw.io.postgres.write(
        table,
        postgres,
        name,
        schema_name="peers",
        output_table_type="snapshot",
        primary_key=[table[column] for column in key],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run until ended by a signal; 2 where a part of it is not to be had."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.pathway_postgres",
        description=__doc__,
        epilog="AWS_ENDPOINT_URL and AWS_REGION name the stream's server; benchmarks.peers makes the tables.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", choices=("kinesis", "files", "poll"), default="kinesis")
    parser.add_argument("--stream", default="peers", help="its name (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where files appear, with --source files")
    parser.add_argument("--postgres", required=True, help="'host=... dbname=... user=...'")
    parser.add_argument(
        "--work", choices=("rows", "means", "registers"), default="rows", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--autocommit-ms", type=int, default=1500, help="(default: %(default)s, Pathway's own)"
    )
    arguments = parser.parse_args(argv)
    os.environ.pop("PATHWAY_MONITORING_SERVER", None)
    import pathway as pw

    try:
        build(pw, arguments)
    except RuntimeError as refused:
        print(" ".join(str(refused).split()), file=sys.stderr)
        return 2
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
