"""A restore of PostgreSQL to an earlier time, on real servers: no state of the lost future is ever shown."""

import io
import json
from typing import Any

import psycopg
from rich.console import Console

from scripts import epoch
from scripts.frame.script import execute
from scripts.frame.showing import Show
from tests.conftest import NOW
from tests.integration.registry import Registry, attempt
from worker.local.cloud import Cloud, aws_client

RESTORED = ("--restored-to", "2026-03-02T09:30:00Z", "--by", "the operator")


def run(registry: Registry, *argv: str) -> tuple[int, dict[str, Any], str]:
    report, said = registry.folder / "report.json", io.StringIO()
    show = Show(Console(file=said, width=200))
    code = execute(epoch.SCRIPT, ["--report", str(report), *argv], show=show)
    return code, json.loads(report.read_bytes()) if report.exists() else {}, said.getvalue()


def restore(registry: Registry) -> None:
    """PostgreSQL forgets the last attempt, and births and versions are given again."""
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("TRUNCATE attempts, course_scores, source_progress")
        admin.execute("ALTER SEQUENCE score_birth RESTART")


def test_states_of_the_lost_future_are_out_of_reach(registry: Registry) -> None:
    registry.deliver([attempt("ada", score=10)])
    restore(registry)
    registry.close()
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("UPDATE ledger SET epoch = 1")  # it was raised after the moment of the restore
    code, told, said = run(registry, *RESTORED, "--dry-run")
    assert (code, told["figures"]["epoch"] > 2_000_000) == (0, True), (
        "a number that was used never comes again"
    )
    code, dry, said = run(registry, *RESTORED, "--dry-run")
    code, told, said = run(registry, *RESTORED)
    assert code == 0, said
    assert told["figures"]["keys of other epochs removed"] >= 2
    assert told["figures"]["keys of other epochs removed"] == dry["figures"]["keys of other epochs in Redis"]
    assert all(verdict["good"] for verdict in told["verdicts"])
    assert "python -m scripts.replay --from 2026-03-02T08:30:00.000Z --to" in said

    again = Registry(registry.environment, registry.folder)
    again.deliver([attempt("ada", score=90)])
    (value,) = again.office.projection.states([again.state("ada")])
    assert value is not None
    assert again.stale() == []
    again.close()
    code, told, said = run(registry, *RESTORED)
    assert (code, "already" in said, told["figures"]["keys of other epochs removed"]) == (0, True, 0)
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        assert admin.execute("SELECT count(*) FROM epochs").fetchone() == (1,)


def test_it_is_refused_while_anything_is_connected(registry: Registry) -> None:
    registry.deliver([attempt("ada")])
    code, _, said = run(registry, *RESTORED)
    assert (code, "stop them first" in said) == (1, True)
    assert run(registry, *RESTORED, "--force")[0] == 0


def test_workers_go_on_at_their_checkpoints_once_these_are_accepted(registry: Registry) -> None:
    endpoint = registry.environment["AWS_ENDPOINT_URL"]
    name = f"epoch-{registry.folder.name[-20:]}"
    cloud, dynamodb = Cloud.at(endpoint), aws_client("dynamodb", endpoint)
    cloud.create_stream(name, shards=1)
    cloud.create_kcl_tables(name)
    cloud.seed_leases(name, name)
    dynamodb.update_item(
        TableName=name,
        Key={"leaseKey": {"S": "shardId-000000000000"}},
        UpdateExpression="SET checkpoint = :at",
        ExpressionAttributeValues={":at": {"S": "49650000000000000000007"}},
    )
    registry.enter(STREAM_NAME=name, APPLICATION_NAME=name, FAILOVER_MILLIS="200")
    source = f"{registry.prefix()}:shardId-000000000000"
    registry.office.ledger.open_source(source)
    registry.close()
    code, dry, said = run(registry, *RESTORED, "--accept-checkpoints", "--dry-run")
    assert code == 0, said
    code, told, said = run(registry, *RESTORED, "--accept-checkpoints")
    assert code == 0, said
    assert told["figures"]["sources with a gap to replay"] == 1
    assert told["gaps"] == dry["gaps"]
    assert dry["figures"].items() <= told["figures"].items()
    again = Registry(registry.environment, registry.folder)
    assert again.office.ledger.progress()[source].committed.sequence == 49650000000000000000007
    again.close()


def test_a_moment_without_an_offset_or_of_the_future_is_refused(registry: Registry) -> None:
    assert run(registry, "--restored-to", NOW.replace(tzinfo=None).isoformat(), "--by", "x")[0] == 2
    assert run(registry, "--restored-to", "9999-01-01T00:00:00Z", "--by", "x")[0] == 2
    assert run(registry, *RESTORED[:2])[0] == 2
