"""A deploy with the real daemon: the old task hands its shards to the new one, which goes on in seconds.

All processes run as containers do, so that the same minute shows which calls of AWS each of them makes.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.deploy.synthesis import synthesis
from tests.e2e.hosting import JOB_RUNS, STUDENT, Hosting
from tests.faults.proof import prove, wait_until_quiet
from tests.faults.stage import Stage, family, staged, worker_id
from worker.adapters.leases import DynamoLeases
from worker.issuing import issue
from worker.local.cloud import aws_client
from worker.local.recording import VARIABLE, read
from worker.local.session import APPLICATION, SHARDS, Session, Task
from worker.local.watching import wait_for
from worker.settings import load_api

pytestmark = pytest.mark.e2e


BAD = b"not json"
PURPOSE = "to see which rights it takes"


def start_beside(stage: Stage, leases: DynamoLeases, settings: Mapping[str, str]) -> Task:
    """A new task, once it has reported twice: by then the old one knows that it lives."""
    new = stage.session.start_task("new", settings)
    reported: set[int] = set()

    def twice() -> bool:
        own = leases.workers().get(worker_id(new))
        reported.update({own} if own else set())
        return len(reported) == 2

    wait_for(twice, new, seconds=60, what="the new task")
    return new


def use_the_api(stage: Stage, settings: Mapping[str, str]) -> None:
    """An event in, its score out."""
    api = stage.session.start_api(settings)
    token = issue(
        load_api(stage.session.environment),
        subject="someone",
        roles=["producer", "official"],
        courses=[],
        student_id=None,
        hours=1,
    )
    event = {
        "student_id": STUDENT,
        "course_id": "algebra",
        "item_id": "quiz",
        "score": 8,
        "max_score": 10,
        "occurred_at": "2026-03-02T12:00:00Z",
    }
    said = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-Purpose": PURPOSE}
    with urlopen(Request(f"{api.url}/students", json.dumps([event]).encode(), said), timeout=30) as answer:
        assert answer.status == 202

    def scored() -> bool:
        try:
            with urlopen(Request(f"{api.url}/metrics?student_id={STUDENT}", headers=said), timeout=30):
                return True
        except HTTPError as error:
            with error:
                if error.code != 404:
                    raise
            return False

    wait_for(scored, stage.any_task(), seconds=60, what="the score")
    api.stop()


def test_a_deploy_hands_every_shard_over_loses_and_doubles_nothing_and_needs_every_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = tmp_path / "calls.jsonl"
    monkeypatch.setenv(VARIABLE, str(recorded))
    platform = synthesis("dev")
    hosting: list[Hosting] = []

    def hosted(session: Session) -> Mapping[str, str]:
        hosting.append(Hosting(session, platform))
        return {**hosting[0].settings("worker"), "LOOK_SECONDS": "1"}

    with staged(tmp_path, print, per_second=400, settings=hosted) as stage:
        aws = stage.session.stack.endpoints.aws_endpoint_url
        leases = DynamoLeases(aws_client("dynamodb", aws), APPLICATION)
        new = start_beside(stage, leases, hosting[0].settings("worker"))
        old = stage.tasks.pop("a")
        stage.tasks["new"] = new
        former, processes = worker_id(old), [process for kind in family(old).values() for process in kind]
        # by now KCL may have begun to share them out by itself
        assert former in {lease.holder for lease in leases.leases()}

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
        stage.edges.producer.put_raw(BAD, 0)
        wait_until_quiet(stage.edges, new, stage.load.sent + 1)
        proof = prove(stage.edges, stage.session.stack.endpoints.database_url, stage.load, dead_letters=1)
        assert proof.good, proof

        use_the_api(stage, hosting[0].settings("api"))
        began = time.monotonic()
        hosting[0].run_jobs(stage.session, tmp_path / "jobs")
        print(f"the jobs took {time.monotonic() - began:.1f} s")
    calls = read(recorded)
    assert [problem for task in sorted(platform.tasks) for problem in hosting[0].problems(task, calls)] == []


def test_every_job_is_run() -> None:
    assert synthesis("dev").tasks == {"worker", "api", *(job for row in JOB_RUNS for job in row)}
