"""A password that is no longer right: an outage that is waited out, until the next connect reads another."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo

from worker.adapters.aurora.connection import Session
from worker.adapters.redis import RedisProjection
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable
from worker.local.stack import Stack

ROLE = "rotated"


class Reader:
    """Gives what a secret holds at the moment, and counts how often it was read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reads = 0

    def __call__(self) -> str:
        self.reads += 1
        return self.text


@contextmanager
def no_answer(
    error: type[Exception], reader: Reader, *, reads: int, says: str | None = None
) -> Iterator[None]:
    before = reader.reads
    with pytest.raises(error, match=says):
        yield
    assert reader.reads == before + reads


@pytest.fixture
def set_password(stack: Stack) -> Iterator[Callable[[str], None]]:
    """Sets the role's password and ends its sessions."""
    with psycopg.connect(stack.endpoints.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
        stack.postgres.demand_password(ROLE)

        def set_to(password: str) -> None:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(ROLE), sql.Literal(password)))
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s", [ROLE]
            )

        yield set_to
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


def test_a_session_of_the_ledger_survives_a_rotation(
    stack: Stack, set_password: Callable[[str], None]
) -> None:
    old, new = secrets.token_urlsafe(), secrets.token_urlsafe()

    def conninfo(password: str) -> str:
        return make_conninfo(stack.endpoints.database_url, user=ROLE, password=password)

    reader = Reader(conninfo(old))
    set_password(old)

    def ask() -> None:
        with session.connection() as connection:
            connection.execute("SELECT 1")

    with closing(Session(reader, prepare=None)) as session:
        ask()
        set_password(new)
        with no_answer(LedgerUnavailable, reader, reads=0):
            ask()  # its session was ended; the secret is read by the next connect
        for _ in range(2):
            with no_answer(LedgerUnavailable, reader, reads=1, says="password authentication failed"):
                ask()
        reader.text = conninfo(new)
        ask()
        ask()
        assert reader.reads == 4


def test_the_projection_survives_a_rotation(stack: Stack) -> None:
    old, new = secrets.token_urlsafe(), secrets.token_urlsafe()
    plain = stack.endpoints.redis_url

    def url(password: str) -> str:
        return plain.replace("redis://", f"redis://{ROLE}:{password}@")

    with (
        redis.Redis.from_url(plain) as admin,
        closing(RedisProjection(reader := Reader(url(old)), 1, 60)) as projection,
    ):
        admin.acl_setuser(ROLE, enabled=True, passwords=[f"+{old}"], keys=["*"], commands=["+@all"])
        projection.markers(["a"])
        admin.acl_setuser(ROLE, enabled=True, passwords=[f"+{new}", f"-{old}"])
        admin.execute_command("CLIENT", "KILL", "USER", ROLE)
        with no_answer(ProjectionUnavailable, reader, reads=0):
            projection.markers(["a"])  # the connection was cut
        for _ in range(2):
            with no_answer(ProjectionUnavailable, reader, reads=1, says="AuthenticationError"):
                projection.markers(["a"])
        reader.text = url(new)
        projection.markers(["a"])
        projection.markers(["a"])
        assert reader.reads == 4
        admin.acl_deluser(ROLE)
