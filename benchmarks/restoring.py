"""A stream whose past the ledger does not have, as after a restore: what a replay is for."""

from datetime import UTC, datetime, timedelta

import psycopg

from worker import wiring
from worker.domain.event import ScoreEvent
from worker.local.cloud import aws_client
from worker.local.session import APPLICATION, STREAM, Session
from worker.settings import Settings

STUDENTS = 20_000


def fill(settings: Settings, events: int) -> None:
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


def begin_behind(session: Session, settings: Settings) -> None:
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
