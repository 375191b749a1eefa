"""The image over real servers: `check`, then a worker task from its start to an orderly end."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from deploy.image import Image
from tests.image.container import Container
from worker import wiring
from worker.adapters.leases import DynamoLeases
from worker.domain.accounting import Outcome
from worker.local.cloud import Cloud, aws_client
from worker.local.edges import Edges
from worker.local.keys import ensure_keys
from worker.local.process import reserved_port
from worker.local.sending import Sender
from worker.local.stack import Stack
from worker.local.watching import position
from worker.settings import load

pytestmark = pytest.mark.e2e

NAME = "in-the-image"
EVENTS = 500
KEYS = "/run/keys"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def outside(stack: Stack, database: str, keys: Path) -> dict[str, str]:
    """The variables of this stack."""
    cloud = Cloud.at(stack.endpoints.aws_endpoint_url)
    cloud.create_stream(NAME, shards=2)
    cloud.create_kcl_tables(NAME)
    cloud.seed_leases(NAME, NAME)
    return {
        **stack.endpoints.environment(),
        **ensure_keys(keys),
        "MODE": "local",
        "DATABASE_URL": database,
        "STREAM_NAME": NAME,
        "APPLICATION_NAME": NAME,
    }


@pytest.fixture
def inside(outside: dict[str, str], keys: Path, postgres_port: int) -> dict[str, str]:
    """The same, as a container sees them."""
    name = conninfo_to_dict(outside["DATABASE_URL"])["dbname"]
    return {variable: value.replace(str(keys), KEYS) for variable, value in outside.items()} | {
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{postgres_port}/{name}",
    }


@pytest.fixture
def edges(outside: dict[str, str]) -> Iterator[Edges]:
    connected = wiring.edges(load(outside))
    yield connected
    connected.close()


def test_check_finds_everything_in_place(
    image: Image, inside: dict[str, str], keys: Path, tmp_path: Path
) -> None:
    words = ("python", "-m", "worker", "check")
    done = Container(image, tmp_path, *words, environment=inside, keys=keys).run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything is in place" in done.stdout
    assert "every migration applied" in done.stdout
    assert "79 jars" in done.stdout


def test_a_worker_task_starts_leases_works_bears_a_load_and_leaves(
    image: Image,
    load_image: Image,
    inside: dict[str, str],
    outside: dict[str, str],
    keys: Path,
    edges: Edges,
    tmp_path: Path,
) -> None:
    with reserved_port() as health, reserved_port() as metrics:
        ports = {"HEALTH_PORT": str(health), "METRICS_PORT": str(metrics)}
    timers = {
        "SHARD_SYNC_MILLIS": "1000",
        "LEASE_ASSIGNMENT_MILLIS": "1000",
        "SHUTDOWN_GRACE_MILLIS": "15000",
    }
    leases = DynamoLeases(aws_client("dynamodb", outside["AWS_ENDPOINT_URL"]), NAME)
    environment = {**inside, **ports, **timers, "HEALTH_HOST": "127.0.0.1", "CHECKPOINT_SECONDS": "1"}
    # no words: the image's own command
    with Container(image, tmp_path, environment=environment, keys=keys) as task:
        task.wait(lambda: answers(f"http://127.0.0.1:{health}/healthz"), seconds=60, what="healthy worker")
        task.wait(
            lambda: sum(lease.owner is not None for lease in leases.leases()) == 2,
            seconds=90,
            what="two leases",
        )
        task.wait(lambda: answers(f"http://127.0.0.1:{health}/readyz"), seconds=60, what="ready worker")

        kind, *probe = image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        there, nowhere = (task.execute(*(w.replace(":8080/", f":{p}/") for w in probe)) for p in (health, 1))
        assert there.returncode == 0, there.stderr
        assert nowhere.returncode != 0

        Sender(edges, lambda: datetime.now(UTC)).send(
            {
                "student_id": f"student-{n}",
                "course_id": f"course-{n % 5}",
                "item_id": "quiz-1",
                "attempt": 1,
                "score": n % 101,
                "max_score": 100,
                "occurred_at": "2026-01-05T10:00:00Z",
            }
            for n in range(EVENTS)
        )
        task.wait(lambda: finished(edges), seconds=60, what="all events")

        words = ("python", "-m", "scripts.load_test", "--rate", "40", "--minutes", "0.05", "--warm-up", "0")
        few = ("--students", "20", "--courses", "2")
        # to a second under a busy machine's tests nobody can be held; proven and drawn it must be
        loaded = Container(load_image, tmp_path, *words, *few, environment=inside, keys=keys).run()
        assert "120 of 120 taken" in loaded.stderr, loaded.stderr
        assert "0 lost, 0 double" in loaded.stderr
        assert "CPU: load generator" in loaded.stderr
        assert "picture: /tmp/edu-analytics/reports/load_test-" in loaded.stderr

        assert task.stop() == 0, task.said()
    assert "Traceback" not in task.said()


def finished(edges: Edges) -> bool:
    where = position(edges.ledger)
    return where.projected and where.accounting[Outcome.APPLIED] == EVENTS


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
