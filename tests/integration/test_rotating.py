"""The rotation functions against a real PostgreSQL and a real Valkey, the worker's adapters coming and going.

After every step, run twice as Secrets Manager may, whoever reads the secret anew gets in.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from pg8000.native import Connection
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploy.rotating.application import Application
from deploy.rotating.database import Database
from deploy.rotating.names import APPLICATION_ROLE, APPLICATION_USERS
from deploy.rotating.redis_user import RedisUser, authenticate
from deploy.rotating.steps import RotationError, Secret, rotate
from tests.deploy.vault import CURRENT, PREVIOUS, STEPS, OneSecret
from worker.adapters.aurora.connection import Session
from worker.adapters.aurora.migrations import migrate
from worker.adapters.aurora.rights import Login
from worker.adapters.redis import RedisProjection
from worker.adapters.secrets import SecretsManager, conninfo
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable
from worker.local.stack import Stack

ROLE = "rotated_by_function"
OWNER = "owner_without_superpowers"


class Reading:
    """The secret's current version, as the worker asks for it."""

    def __init__(self, vault: OneSecret) -> None:
        self._vault = vault

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, str]:
        return {"SecretString": json.dumps(self._vault.at(VersionStage))}


@pytest.fixture
def database_secret(stack: Stack) -> Iterator[Secret]:
    """A user of its own, with a password that is asked for."""
    parts = conninfo_to_dict(stack.endpoints.database_url)
    with psycopg.connect(stack.endpoints.database_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal("first"))
        )
        stack.postgres.demand_password(ROLE)
        yield {
            "username": ROLE,
            "password": "first",
            "host": parts["host"],
            "port": parts.get("port", 5432),
            "dbname": parts["dbname"],
            "sslmode": "disable",
        }
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


def through_the_socket(secret: Secret) -> Connection:
    """What `connect` is to a server on the network: this one listens on a Unix socket alone."""
    return Connection(
        secret["username"],
        unix_sock=f"{secret['host']}/.s.PGSQL.{secret['port']}",
        database=secret["dbname"],
        password=secret["password"],
    )


def test_the_ledger_is_open_through_a_rotation(database_secret: Secret) -> None:
    vault = OneSecret(database_secret)

    def current() -> str:
        return SecretsManager(Reading(vault), LedgerUnavailable).database("s")

    with closing(Session(current, prepare=None)) as living:
        for token in ("second", "third"):
            vault.begin(token)
            for step in STEPS:
                for _ in range(2):
                    rotate(vault.event(token, step), vault, Database(through_the_socket))
                with living.connection() as connection:
                    connection.execute("SELECT 1")
            with closing(Session(current, prepare=None)) as fresh, fresh.connection() as connection:
                connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(current(), password="first"))


def test_the_ledgers_refusal_ends_the_rotation(database_secret: Secret) -> None:
    vault = OneSecret({**database_secret, "password": "not the password"})
    vault.begin("second")
    rotate(vault.event("second", "createSecret"), vault, Database(through_the_socket))
    for step in ("setSecret", "testSecret"):
        with pytest.raises(Exception, match=r"28P01|network error"):
            rotate(vault.event("second", step), vault, Database(through_the_socket))
    assert vault.at(CURRENT)["password"] == "not the password"


@pytest.fixture
def owner_secret(stack: Stack) -> Iterator[Secret]:
    """A database of its own, migrated by an owner who is no superuser, as Aurora's is none."""
    parts = conninfo_to_dict(stack.endpoints.database_url)
    with psycopg.connect(stack.endpoints.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE".encode())
        if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (APPLICATION_ROLE,)).rowcount:
            # another test's owner has made it, and only who made it could lend it
            admin.execute(f"GRANT {APPLICATION_ROLE} TO {OWNER} WITH ADMIN OPTION".encode())
        admin.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}".encode())
        yield {
            "username": OWNER,
            "password": "",
            "host": parts["host"],
            "port": parts.get("port", 5432),
            "dbname": OWNER,
            "sslmode": "disable",
        }
        admin.execute(f"DROP DATABASE {OWNER} WITH (FORCE)".encode())
        for role in APPLICATION_USERS:
            admin.execute(f"DROP ROLE IF EXISTS {role}".encode())
        # what it has made stays with the server
        admin.execute(f"REASSIGN OWNED BY {OWNER} TO CURRENT_USER".encode())
        admin.execute(f"DROP OWNED BY {OWNER}".encode())
        admin.execute(f"DROP ROLE {OWNER}".encode())


def test_two_users_take_turns_and_the_one_before_stays_good(stack: Stack, owner_secret: Secret) -> None:
    first = {**owner_secret, "username": APPLICATION_USERS[0], "password": "first"}
    migrate(lambda: conninfo(json.dumps(owner_secret)), login=Login(first["username"], first["password"]))
    stack.postgres.demand_password(APPLICATION_USERS[0])
    vault = OneSecret(first)
    target = Application(through_the_socket, lambda: owner_secret)
    for token in ("second", "third"):
        vault.begin(token)
        for step in STEPS:
            for _ in range(2):
                rotate(vault.event(token, step), vault, target)
            psycopg.connect(conninfo(json.dumps(vault.at(CURRENT)))).close()
        psycopg.connect(conninfo(json.dumps(vault.at(PREVIOUS)))).close()
    assert [vault.at(stage)["username"] for stage in (PREVIOUS, CURRENT)] == list(APPLICATION_USERS)[::-1]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo(json.dumps(first)))


@pytest.mark.parametrize(
    ("current", "pending", "owner"),
    [
        ({"username": "postgres"}, {}, {}),
        ({}, {"username": "postgres"}, {}),
        ({}, {"username": APPLICATION_USERS[0]}, {}),
        ({}, {"host": "elsewhere"}, {}),
        ({}, {}, {"dbname": "another"}),
    ],
)
def test_a_rotation_touches_no_other_user_or_database(
    current: Secret, pending: Secret, owner: Secret
) -> None:
    usual = {"host": "h", "dbname": "d", "password": "p"}

    def connect(_: Secret) -> Any:
        pytest.fail("it went on to the database")

    target = Application(connect, lambda: {**usual, "username": "owner", **owner})
    given = {**usual, "username": APPLICATION_USERS[0], **current}

    def begin() -> None:
        target.set(given, {**target.renew(given), **pending})

    with pytest.raises(RotationError):
        begin()


class Valkey:
    """ElastiCache's user on a real server: it holds exactly the passwords it was last given."""

    def __init__(self, admin: Any, name: str) -> None:
        self._admin = admin
        self._name = name

    def modify_user(self, UserId: str, AuthenticationMode: dict[str, Any]) -> None:
        passwords = [f">{password}" for password in AuthenticationMode["Passwords"]]
        self._admin.execute_command(
            "ACL", "SETUSER", self._name, "on", "~*", "+@all", "resetpass", *passwords
        )

    def describe_users(self, UserId: str) -> dict[str, Any]:
        return {"Users": [{"Status": "active"}]}


@pytest.fixture
def redis_secret(stack: Stack) -> Iterator[tuple[Secret, Valkey]]:
    address = urlsplit(stack.endpoints.redis_url)
    with closing(redis.Redis.from_url(stack.endpoints.redis_url)) as admin:
        users = Valkey(admin, ROLE)
        users.modify_user("", {"Passwords": ["first"]})
        secret = {
            "host": address.hostname,
            "port": address.port,
            "tls": False,
            "username": ROLE,
            "password": "first",
        }
        yield secret, users
        admin.acl_deluser(ROLE)


def test_the_projection_is_open_through_a_rotation(redis_secret: tuple[Secret, Valkey]) -> None:
    secret, users = redis_secret
    vault = OneSecret(secret)

    def url() -> str:
        return SecretsManager(Reading(vault), ProjectionUnavailable).redis("s")

    target = RedisUser(users, "user", lambda _: None)
    with closing(RedisProjection(url, 1, 3600)) as living:
        for token in ("second", "third"):
            vault.begin(token)
            for step in STEPS:
                for _ in range(2):
                    rotate(vault.event(token, step), vault, target)
                living.watermarks()
                # not one step at which the current version does not open, and the last one still does
                authenticate(vault.at(CURRENT))
                with closing(RedisProjection(url, 1, 3600)) as fresh:
                    fresh.watermarks()
            authenticate(vault.at(PREVIOUS))
    with pytest.raises(RotationError, match="refuses"):
        authenticate(secret)
