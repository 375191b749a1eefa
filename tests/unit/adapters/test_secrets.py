"""What a secret opens: the words of a connection string and of a URL, read anew each time it is asked."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from psycopg.conninfo import conninfo_to_dict

from worker.adapters.secrets import SecretsManager
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable

DATABASE = {"host": "db", "port": 5433, "dbname": "edu", "username": "app", "password": "it's a secret"}


class Manager:
    """Secrets Manager with one secret, or an error."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers = list(answers)

    def get_secret_value(self, **_: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"SecretString": json.dumps(answer)}


def database(secret: dict[str, Any]) -> dict[str, Any]:
    return conninfo_to_dict(SecretsManager(Manager(secret), LedgerUnavailable).database("id"))


def redis_url(secret: dict[str, Any]) -> str:
    return SecretsManager(Manager(secret), ProjectionUnavailable).redis("id")


def test_the_database_is_encrypted_unless_the_secret_says_otherwise() -> None:
    expected = {"host": "db", "port": "5433", "dbname": "edu", "user": "app", "password": "it's a secret"}
    assert database(DATABASE) == {**expected, "sslmode": "require"}
    assert database({**DATABASE, "sslmode": "verify-full"}) == {**expected, "sslmode": "verify-full"}
    assert database({**DATABASE, "sslmode": "disable"})["sslmode"] == "disable"


def test_redis_is_encrypted_unless_the_secret_says_otherwise() -> None:
    secret = {"host": "cache", "username": "app", "password": "p@ss/word"}
    assert redis_url(secret) == "rediss://app:p%40ss%2Fword@cache:6379/0"
    assert redis_url({**secret, "tls": False}) == "redis://app:p%40ss%2Fword@cache:6379/0"


def test_every_question_reads_the_secret_anew() -> None:
    manager = SecretsManager(Manager(DATABASE, {**DATABASE, "password": "new"}), LedgerUnavailable)
    passwords = [conninfo_to_dict(manager.database("id"))["password"] for _ in range(2)]
    assert passwords == ["it's a secret", "new"]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue"),
        EndpointConnectionError(endpoint_url="http://secrets"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_secret_that_cannot_be_had_is_an_outage_of_what_it_opens(error: Exception) -> None:
    with pytest.raises(LedgerUnavailable, match="Secrets Manager did not give id"):
        SecretsManager(Manager(error), LedgerUnavailable).text("id")
