"""The school that the tests of the API share: its own servers, because some of them are taken away."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.registry import Registry
from tests.integration.served import School, enrol
from worker.local.keys import ensure_keys
from worker.local.session import Session
from worker.local.stack import Stack


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    with Session(tmp_path_factory.mktemp("school")) as session:
        found = School(session)
        enrol(found)
        yield found
        found.close()
    session.remove()


@pytest.fixture
def registry(
    stack: Stack, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """Records of a school, and the environment of its jobs; an epoch of its own keeps the states apart."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ledger SET epoch = 2000000 + pg_backend_pid()")
    environment = {
        **stack.endpoints.environment(),
        **ensure_keys(tmp_path / "keys"),
        "MODE": "local",
        "DATABASE_URL": database,
        "STATE_DIR": str(tmp_path / "state"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("STREAM_NAME", "APPLICATION_NAME", "FAILOVER_MILLIS"):
        monkeypatch.setenv(name, "")  # so that what a test enters is taken back
        monkeypatch.delenv(name)
    found = Registry(environment, tmp_path)
    yield found
    found.close()
