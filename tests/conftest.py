"""What several tiers of tests share: the embedded stack, fresh ledgers and projections, makers of events."""

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.migrations import migrate
from worker.adapters.aurora.rights import Login
from worker.adapters.memory import MemoryVault
from worker.adapters.redis import RedisProjection
from worker.batch import Batch, DeadLetter, Delivered
from worker.domain.event import Kind, ScoreEvent, register_of
from worker.domain.identity import Identity, Key, Keyring
from worker.domain.position import Position
from worker.local.stack import Stack

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday noon, the present of every test that needs one."""

APPLICATION = "edu_app_tests"
"""A user with the rights of worker and API."""

IDENTITY = Identity(Keyring("k1", {"k1": Key(bytes(range(32)), bytes(range(64)))}))


def score_event(
    student: str = "ada",
    course: str = "algebra",
    item: str = "quiz-1",
    *,
    score: float | None = 80,
    max_score: float = 100,
    at: datetime = NOW,
    graded: datetime | None = None,
    attempt: int | None = 1,
    event_id: str | None = None,
    void: bool = False,
    source: str = "default",
) -> ScoreEvent:
    """One valid event; every argument has a harmless default."""
    student_key, sealed_id = IDENTITY.identify(student, "default")
    return ScoreEvent(
        student_key=student_key,
        sealed_id=sealed_id,
        course_id=course,
        item_id=item,
        score=None if void else score,
        max_score=0.0 if void else max_score,
        occurred_at=at,
        graded_at=graded or at,
        attempt=attempt,
        event_id=event_id,
        kind=Kind.VOIDED if void else Kind.SCORED,
        source=source,
    )


def batch(
    *events: ScoreEvent, source: str = "test", sequence: int = 1, dead: tuple[DeadLetter, ...] = ()
) -> Batch:
    """The events as one record at `sequence`."""
    position = Position(sequence)
    delivered = [Delivered(e, register_of(e), position, n) for n, e in enumerate(events)]
    return Batch(source, position, delivered, dead)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The end-to-end tests begin each worker's part of the list: they mostly wait, and are no tail then."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("e2e")]
    others = [item for item in items if not item.get_closest_marker("e2e")]
    ordered: list[pytest.Item] = []
    for number in range(workers):
        begins = long[number::workers]
        share = (len(items) - len(ordered)) // (workers - number) - len(begins)
        ordered += begins + others[:share]
        del others[:share]
    items[:] = ordered + others


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL, Valkey and the AWS emulator, started once."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    with running:
        # no test cuts the power, and each of hundreds of databases would be flushed when it is dropped
        with psycopg.connect(running.endpoints.database_url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running
    running.remove()


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> str:
    """A database with the schema, the template of every test's own."""
    name = "template_ledger"
    admin = stack.endpoints.database_url
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(lambda: _with_database(admin, name), login=Login(APPLICATION, "not asked for on this socket"))
    return name


@pytest.fixture
def database(stack: Stack, migrated: str) -> Iterator[str]:
    """A fresh migrated database; its connection string."""
    name = f"ledger_{uuid.uuid4().hex}"
    admin = stack.endpoints.database_url
    with psycopg.connect(admin, autocommit=True) as connection:
        statement = "CREATE DATABASE {} TEMPLATE {}"
        connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(migrated)))
    yield _with_database(admin, name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def application(database: str) -> str:
    """The same database, entered with the rights of worker and API and no more."""
    return make_conninfo(database, user=APPLICATION)


@pytest.fixture
def aurora(application: str) -> Iterator[AuroraLedger]:
    ledger = AuroraLedger(lambda: application, MemoryVault())
    yield ledger
    ledger.close()


_epochs = iter(range(1, 10**9))


@pytest.fixture
def redis_projection(stack: Stack) -> Iterator[RedisProjection]:
    """A projection under a key prefix of its own."""
    projection = RedisProjection(lambda: stack.endpoints.redis_url, next(_epochs), 3600)
    yield projection
    projection.close()


@pytest.fixture(scope="session")
def oulad() -> Path | None:
    """Optional real scores, where `OULAD_SCORES` names the file."""
    path = os.environ.get("OULAD_SCORES")
    return Path(path) if path else None


def _with_database(url: str, name: str) -> str:
    return make_conninfo(url, dbname=name)


Maker = Callable[..., ScoreEvent]
