"""Where the peers write, and what must stand there afterwards: a run that lost something has no figure."""

from types import TracebackType
from typing import Any, Self

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from benchmarks.peers.expecting import Expected, Registered, close

PROBE = "probe"
_SAMPLE = 500
_TABLES = """
DROP SCHEMA IF EXISTS peers CASCADE;
CREATE SCHEMA peers;
CREATE TABLE peers.scores (
    id          bigserial PRIMARY KEY,
    student_id  text NOT NULL,
    course_id   text NOT NULL,
    item_id     text NOT NULL,
    attempt     integer,
    score       double precision,
    max_score   double precision,
    occurred_at timestamptz NOT NULL,
    graded_at   timestamptz,
    kind        text NOT NULL
);
-- as pw.io.postgres wants it: its own columns, and a moment as the text it was
CREATE TABLE peers.pathway_scores (
    id          bigserial PRIMARY KEY,
    student_id  text NOT NULL,
    course_id   text NOT NULL,
    item_id     text NOT NULL,
    attempt     bigint,
    score       double precision,
    max_score   double precision,
    occurred_at text NOT NULL,
    graded_at   text,
    kind        text NOT NULL,
    time        bigint NOT NULL,
    diff        smallint NOT NULL
);
CREATE TABLE peers.pathway_means (
    student_id text NOT NULL,
    course_id  text NOT NULL,
    mean       double precision NOT NULL,
    scores     bigint NOT NULL,
    PRIMARY KEY (student_id, course_id)
);
CREATE TABLE peers.pathway_attempts (
    student_id  text NOT NULL,
    course_id   text NOT NULL,
    item_id     text NOT NULL,
    attempt     bigint NOT NULL,
    occurred_at text NOT NULL,
    graded_at   text NOT NULL,
    voided      boolean NOT NULL,
    score       double precision NOT NULL,
    PRIMARY KEY (course_id, student_id, item_id, attempt)
);
CREATE TABLE peers.pathway_windows (
    student_id text NOT NULL,
    course_id  text NOT NULL,
    mean       double precision NOT NULL,
    PRIMARY KEY (student_id, course_id)
);
-- these hold the probe's rows alone, so that looking for them costs nobody anything
CREATE INDEX ON peers.scores (id) WHERE student_id = 'probe';
CREATE INDEX ON peers.pathway_scores (id) WHERE student_id = 'probe';
"""


class Sinks:
    """The peers' own tables, and a database of Valkey that only they use.

    Args:
        database_url: of PostgreSQL.
        redis_url: of Valkey; the peers' database is its second.
    """

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = f"{redis_url.rpartition('/')[0]}/1"
        self.connection = psycopg.connect(database_url, autocommit=True)
        self.redis: Any = redis.Redis.from_url(self.redis_url)

    def environment(self) -> dict[str, str]:
        """The variables by which the peers find them."""
        where = self.redis.connection_pool.connection_kwargs
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "REDIS_HOST": str(where["host"]),
            "REDIS_PORT": str(where["port"]),
            "REDIS_DB": "1",
        }

    def settings(self) -> str:
        """The same as key=value, for Pathway."""
        return " ".join(f"{key}={value}" for key, value in conninfo_to_dict(self.database_url).items())

    def clear(self) -> None:
        """Empty tables of their own, no keys."""
        self.connection.execute(_TABLES)
        self.redis.flushdb()

    def rows(self, table: str) -> int:
        """How many rows are committed; exact where one writer commits them in their order."""
        found = self.connection.execute(f"SELECT coalesce(max(id), 0) FROM peers.{table}").fetchone()  # noqa: S608
        return int(found[0]) if found else 0

    def missing(self, wanted: Expected) -> str:
        """What is not as it must be after a peer with Redis; "" if all is."""
        if told := self._unlike("scores", wanted):
            return told
        names = [f"{student}:{course}" for student, course in wanted.last]
        found = {key.decode() for key in self.redis.scan_iter(count=10_000)}
        if missing := len(set(names) - found):
            return f"{missing:,} keys are missing in Redis"
        some = list(zip(names, wanted.last.values(), strict=True))[:: max(1, len(names) // _SAMPLE)]
        pipeline = self.redis.pipeline(transaction=False)
        for name, _ in some:
            pipeline.lrange(name, 0, -1)
        held = [[float(score) for score in scores] for scores in pipeline.execute()]
        wrong = sum(scores != list(last) for scores, (_, last) in zip(held, some, strict=True))
        return f"{wrong} of {len(some)} keys in Redis hold other scores" if wrong else ""

    def missing_rows(self, wanted: Expected) -> str:
        """The same after Pathway with rows."""
        return self._unlike("pathway_scores", wanted)

    def missing_means(self, wanted: Expected) -> str:
        """The same after Pathway with rows and means."""
        means, total = self._two("SELECT count(*), coalesce(sum(mean * scores), 0) FROM peers.pathway_means")
        if means != len(wanted.scores):
            return f"{means:,} means instead of {len(wanted.scores):,}"
        return self.missing_rows(wanted) if close(total, wanted.total) else "the means are of other scores"

    def missing_registers(self, wanted: Registered) -> str:
        """The same after Pathway with registers."""
        attempts, total = self._two(
            "SELECT count(*), coalesce(sum(score) FILTER (WHERE NOT voided AND score >= 0), 0) "
            "FROM peers.pathway_attempts"
        )
        if attempts != wanted.attempts:
            return f"{attempts:,} attempts instead of {wanted.attempts:,}"
        if not close(total, wanted.total):
            return "the attempts hold other scores"
        windows, total = self._two("SELECT count(*), coalesce(sum(mean), 0) FROM peers.pathway_windows")
        if windows != len(wanted.means):
            return f"{windows:,} windows instead of {len(wanted.means):,}"
        return "" if close(total, sum(wanted.means.values())) else "the windows hold other means"

    def close(self) -> None:
        """Give the connections back."""
        self.connection.close()
        self.redis.close()

    def _unlike(self, table: str, wanted: Expected) -> str:
        rows, total = self._two(f"SELECT count(*), coalesce(sum(score), 0) FROM peers.{table}")  # noqa: S608
        if rows != wanted.rows:
            return f"{rows:,} rows instead of {wanted.rows:,}"
        return "" if close(total, wanted.total) else "the rows hold other scores"

    def _two(self, query: str) -> tuple[int, float]:
        found = self.connection.execute(query.encode()).fetchone()
        assert found is not None
        return int(found[0]), float(found[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
