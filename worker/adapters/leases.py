"""KCL's three tables in DynamoDB, in the layout of KCL 3.1: leases, coordinator's state, worker reports.

The conditions are those that KCL itself sets on the same rows, so its workers and ours may race and one of
them wins. A renewal is conditional on `leaseCounter`, an assignment on `leaseOwner`, a beat of the leader on
`recordVersionNumber`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from worker.domain.errors import LeasesUnavailable
from worker.leases import SHARD_END, Leader, Lease

T = TypeVar("T")
_Row = Mapping[str, Any]

_LEADER = {"key": {"S": "Leader"}}
_ABSENT = "attribute_not_exists({})"


class DynamoLeases:
    """LeaseTable port on DynamoDB.

    Args:
        client: a boto3 DynamoDB client, with timeouts that suit a caller in a hurry.
        application: the KCL application, whose name the tables carry.
    """

    def __init__(self, client: Any, application: str) -> None:
        self._client = client
        self._leases = application
        self._state = f"{application}-CoordinatorState"
        self._workers = f"{application}-WorkerMetricStats"

    def leases(self) -> Sequence[Lease]:
        return [_lease(row) for row in self._rows(self._leases) if "leaseCounter" in row]

    def give_back(self, lease: Lease, heir: str | None) -> bool:
        values: dict[str, Any] = {":one": {"N": "1"}, ":counter": {"N": str(lease.counter)}}
        conditions = ["leaseCounter = :counter"]
        for attribute, value in (("leaseOwner", lease.owner), ("checkpointOwner", lease.checkpoint_owner)):
            if value is None:
                conditions.append(_ABSENT.format(attribute))
            else:
                conditions.append(f"{attribute} = :{attribute}")
                values[f":{attribute}"] = {"S": value}
        if lease.checkpoint_owner is not None:
            change = "REMOVE checkpointOwner"
        elif heir is not None:
            change = "SET leaseOwner = :heir"
            values[":heir"] = {"S": heir}
        else:
            change = "REMOVE leaseOwner"
        return self._if_unchanged(
            lambda: self._client.update_item(
                TableName=self._leases,
                Key={"leaseKey": {"S": lease.shard}},
                UpdateExpression=f"{change} ADD leaseCounter :one",
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeValues=values,
            )
        )

    def remove_finished(self, shard: str) -> bool:
        return self._if_unchanged(
            lambda: self._client.delete_item(
                TableName=self._leases,
                Key={"leaseKey": {"S": shard}},
                ConditionExpression="#checkpoint = :end",
                ExpressionAttributeNames={"#checkpoint": "checkpoint"},
                ExpressionAttributeValues={":end": {"S": SHARD_END}},
            )
        )

    def workers(self) -> Mapping[str, int]:
        return {row["wid"]["S"]: int(row["lut"]["N"]) for row in self._rows(self._workers) if "lut" in row}

    def forget_worker(self, worker: str) -> None:
        self._asked(
            lambda: self._client.delete_item(TableName=self._workers, Key={"wid": {"S": worker}}), None
        )

    def clear_report(self, worker: str, report: int) -> bool:
        return self._if_unchanged(
            lambda: self._client.delete_item(
                TableName=self._workers,
                Key={"wid": {"S": worker}},
                ConditionExpression="lut = :report",
                ExpressionAttributeValues={":report": {"N": str(report)}},
            )
        )

    def leader(self) -> Leader | None:
        answer: _Row = self._asked(
            lambda: self._client.get_item(TableName=self._state, Key=_LEADER, ConsistentRead=True), {}
        )
        row = answer.get("Item")
        # the lock client leaves a released lock where it was told not to delete it
        if row is None or "isReleased" in row:
            return None
        return Leader(row["ownerName"]["S"], row["recordVersionNumber"]["S"])

    def clear_leader(self, leader: Leader) -> bool:
        return self._if_unchanged(
            lambda: self._client.delete_item(
                TableName=self._state,
                Key=_LEADER,
                ConditionExpression="ownerName = :owner AND recordVersionNumber = :version",
                ExpressionAttributeValues={":owner": {"S": leader.owner}, ":version": {"S": leader.version}},
            )
        )

    def _rows(self, table: str) -> Iterator[_Row]:
        start: dict[str, Any] = {}
        while True:
            page: _Row = self._asked(
                lambda: self._client.scan(TableName=table, ConsistentRead=True, **start),  # noqa: B023 - at once
                {},
            )
            yield from page.get("Items", ())
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _if_unchanged(self, change: Callable[[], Any]) -> bool:
        try:
            change()
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from None
        return True

    def _asked(self, question: Callable[[], T], nothing: T) -> T:
        try:
            return question()
        except self._client.exceptions.ResourceNotFoundException:
            return nothing
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from None


def _lease(row: _Row) -> Lease:
    def text(name: str) -> str | None:
        value: str | None = row.get(name, {}).get("S")
        return value

    return Lease(
        shard=row["leaseKey"]["S"],
        owner=text("leaseOwner"),
        counter=int(row["leaseCounter"]["N"]),
        checkpoint=text("checkpoint") or "",
        checkpoint_owner=text("checkpointOwner"),
        parents=frozenset(row.get("parentShardId", {}).get("SS", ())),
        children=frozenset(row.get("childShardIds", {}).get("SS", ())),
    )


def _unavailable(error: BotoCoreError | ClientError) -> LeasesUnavailable:
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return LeasesUnavailable(f"DynamoDB did not answer ({code or type(error).__name__})")
