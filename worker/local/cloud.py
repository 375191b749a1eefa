"""What a deployment would have made in the AWS account before the first worker starts, made in the emulator.

KCL would create its tables itself, slowly: it polls for its index every 10 s, and an empty lease table makes
it wait 1-30 s and then sync. Tables and lease rows that are already there save 20 s of the very first start.
"""

from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config

from worker.local.platform import PLATFORM

REGION = "us-east-1"
ANY_KEY = "test"  # the emulator asks for credentials and accepts all

_SOON = {"Delay": 1, "MaxAttempts": 60}


def aws_client(service: str, endpoint_url: str, *, attempts: int = 3) -> Any:
    """A boto3 client for a service of the emulator; each request is tried `attempts` times of 5 s."""
    return boto3.session.Session().client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ANY_KEY,
        aws_secret_access_key=ANY_KEY,
        # A proxy of the user's shell has no business between two processes of one machine.
        config=Config(
            connect_timeout=5, read_timeout=5, retries={"total_max_attempts": attempts}, proxies={}
        ),
    )


class Cloud:
    """The stream and the three tables of one application. Every step may be repeated: what is there stays."""

    def __init__(self, kinesis: Any, dynamodb: Any) -> None:
        self._kinesis = kinesis
        self._dynamodb = dynamodb

    @classmethod
    def at(cls, endpoint_url: str, kinesis_url: str | None = None) -> "Cloud":
        """The cloud of the emulator at `endpoint_url`; its Kinesis may be another's, at `kinesis_url`."""
        return cls(aws_client("kinesis", kinesis_url or endpoint_url), aws_client("dynamodb", endpoint_url))

    def create_stream(self, name: str, *, shards: int) -> None:
        """Creates a stream and returns when it is active; one of that name is left with the shards it has."""
        with suppress(self._kinesis.exceptions.ResourceInUseException):
            self._kinesis.create_stream(StreamName=name, ShardCount=shards)
        self._kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig=_SOON)

    def create_kcl_tables(self, application: str) -> None:
        """Creates KCL's tables as the platform's template has them: leases, coordinator, worker metrics."""
        for table in PLATFORM.kcl_tables(application):
            with suppress(self._dynamodb.exceptions.ResourceInUseException):
                self._dynamodb.create_table(**table)
            self._dynamodb.get_waiter("table_exists").wait(TableName=table["TableName"], WaiterConfig=_SOON)

    def seed_leases(self, application: str, stream: str) -> int:
        """Writes a lease row for each shard that has none, to be read from its beginning; returns how many.

        A stream that was ever resharded is left to KCL: only KCL knows which parents are read to their end,
        and a row for one that is would make a worker read it all again.
        """
        pages = self._kinesis.get_paginator("list_shards").paginate(StreamName=stream)
        shards = [shard for page in pages for shard in page["Shards"]]
        if any("ParentShardId" in s or "EndingSequenceNumber" in s["SequenceNumberRange"] for s in shards):
            return 0
        return sum(self._seed_lease(application, shard) for shard in shards)

    def _seed_lease(self, application: str, shard: dict[str, Any]) -> bool:
        lease = {
            "leaseKey": {"S": shard["ShardId"]},
            "leaseCounter": {"N": "0"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "startingHashKey": {"S": shard["HashKeyRange"]["StartingHashKey"]},
            "endingHashKey": {"S": shard["HashKeyRange"]["EndingHashKey"]},
        }
        absent = "attribute_not_exists(leaseKey)"
        try:
            self._dynamodb.put_item(TableName=application, Item=lease, ConditionExpression=absent)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True
