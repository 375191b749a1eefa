"""What the settings become: the endpoints of AWS, and what the daemon is told of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from worker.settings import Settings
from worker.wiring_aws import client, endpoint
from worker.wiring_daemon import properties

EMULATOR = "http://127.0.0.1:5000"
KINESIS = "http://127.0.0.1:4568"


def settings(tmp_path: Path, **changed: str) -> Settings:
    return Settings(mode="local", state_dir=str(tmp_path), **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("emulator", "kinesis", "of_kinesis", "of_the_rest"),
    [
        (None, None, None, None),
        (EMULATOR, None, EMULATOR, EMULATOR),
        (EMULATOR, KINESIS, KINESIS, EMULATOR),
        (None, KINESIS, KINESIS, None),
    ],
)
def test_kinesis_may_have_an_endpoint_of_its_own(
    tmp_path: Path, emulator: str | None, kinesis: str | None, of_kinesis: str | None, of_the_rest: str | None
) -> None:
    given = {"aws_endpoint_url": emulator, "kinesis_endpoint_url": kinesis}
    wired = settings(tmp_path, **{name: url for name, url in given.items() if url})
    told = properties(wired, "w1")

    assert endpoint(wired, "kinesis") == told.kinesis_endpoint == of_kinesis
    for service in ("dynamodb", "cloudwatch", "secretsmanager", "kms"):
        assert endpoint(wired, service) == of_the_rest
    assert (told.dynamodb_endpoint, told.cloudwatch_endpoint) == (of_the_rest, of_the_rest)


def test_each_client_calls_the_endpoint_of_its_service(tmp_path: Path) -> None:
    wired = settings(tmp_path, aws_endpoint_url=EMULATOR, kinesis_endpoint_url=KINESIS)
    called = {service: client(wired, service).meta.endpoint_url for service in ("kinesis", "dynamodb")}
    assert called == {"kinesis": KINESIS, "dynamodb": EMULATOR}


def test_only_an_emulated_cloud_takes_no_metrics(tmp_path: Path) -> None:
    """A private endpoint of Kinesis stands in front of the real one."""
    private = properties(settings(tmp_path, kinesis_endpoint_url=KINESIS), "w1")
    emulated = properties(settings(tmp_path, aws_endpoint_url=EMULATOR), "w1")
    assert (private.disable_worker_metrics, private.metrics_level) == (False, "SUMMARY")
    assert (emulated.disable_worker_metrics, emulated.metrics_level) == (True, "NONE")
    rehearsed = replace(settings(tmp_path, aws_endpoint_url=EMULATOR), mode="aws")
    assert properties(rehearsed, "w1").metrics_level == "SUMMARY"


def test_the_daemon_is_told_who_it_is_and_how_to_start_a_shard(tmp_path: Path) -> None:
    told = properties(settings(tmp_path, stream_name="events"), "w1")
    assert (told.worker_id, told.stream_name) == ("w1", "events")
    assert told.executable_name.endswith("-u -m worker shard")


def test_java_waits_for_no_import_of_what_the_supervisor_never_asks() -> None:
    look = "import sys, worker.wiring_daemon; print(*{'psycopg', 'redis', 'boto3'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
