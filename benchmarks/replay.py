"""`python -m benchmarks.replay`: what a replay costs the live traffic beside it.

A stream is filled with events that the ledger does not have, as after a restore, and the live worker is set
to begin behind them. Then live traffic alone, then live traffic beside a replay of those events. A probe,
one student who sends an attempt every few milliseconds, is timed from the sending until Redis shows it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from tests.faults.load import Load
from worker import wiring
from worker.domain import window
from worker.domain.event import ScoreEvent
from worker.local.cloud import aws_client
from worker.local.edges import Edges
from worker.local.session import APPLICATION, STREAM, Session, Task
from worker.local.watching import position, wait_for
from worker.settings import Settings, load

STUDENTS = 20_000
PROBES_A_SECOND = 20
LOOK_SECONDS = 0.004


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when the live p99 stayed within twice its normal, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="to replay (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=1_000, help="live events a second (default: %(default)s)")
    parser.add_argument("--share", default="0.4", help="of the replay (default: %(default)s)")
    parser.add_argument("--normal", type=float, default=30, help="seconds without it (default: %(default)s)")
    parser.add_argument("--most", type=float, default=600, help="seconds beside it (default: %(default)s)")
    parser.add_argument("--quiet", type=Path, help="made while measuring, to keep others away")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, Session(Path(folder), say) as session:
        settings = load(session.environment)
        begun = datetime.now(UTC) - timedelta(seconds=1)
        _fill(settings, arguments.events)
        ended = datetime.now(UTC)
        _begin_behind(session, settings)
        quiet: Path | None = arguments.quiet
        if quiet is not None:
            quiet.touch()
        try:
            return _measure(session, settings, (begun, ended), arguments)
        finally:
            if quiet is not None:
                quiet.unlink(missing_ok=True)


def _fill(settings: Settings, events: int) -> None:
    """The history: so many attempts of students whom live traffic does not know."""
    edges = wiring.edges(settings)
    students = [edges.identity.identify(f"former-{n}", edges.realm) for n in range(STUDENTS)]
    start = datetime.now(UTC) - timedelta(days=20)
    for first in range(0, events, 4_000):
        edges.producer.send(
            [
                ScoreEvent(
                    *students[n * 7 % STUDENTS],
                    course_id=f"former-{n % 20}",
                    item_id=f"item-{n // STUDENTS}",
                    score=float(n % 101),
                    max_score=100.0,
                    occurred_at=start + timedelta(seconds=n),
                    graded_at=start + timedelta(seconds=n),
                    attempt=n // STUDENTS,
                )
                for n in range(first, min(events, first + 4_000))
            ]
        )
    edges.close()
    say(f"{events:,} events lie in the stream")


def _begin_behind(session: Session, settings: Settings) -> None:
    """Leases and ledger as if the live worker had read all that."""
    endpoint = session.stack.endpoints.aws_endpoint_url
    kinesis, dynamodb = aws_client("kinesis", endpoint), aws_client("dynamodb", endpoint)
    prefix = wiring.stream_prefix(settings)()
    with psycopg.connect(session.stack.endpoints.database_url, autocommit=True) as connection:
        for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
            where = {"StreamName": STREAM, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator, last = kinesis.get_shard_iterator(**where)["ShardIterator"], "0"
            while records := (page := kinesis.get_records(ShardIterator=iterator))["Records"]:
                iterator, last = page["NextShardIterator"], records[-1]["SequenceNumber"]
            dynamodb.update_item(
                TableName=APPLICATION,
                Key={"leaseKey": {"S": shard["ShardId"]}},
                UpdateExpression="SET checkpoint = :c",
                ExpressionAttributeValues={":c": {"S": last}},
            )
            connection.execute(
                "INSERT INTO source_progress (source, seq, sub) VALUES (%s, %s, 0)",
                [f"{prefix}:{shard['ShardId']}", last],
            )


class Probe(threading.Thread):
    """Sends one student's attempts and times each until Redis shows it."""

    def __init__(self, edges: Edges) -> None:
        super().__init__(name="probe", daemon=True)
        self._edges = edges
        self._sent: list[float] = []
        self._shown = 0
        self._ended = threading.Event()
        self.seconds: list[tuple[float, float]] = []
        """(when it was sent, how long it took)."""

    def run(self) -> None:
        identified = self._edges.identity.identify("probe", self._edges.realm)
        key = self._edges.key("probe", "probe")
        begun = time.monotonic()
        while not self._ended.is_set():
            now = time.monotonic()
            if len(self._sent) < (now - begun) * PROBES_A_SECOND:
                moment = datetime.now(UTC)
                self._sent.append(now)
                event = ScoreEvent(
                    *identified, "probe", "probe", 1.0, 1.0, moment, moment, attempt=len(self._sent)
                )
                self._edges.producer.send([event])
            (value,) = self._edges.projection.states([key])
            if value is not None and value[:1] == b"S":
                total = window.unpack(value[window.HEADER_SIZE :]).total
                while self._shown < total:
                    sent = self._sent[self._shown]
                    self.seconds.append((sent, time.monotonic() - sent))
                    self._shown += 1
            self._ended.wait(LOOK_SECONDS)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def between(self, first: float, last: float) -> list[float]:
        return sorted(took for sent, took in self.seconds if first <= sent < last)


def _measure(
    session: Session, settings: Settings, span: tuple[datetime, datetime], arguments: argparse.Namespace
) -> int:
    task: Task = session.start_task()
    edges, watching, probing = wiring.edges(settings), wiring.edges(settings), wiring.edges(settings)
    live = Load(edges, arguments.rate)
    live.start()
    wait_for(
        lambda: position(watching.ledger).accounting.read > 5 * arguments.rate,
        task,
        seconds=120,
        what="a steady load",
    )
    probe = Probe(probing)
    probe.start()
    time.sleep(3)
    normal = time.monotonic()
    time.sleep(arguments.normal)
    beside = time.monotonic()
    say("normal: " + told(probe.between(normal, beside)))
    report = session.directory / "replay.json"
    command = [
        sys.executable,
        "-m",
        "scripts.replay",
        "--from",
        span[0].isoformat(),
        "--to",
        span[1].isoformat(),
    ]
    replay = subprocess.Popen(
        [*command, "--share", arguments.share, "--report", str(report)],
        env={**os.environ, **session.environment},
    )
    try:
        code: int | str = replay.wait(arguments.most)
    except subprocess.TimeoutExpired:
        replay.terminate()
        code = f"{replay.wait(60)}, stopped after {arguments.most:.0f} s"
    ended = time.monotonic()
    time.sleep(2)
    probe.end()
    live.stop()
    before, meanwhile = probe.between(normal, beside), probe.between(beside, ended)
    figures = json.loads(report.read_bytes())["figures"]
    read = figures["events read"]
    say(f"replay: exit {code}, {read:,} events in {ended - beside:.1f} s, {read / (ended - beside):,.0f}/s")
    say(f"live: {live.rate:,.0f} events/s offered and taken, late {live.late_seconds:.2f} s")
    say("normal: " + told(before))
    say("beside: " + told(meanwhile))
    for one in (edges, watching, probing):
        one.close()
    return 0 if quantile(meanwhile, 0.99) <= 2 * quantile(before, 0.99) else 1


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def told(ascending: Sequence[float]) -> str:
    """Quantiles of the probe's times."""
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    quantiles = ", ".join(f"{name} {quantile(ascending, share):.3f} s" for name, share in named.items())
    return f"{len(ascending)} probes, {quantiles}, mean {statistics.mean(ascending):.3f} s"


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
