"""The LeaseTable port's contract, on the twin and on DynamoDB's rows as KCL 3.1 writes them."""

import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import botocore.exceptions
import pytest

from worker.adapters.leases import DynamoLeases
from worker.adapters.memory import MemoryLeases
from worker.domain.errors import LeasesUnavailable
from worker.leases import SHARD_END, Leader, Lease, LeaseTable
from worker.local.cloud import Cloud, aws_client
from worker.local.stack import Stack

LEASE = Lease("shardId-000000000000", "me", 41, "49650000000000000000007")
HANDED_OVER = LEASE._replace(owner="next", checkpoint_owner="me")
FINISHED = LEASE._replace(
    checkpoint=SHARD_END, children=frozenset({"shardId-000000000002", "shardId-000000000003"})
)
CHILD = LEASE._replace(shard="shardId-000000000002", parents=frozenset({LEASE.shard}))
LEADER = Leader("boss", "7c0e")


class Tables(Protocol):
    """KCL's side: writes the rows that a test finds."""

    port: LeaseTable

    def put_lease(self, lease: Lease) -> None: ...

    def put_report(self, worker: str, at: int) -> None: ...

    def put_leader(self, leader: Leader) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryLeases()
        self.port: LeaseTable = self.memory

    def put_lease(self, lease: Lease) -> None:
        self.memory.rows[lease.shard] = lease

    def put_report(self, worker: str, at: int) -> None:
        self.memory.reports[worker] = at

    def put_leader(self, leader: Leader) -> None:
        self.memory.record = leader


class InDynamo:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.application = f"app-{uuid.uuid4().hex}"
        self.port: LeaseTable = DynamoLeases(client, self.application)

    def create(self) -> "InDynamo":
        Cloud(None, self.client).create_kcl_tables(self.application)
        return self

    def put_lease(self, lease: Lease) -> None:
        item: dict[str, Any] = {
            "leaseKey": {"S": lease.shard},
            "leaseCounter": {"N": str(lease.counter)},
            "checkpoint": {"S": lease.checkpoint},
            "checkpointSubSequenceNumber": {"N": "3"},
            "ownerSwitchesSinceCheckpoint": {"N": "2"},
            "throughputKBps": {"N": "1.5"},
        }
        if lease.owner is not None:
            item["leaseOwner"] = {"S": lease.owner}
        if lease.checkpoint_owner is not None:
            item["checkpointOwner"] = {"S": lease.checkpoint_owner}
        if lease.parents:
            item["parentShardId"] = {"SS": sorted(lease.parents)}
        if lease.children:
            item["childShardIds"] = {"SS": sorted(lease.children)}
        self.client.put_item(TableName=self.application, Item=item)

    def put_report(self, worker: str, at: int) -> None:
        report = {"wid": {"S": worker}, "lut": {"N": str(at)}, "sts": {"M": {}}}
        self.client.put_item(TableName=f"{self.application}-WorkerMetricStats", Item=report)

    def put_leader(self, leader: Leader) -> None:
        record = {
            "key": {"S": "Leader"},
            "ownerName": {"S": leader.owner},
            "recordVersionNumber": {"S": leader.version},
            "leaseDuration": {"S": "120000"},
        }
        self.client.put_item(TableName=f"{self.application}-CoordinatorState", Item=record)

    def row(self, shard: str) -> dict[str, Any]:
        row: dict[str, Any] = self.client.get_item(
            TableName=self.application, Key={"leaseKey": {"S": shard}}
        )["Item"]
        return row


@pytest.fixture
def dynamo(stack: Stack) -> InDynamo:
    return InDynamo(aws_client("dynamodb", stack.endpoints.aws_endpoint_url)).create()


@pytest.fixture(params=["memory", "dynamo"])
def tables(request: pytest.FixtureRequest) -> Tables:
    if request.param == "memory":
        return InMemory()
    found: InDynamo = request.getfixturevalue("dynamo")
    return found


def test_an_empty_table_holds_nothing(tables: Tables) -> None:
    assert list(tables.port.leases()) == []
    assert tables.port.workers() == {}
    assert tables.port.leader() is None


@pytest.mark.parametrize(
    "lease", [LEASE, HANDED_OVER, LEASE._replace(owner=None), LEASE._replace(counter=0), FINISHED, CHILD]
)
def test_a_lease_is_read_as_it_stands(tables: Tables, lease: Lease) -> None:
    tables.put_lease(lease)
    assert list(tables.port.leases()) == [lease]


def test_a_lease_is_passed_on_to_an_heir(tables: Tables) -> None:
    tables.put_lease(LEASE)
    assert tables.port.give_back(LEASE, "heir")
    assert list(tables.port.leases()) == [LEASE._replace(owner="heir", counter=42)]


def test_without_an_heir_it_is_nobody_s(tables: Tables) -> None:
    tables.put_lease(LEASE)
    assert tables.port.give_back(LEASE, None)
    assert list(tables.port.leases()) == [LEASE._replace(owner=None, counter=42)]


@pytest.mark.parametrize("heir", ["heir", None])
def test_a_lease_that_kcl_hands_over_goes_where_kcl_said(tables: Tables, heir: str | None) -> None:
    tables.put_lease(HANDED_OVER)
    assert tables.port.give_back(HANDED_OVER, heir)
    assert list(tables.port.leases()) == [LEASE._replace(owner="next", counter=42)]


@pytest.mark.parametrize(
    "standing",
    [
        LEASE._replace(counter=42),  # renewed, or a checkpoint was stored
        LEASE._replace(owner="other"),
        LEASE._replace(owner=None),
        HANDED_OVER,
        LEASE._replace(checkpoint_owner="other"),
    ],
)
def test_a_lease_that_changed_since_it_was_read_stays_as_it_is(tables: Tables, standing: Lease) -> None:
    tables.put_lease(standing)
    assert not tables.port.give_back(LEASE, "heir")
    assert list(tables.port.leases()) == [standing]


def test_a_lease_that_is_gone_is_not_made_anew(tables: Tables) -> None:
    assert not tables.port.give_back(LEASE, "heir")
    assert list(tables.port.leases()) == []


def test_of_many_who_give_back_at_once_one_does(tables: Tables) -> None:
    tables.put_lease(LEASE)
    answers: list[bool] = []
    givers = [
        threading.Thread(target=lambda heir=heir: answers.append(tables.port.give_back(LEASE, heir)))
        for heir in "abcd"
    ]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert sorted(answers) == [False, False, False, True]
    assert [lease.counter for lease in tables.port.leases()] == [42]


def test_a_finished_lease_is_removed_once(tables: Tables) -> None:
    tables.put_lease(FINISHED)
    tables.put_lease(CHILD)
    assert tables.port.remove_finished(FINISHED.shard)
    assert list(tables.port.leases()) == [CHILD]
    assert not tables.port.remove_finished(FINISHED.shard)


def test_a_lease_that_is_not_finished_is_not_removed(tables: Tables) -> None:
    tables.put_lease(LEASE)
    assert not tables.port.remove_finished(LEASE.shard)
    assert list(tables.port.leases()) == [LEASE]


def test_workers_are_read_and_forgotten(tables: Tables) -> None:
    tables.put_report("a", 1_700_000_000)
    tables.put_report("b", 1_700_000_005)
    assert tables.port.workers() == {"a": 1_700_000_000, "b": 1_700_000_005}
    tables.port.forget_worker("a")
    tables.port.forget_worker("a")
    assert tables.port.workers() == {"b": 1_700_000_005}


def test_a_report_is_cleared_unless_another_came_since(tables: Tables) -> None:
    tables.put_report("a", 1_700_000_005)
    tables.put_report("b", 1_700_000_005)
    assert not tables.port.clear_report("a", 1_700_000_000)
    assert tables.port.clear_report("a", 1_700_000_005)
    assert not tables.port.clear_report("a", 1_700_000_005)
    assert tables.port.workers() == {"b": 1_700_000_005}


def test_the_leader_is_cleared_once(tables: Tables) -> None:
    tables.put_leader(LEADER)
    assert tables.port.leader() == LEADER
    assert tables.port.clear_leader(LEADER)
    assert tables.port.leader() is None
    assert not tables.port.clear_leader(LEADER)


@pytest.mark.parametrize("standing", [Leader("boss", "8d1f"), Leader("other", "7c0e")])
def test_a_leader_that_beat_since_or_was_followed_stays(tables: Tables, standing: Leader) -> None:
    tables.put_leader(standing)
    assert not tables.port.clear_leader(LEADER)
    assert tables.port.leader() == standing


# --- DynamoDB alone --------------------------------------------------------------------------------------


def test_the_rest_of_the_row_stays(dynamo: InDynamo) -> None:
    dynamo.put_lease(LEASE)
    before = dynamo.row(LEASE.shard)
    assert dynamo.port.give_back(LEASE, None)
    assert dynamo.row(LEASE.shard) == {
        **{name: value for name, value in before.items() if name != "leaseOwner"},
        "leaseCounter": {"N": "42"},
    }


def test_a_released_leader_is_none(dynamo: InDynamo) -> None:
    dynamo.put_leader(LEADER)
    dynamo.client.update_item(
        TableName=f"{dynamo.application}-CoordinatorState",
        Key={"key": {"S": "Leader"}},
        UpdateExpression="SET isReleased = :yes",
        ExpressionAttributeValues={":yes": {"S": "1"}},
    )
    assert dynamo.port.leader() is None


def test_what_is_no_lease_is_left_out(dynamo: InDynamo) -> None:
    # later versions of KCL keep the leader and the workers' reports in the table of the leases
    dynamo.client.put_item(TableName=dynamo.application, Item={"leaseKey": {"S": "Leader"}})
    dynamo.put_lease(LEASE)
    assert list(dynamo.port.leases()) == [LEASE]


def test_tables_that_kcl_has_not_made_yet_are_empty(stack: Stack) -> None:
    nothing = InDynamo(aws_client("dynamodb", stack.endpoints.aws_endpoint_url))
    assert list(nothing.port.leases()) == []
    assert nothing.port.workers() == {}
    assert nothing.port.leader() is None
    nothing.port.forget_worker("me")


class Paged:
    """A DynamoDB client whose scans come in pages of one row."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.exceptions = client.exceptions

    def scan(self, **arguments: Any) -> Any:
        return self._client.scan(**arguments, Limit=1)


def test_every_page_is_read(dynamo: InDynamo) -> None:
    leases = [LEASE._replace(shard=f"shardId-{number:012}") for number in range(5)]
    for lease in leases:
        dynamo.put_lease(lease)
    paged = DynamoLeases(Paged(dynamo.client), dynamo.application)
    assert sorted(paged.leases()) == leases


EVERY_CALL: list[Callable[[LeaseTable], Any]] = [
    lambda port: port.leases(),
    lambda port: port.give_back(LEASE, "heir"),
    lambda port: port.remove_finished(LEASE.shard),
    lambda port: port.workers(),
    lambda port: port.forget_worker("me"),
    lambda port: port.clear_report("a", 1_700_000_000),
    lambda port: port.leader(),
    lambda port: port.clear_leader(LEADER),
]


@pytest.mark.parametrize("call", EVERY_CALL)
def test_the_twin_away(call: Callable[[LeaseTable], Any]) -> None:
    twin = MemoryLeases()
    twin.away = True
    with pytest.raises(LeasesUnavailable):
        call(twin)


class Refusing:
    """A DynamoDB client whose every call fails as told."""

    def __init__(self, client: Any, error: Exception) -> None:
        self.exceptions = client.exceptions
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(**_: Any) -> Any:
            raise self._error

        return refuse


@pytest.mark.parametrize("call", EVERY_CALL)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), "EndpointConnectionError"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="x"), "ReadTimeoutError"),
        (
            botocore.exceptions.ClientError({"Error": {"Code": "ThrottlingException"}}, "any"),
            "ThrottlingException",
        ),
    ],
)
def test_every_trouble_of_dynamodb_is_an_outage(
    stack: Stack, call: Callable[[LeaseTable], Any], error: Exception, said: str
) -> None:
    client = aws_client("dynamodb", stack.endpoints.aws_endpoint_url)
    with pytest.raises(LeasesUnavailable, match=said):
        call(DynamoLeases(Refusing(client, error), "app"))
