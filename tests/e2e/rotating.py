"""What a rotation under load needs: the two secrets in the emulator, and people who never stop asking."""

import http.client
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from pg8000.native import Connection
from psycopg.conninfo import conninfo_to_dict

from deploy.rotating.application import Application
from deploy.rotating.names import APPLICATION_USERS, REDIS_RIGHTS
from deploy.rotating.redis_user import RedisUser
from deploy.rotating.steps import Secret, Target, new_password, rotate
from tests.deploy.vault import CURRENT, PENDING, STEPS
from worker import wiring
from worker.local.cloud import aws_client
from worker.local.session import Session
from worker.settings import load

DATABASE, REDIS = "edu/e2e/database", "edu/e2e/redis"
COURSE = "trigonometry"
_REDIS_USER = "app"


class Beginning:
    """The emulator's Secrets Manager, and what it lacks: a pending version that has no value yet."""

    def __init__(self, client: Any, token: str) -> None:
        self._client = client
        self._token = token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.describe_secret(SecretId=SecretId)
        return {**answer, "VersionIdsToStages": {self._token: [PENDING], **answer["VersionIdsToStages"]}}


class ValkeyUser:
    """ElastiCache's user on a real server: it holds exactly the passwords it was last given."""

    def __init__(self, url: str) -> None:
        self._url = url

    def modify_user(self, UserId: str, AuthenticationMode: dict[str, Any]) -> None:
        passwords = [f">{password}" for password in AuthenticationMode["Passwords"]]
        with redis.Redis.from_url(self._url) as admin:
            admin.execute_command("ACL", "SETUSER", UserId, "resetpass", *REDIS_RIGHTS.split(), *passwords)

    def describe_users(self, UserId: str) -> dict[str, Any]:
        return {"Users": [{"Status": "active"}]}


class Vault:
    """Both secrets of a session, and the users they name on its servers."""

    settings: Mapping[str, str] = {
        "DATABASE_URL": "",
        "DATABASE_SECRET_ID": DATABASE,
        "REDIS_URL": "",
        "REDIS_SECRET_ID": REDIS,
        "PRODUCT_METRICS_SECONDS": "1",
    }

    def __init__(self, session: Session) -> None:
        self._endpoints = endpoints = session.stack.endpoints
        self._client = aws_client("secretsmanager", endpoints.aws_endpoint_url)
        where = conninfo_to_dict(endpoints.database_url)
        self._owner = {**{field: where[field] for field in ("host", "port", "dbname")}, "sslmode": "disable"}
        self._users = ValkeyUser(endpoints.redis_url)
        application = {**self._owner, "username": APPLICATION_USERS[0], "password": new_password()}
        wiring.migrate(load({**session.environment, "APPLICATION_SECRET": json.dumps(application)}))
        with psycopg.connect(endpoints.database_url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {APPLICATION_USERS[1]}".encode())
        for user in APPLICATION_USERS:
            session.stack.postgres.demand_password(user)
        address = urlsplit(endpoints.redis_url)
        projection = {"host": address.hostname, "port": address.port, "tls": False}
        projection |= {"username": _REDIS_USER, "password": new_password()}
        self._users.modify_user(_REDIS_USER, {"Passwords": [projection["password"]]})
        for name, secret in ((DATABASE, application), (REDIS, projection)):
            self._client.create_secret(Name=name, SecretString=json.dumps(secret))

    def rotating(self) -> Iterator[str]:
        """A rotation of both secrets: the name of each step, once both have taken it, twice as may happen."""
        targets: dict[str, Target] = {
            DATABASE: Application(self._connect, lambda: {**self._owner, "username": "postgres"}),
            REDIS: RedisUser(self._users, _REDIS_USER, lambda _: None),
        }
        tokens = {name: str(uuid.uuid4()) for name in targets}
        for step in STEPS:
            for name, target in targets.items():
                event = {"SecretId": name, "ClientRequestToken": tokens[name], "Step": step}
                for _ in range(2):
                    rotate(event, Beginning(self._client, tokens[name]), target)
            yield step

    def current(self, name: str) -> Secret:
        secret: Secret = json.loads(
            self._client.get_secret_value(SecretId=name, VersionStage=CURRENT)["SecretString"]
        )
        return secret

    def cut(self) -> int:
        """End every connection of both users, as a failover would; how many the ledger had."""
        with psycopg.connect(self._endpoints.database_url, autocommit=True) as admin:
            ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = ANY (%s)"
            count = len(admin.execute(ended, [list(APPLICATION_USERS)]).fetchall())
        with redis.Redis.from_url(self._endpoints.redis_url) as operator:
            operator.execute_command("CLIENT", "KILL", "USER", _REDIS_USER)
        return count

    def _connect(self, secret: Secret) -> Connection:
        """What `connect` is to a server on the network: this one listens on a Unix socket alone."""
        return Connection(
            secret["username"],
            unix_sock=f"{secret['host']}/.s.PGSQL.{secret['port']}",
            database=secret["dbname"],
            password=secret.get("password"),
        )


class Person(threading.Thread):
    """Asks one thing after the other until told to stop; never tries anything twice."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._ended = threading.Event()
        self.turn = threading.Lock()
        self.good = 0
        self.bad: list[str] = []

    def run(self) -> None:
        with closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            while not self._ended.wait(0.02):  # a lock is not fair: who waits for the turn gets it now
                with self.turn:
                    try:
                        self._ask(connection)
                    except (OSError, http.client.HTTPException) as error:
                        self.bad.append(repr(error))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        raise NotImplementedError

    def call(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> bytes | None:
        """The body of a good answer."""
        connection.request(method, path, body, self._headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status // 100 == 2:
            self.good += 1
            return told
        self.bad.append(f"{method} {path.partition('?')[0]} {answer.status} {told[:200]!r}")
        return None


class Platform(Person):
    """A learning platform: batches of new attempts, each sent once."""

    BATCH = 20

    def __init__(self, url: str, token: str, number: int, students: int) -> None:
        super().__init__(url, token)
        self._number = number
        self._students = students
        self.sent: list[dict[str, Any]] = []

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        events = [self._event(len(self.sent) + n) for n in range(self.BATCH)]
        answer = self.call(connection, "POST", "/students", json.dumps(events).encode())
        if answer is not None and json.loads(answer)["accepted"] == len(events):
            self.sent += events

    def _event(self, n: int) -> dict[str, Any]:
        return {
            "student_id": f"s-{n % self._students}",
            "course_id": COURSE,
            "item_id": f"item-{self._number}-{n // self._students}",
            "attempt": 1,
            "score": float(n % 101),
            "max_score": 100,
            "occurred_at": datetime.now(UTC).isoformat(),
        }


class Teacher(Person):
    """Somebody who looks at one student after the other; every look is written down."""

    def __init__(self, url: str, token: str, students: int) -> None:
        super().__init__(url, token)
        self._students = students

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        student = self.good % self._students
        self.call(connection, "GET", f"/metrics?student_id=s-{student}&course_id={COURSE}")


@contextmanager
def paused(people: list[Person]) -> Iterator[None]:
    """Nobody has a request under way."""
    with ExitStack() as held:
        for person in people:
            held.enter_context(person.turn)
        yield


def more_answers(people: list[Person], each: int) -> Callable[[], bool]:
    """Whether everybody has had so many more answers, good or bad, since now."""
    before = {person: person.good + len(person.bad) for person in people}
    return lambda: all(p.good + len(p.bad) >= count + each for p, count in before.items())
