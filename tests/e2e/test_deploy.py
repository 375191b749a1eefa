"""A deploy with the real daemon: the old task hands its shards to the new one, which goes on in seconds."""

from pathlib import Path

import psutil
import pytest

from tests.faults.proof import prove, wait_until_quiet
from tests.faults.stage import Stage, family, staged, worker_id
from worker.adapters.leases import DynamoLeases
from worker.local.cloud import aws_client
from worker.local.session import APPLICATION, SHARDS, Task
from worker.local.watching import wait_for

pytestmark = pytest.mark.e2e


def start_beside(stage: Stage, leases: DynamoLeases) -> Task:
    """A new task, once it has reported twice: by then the old one knows that it lives."""
    new = stage.session.start_task("new")
    reported: set[int] = set()

    def twice() -> bool:
        own = leases.workers().get(worker_id(new))
        reported.update({own} if own else set())
        return len(reported) == 2

    wait_for(twice, new, seconds=60, what="the new task")
    return new


def test_a_deploy_hands_every_shard_over_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with staged(tmp_path, print, per_second=400, settings={"LOOK_SECONDS": "1"}) as stage:
        aws = stage.session.stack.endpoints.aws_endpoint_url
        leases = DynamoLeases(aws_client("dynamodb", aws), APPLICATION)
        new = start_beside(stage, leases)
        old = stage.tasks.pop("a")
        stage.tasks["new"] = new
        former, processes = worker_id(old), [process for kind in family(old).values() for process in kind]
        assert [lease.holder for lease in leases.leases()] == [former] * SHARDS

        stage.observer.fault()
        old.stop()
        assert not [process for process in processes if psutil.pid_exists(process.pid)]
        assert [lease.holder for lease in leases.leases()] == [worker_id(new)] * SHARDS
        assert former not in leases.workers()
        leader = leases.leader()
        assert leader is None or leader.owner != former

        stage.await_recovery()
        pauses = ", ".join(f"{pause:.1f} s" for pause in stage.observer.pauses.values())
        print(f"longest pause of each shard: {pauses}")
        stage.load.stop()
        wait_until_quiet(stage.edges, new, stage.load.sent)
        proof = prove(stage.edges, stage.session.stack.endpoints.database_url, stage.load)
        assert proof.good, proof
