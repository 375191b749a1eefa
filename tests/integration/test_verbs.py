"""The verbs over real servers: what check finds, what migrate repeats, what wrong settings cost."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.local.cloud import Cloud
from worker.local.java import find_java
from worker.local.keys import ensure_keys
from worker.local.stack import Stack


@pytest.fixture
def environment(stack: Stack, database: str, tmp_path: Path) -> dict[str, str]:
    """What a container of this stack would be given."""
    cloud = Cloud.at(stack.endpoints.aws_endpoint_url)
    cloud.create_stream("verbs", shards=2)
    cloud.create_kcl_tables("verbs")
    return {
        "PATH": os.environ["PATH"],
        **stack.endpoints.environment(),
        **ensure_keys(tmp_path / "keys"),
        "MODE": "local",
        "DATABASE_URL": database,
        "STREAM_NAME": "verbs",
        "APPLICATION_NAME": "verbs",
        "JAVA_BIN": str(find_java()),
    }


def run(verb: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", verb]
    return subprocess.run(
        command, env=dict(environment), check=False, capture_output=True, text=True, timeout=120
    )


def test_check_finds_everything_in_place(environment: dict[str, str]) -> None:
    done = run("check", environment)
    assert done.returncode == 0, done.stdout
    assert "everything is in place" in done.stdout
    assert "2 open shards" in done.stdout
    assert "every migration applied" in done.stdout
    assert "https://edu-analytics.localhost publishes local-1" in done.stdout


def test_check_looks_at_the_api_where_its_settings_are_given(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "producers.json").write_text("not JSON")
    for wrong in (
        {"TOKEN_KEYS_FILE": str(tmp_path / "nowhere.json")},
        {"PRODUCERS_FILE": str(tmp_path / "producers.json")},
        {"PRODUCERS": '{"arn:aws:iam::111122223333:role/lms": {}}'},
    ):
        done = run("check", {**environment, **wrong})
        assert done.returncode == 1
        assert "WRONG token keys" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
    done = run("check", {name: value for name, value in environment.items() if name != "TOKEN_ISSUER"})
    assert done.returncode == 0, done.stdout
    assert "token keys" not in done.stdout


def test_check_goes_on_after_a_failure_and_says_what_to_do(environment: dict[str, str]) -> None:
    wrong = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "STREAM_NAME": "no-such-stream",
        "JAVA_BIN": "/no/such/java",
    }
    done = run("check", {**environment, **wrong})
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == len(wrong) + 1  # and the closing line
    assert "kinesis:ListShards" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_check_hides_passwords(environment: dict[str, str]) -> None:
    done = run("check", {**environment, "REDIS_URL": "redis://me:hunter2@127.0.0.1:1/0"})
    assert "hunter2" not in done.stdout + done.stderr


def test_check_tells_of_a_schema_that_is_behind(
    environment: dict[str, str], stack: Stack, tmp_path: Path
) -> None:
    done = run("check", {**environment, "DATABASE_URL": stack.endpoints.database_url})
    assert done.returncode == 1
    assert "python -m worker migrate" in done.stdout


def test_migrate_may_be_run_again(environment: dict[str, str]) -> None:
    done = run("migrate", environment)
    assert (done.returncode, done.stdout) == (0, "nothing to apply\n")


def test_wrong_settings_are_told_at_once_with_exit_code_2(environment: dict[str, str]) -> None:
    wrong = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    done = run("daemon", {**wrong, "POLL_MILLIS": "fast", "HEALTH_PORT": "-1"})
    assert done.returncode == 2
    for word in ("POLL_MILLIS", "HEALTH_PORT", "DATABASE_URL or DATABASE_SECRET_ID"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_stream_the_daemon_verb_fails_in_one_sentence(environment: dict[str, str]) -> None:
    done = run("daemon", {**environment, "STREAM_NAME": "no-such-stream"})
    assert done.returncode == 1
    assert "no-such-stream" in done.stderr
    assert "Traceback" not in done.stderr
