"""The role of worker and API in PostgreSQL, and the user that enters with it.

Given anew at every migration, so that a right that was withdrawn here is withdrawn there.
"""

from typing import NamedTuple

from psycopg import sql

from worker.adapters.aurora.connection import Connection
from worker.adapters.aurora.statements import statements

ROLE = "edu_app"


class Login(NamedTuple):
    """A user of the application as its secret names it."""

    user: str
    password: str


def give(connection: Connection, login: Login) -> None:
    """The role's rights, and a user that has them and the secret's password."""
    user = sql.Identifier(login.user)
    # hashed here: neither a log nor pg_stat_activity of the server ever holds the password
    proof = connection.pgconn.encrypt_password(
        login.password.encode(), login.user.encode(), b"scram-sha-256"
    ).decode()
    with connection.transaction():
        for statement in statements("rights").values():
            connection.execute(statement)
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (login.user,)).rowcount
        if not known:
            connection.execute(sql.SQL("CREATE ROLE {}").format(user))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(ROLE), user))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(user, sql.Literal(proof)))
