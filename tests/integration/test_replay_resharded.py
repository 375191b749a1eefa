"""`scripts.replay` on a Kinesis whose shards end: split and merged, read parents first, once each."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.replay import main
from tests.faults import kinesis_local
from tests.integration.operated import System, some_events
from worker.local.stack import Stack

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"


@pytest.fixture
def system(stack: Stack, database: str, tmp_path: Path) -> Iterator[System]:
    with kinesis_local.serving(kinesis_local.installed(), tmp_path / "kinesis") as url:
        system = System(stack, database, tmp_path, url)
        yield system
        system.close()


def reshard(system: System, call: str, **arguments: str) -> None:
    getattr(system.kinesis, call)(StreamName=system.stream, **arguments)
    system.kinesis.get_waiter("stream_exists").wait(
        StreamName=system.stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def test_a_stream_that_was_split_and_merged_is_replayed_once_and_whole(system: System) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=1)
    send = system.edges.producer.send
    send(some_events(200))
    reshard(system, "split_shard", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    send(some_events(200, seed=1_000))
    reshard(
        system,
        "merge_shards",
        ShardToMerge="shardId-000000000003",
        AdjacentShardToMerge=SECOND,
    )
    send(some_events(200, seed=2_000))
    ended = datetime.now(UTC) + timedelta(milliseconds=50)
    while datetime.now(UTC) < ended:
        pass
    span = ("--from", begun.isoformat(), "--to", ended.isoformat(), "--share", "1")
    code, report = system.run(main, *span)
    assert code == 0
    assert report["figures"]["events read"] == 600
    assert system.counters("replay:")["applied"] == len(system.rows()) == 540
    assert len(system.execute("SELECT 1 FROM source_progress")) > 2, "children were read too"
    assert system.projected()
    code, report = system.run(main, *span)
    assert (code, report["figures"]["events read"]) == (0, 0)
