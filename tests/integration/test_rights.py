"""The user of worker and API on a real server: what it may do, and that the owner alone may do the rest."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import batch, score_event
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.migrations import migrate
from worker.adapters.aurora.rights import ROLE, Login
from worker.adapters.memory import MemoryVault
from worker.local.stack import Stack

RIGHTS = {
    "attempts": "SELECT INSERT UPDATE",
    "course_scores": "SELECT INSERT UPDATE",
    "courses": "SELECT INSERT",
    "dead_letters": "SELECT INSERT",
    "disclosed_students": "SELECT INSERT",
    "disclosure_anchors": "SELECT INSERT",
    "disclosures": "SELECT INSERT",
    "enrolments": "SELECT",
    "epochs": "",
    "erasures": "SELECT",
    "holds": "",
    "horizons": "SELECT",
    "ledger": "SELECT",
    "pseudonyms": "",
    "publications": "SELECT INSERT UPDATE",
    "redactions": "SELECT",
    "schema_migrations": "SELECT",
    "source_progress": "SELECT INSERT UPDATE",
    "student_keys": "SELECT INSERT",
    "students": "SELECT INSERT",
}
"""Every table of the schema: a new one is decided about here and in `rights.sql`."""

_POSSIBLE = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


@pytest.fixture
def login(stack: Stack) -> Iterator[Login]:
    """A user of this test alone, to whom the server says no without its password."""
    found = Login(f"edu_app_{secrets.token_hex(4)}", secrets.token_urlsafe())
    yield found
    with psycopg.connect(stack.endpoints.database_url, autocommit=True) as admin:
        # a session's staging table is its user's until the server has seen it end
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s", [found.user]
        )
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(found.user)))


def as_(login: Login, database: str) -> str:
    return make_conninfo(database, user=login.user, password=login.password)


def test_every_table_is_decided_about(database: str, login: Login) -> None:
    migrate(lambda: database, login=login)
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        found = {
            name: " ".join(
                right
                for right in _POSSIBLE
                for held in connection.execute("SELECT has_table_privilege(%s, %s, %s)", (ROLE, name, right))
                if held[0]
            )
            for (name,) in tables
        }
    assert found == RIGHTS


def test_a_migration_gives_the_secrets_user_its_password_and_may_be_repeated(
    stack: Stack, database: str, login: Login
) -> None:
    migrate(lambda: database, login=login)
    stack.postgres.demand_password(login.user)
    psycopg.connect(as_(login, database)).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(as_(login._replace(password="another"), database))
    restored = login._replace(password=secrets.token_urlsafe())
    migrate(lambda: database, login=restored)
    psycopg.connect(as_(restored, database)).close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attempts",
        "TRUNCATE attempts",
        "UPDATE disclosures SET who = 'nobody'",
        "DELETE FROM disclosures",
        "DELETE FROM disclosed_students",
        "UPDATE disclosure_anchors SET head = ''",
        "UPDATE students SET sealed_id = NULL",
        "UPDATE ledger SET epoch = 2",
        "DELETE FROM erasures",
        "UPDATE erasures SET lifted_at = now()",
        "UPDATE horizons SET before = '-infinity'",
        "INSERT INTO enrolments VALUES ('me', 'every course')",
        "INSERT INTO schema_migrations VALUES ('9999', '')",
        "CREATE TABLE mine ()",
        "ALTER TABLE attempts ADD COLUMN mine int",
        "DROP TABLE attempts",
        "CREATE ROLE friend",
        f"ALTER ROLE {ROLE} SUPERUSER",
        "COPY attempts TO PROGRAM 'true'",
    ],
)
def test_the_application_may_not(database: str, login: Login, statement: str) -> None:
    migrate(lambda: database, login=login)
    with (
        psycopg.connect(as_(login, database)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_no_server_log_can_hold_the_password(database: str, login: Login) -> None:
    migrate(lambda: database, login=login)
    with psycopg.connect(database) as owner:
        row = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (login.user,)).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_a_batch_is_committed_with_these_rights(database: str, login: Login) -> None:
    migrate(lambda: database, login=login)
    ledger = AuroraLedger(lambda: as_(login, database), MemoryVault())
    try:
        ledger.open_source("test")
        ledger.commit(ledger.intern(batch(score_event(), score_event("bob"))))
        assert sum(progress.accounting.read for progress in ledger.progress().values()) == 2
    finally:
        ledger.close()
