"""Ledgers of so many rows, made by the server itself because ten million events would take too long.

The rows are those that the product would have written: real register keys, states that few or many attempts
have raised, rows on pages in the order of time and not of their key, an index as full as insertions in random
order leave it. What differs is only how fast they came.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg

from benchmarks.growing.batches import Known, attempt
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.aurora.migrations import migrate
from worker.adapters.memory import MemoryVault
from worker.adapters.redis import RedisProjection
from worker.batch import StateKey
from worker.domain.event import register_of
from worker.stream.rebuilding import Rebuilding

COURSES, EACH = 200, 5
"""Courses, and how many of them a student attends; the n-th largest has a share proportional to 1/sqrt(n)."""
MEAN_ATTEMPTS, _MOST_ATTEMPTS = 10, 28
"""Attempts of a state: 10 on average, from 1 to 28, most have few."""

_FILLED = 71
"""Per cent of a leaf that insertions in random order fill, as measured; one built at once is filled to 90."""
_PAGE = 2_000
_ANYBODY = Known(StateKey(UUID(int=0), ""), 1, b"")


class Shape(NamedTuple):
    """How many students and states a ledger of so many rows has."""

    students: int
    states: int

    @classmethod
    def of(cls, rows: int) -> "Shape":
        """As many attempts a state, and as many courses, however many rows there are."""
        students = rows // MEAN_ATTEMPTS // EACH
        return cls(students, students * EACH)


_CHANCE = """
    CREATE FUNCTION pg_temp.chance(of bigint, seed integer) RETURNS double precision IMMUTABLE LANGUAGE sql
    RETURN (hashint8extended(of, seed) & 16777215)::double precision / 16777216
"""
"""A number from 0 to 1 that is drawn for an integer, always the same."""

# `ballast` remembers how many attempts each state has had, in no order. A student's courses are of different
# strata, so that none comes twice.
_POPULATION = (
    """INSERT INTO students (student_key, sealed_id)
       SELECT md5('student-' || n)::uuid, decode(md5('seal-' || n) || md5('id-' || n), 'hex')
       FROM generate_series(1, %(students)s) n ORDER BY n""",
    """INSERT INTO courses (course_id)
       SELECT 'course-' || n FROM generate_series(1, %(courses)s) n ORDER BY n""",
    """CREATE UNLOGGED TABLE ballast (course_ref integer, student_ref integer, attempts integer)""",
    """INSERT INTO ballast
       SELECT %(each)s * floor(%(stratum)s * pg_temp.chance(n, 1) ^ 2)::int + n %% %(each)s + 1,
              n / %(each)s + 1, 1 + round((%(most)s - 1) * pg_temp.chance(n, 2) ^ 2)::int
       FROM generate_series(0, %(states)s - 1) n
       ORDER BY hashint8extended(n, 3)""",
    """INSERT INTO course_scores (course_ref, student_ref, version)
       SELECT course_ref, student_ref, attempts FROM ballast""",
)

_WAVE = """
    INSERT INTO attempts (course_ref, student_ref, attempt_key, attempt_check, score, max_score,
                          occurred_at, graded_at, kind, rev, digest, event_key, item, source)
    SELECT course_ref, student_ref, %(key)s, %(check)s,
           floor(1000 * pg_temp.chance(student_ref, 4)) / 10, 100, at, at, 0, 1,
           decode(md5(student_ref::text), 'hex'), '', %(item)s, 'default'
    FROM ballast,
         LATERAL (SELECT timestamptz '2026-01-12 08:00Z' + interval '3 days' * %(wave)s
                         + interval '1 day' * pg_temp.chance(student_ref, 5)) t (at)
    WHERE attempts > %(wave)s
"""


def fill(url: str, rows: int) -> None:
    """Make the schema and about so many rows in an empty database, as clean as autovacuum leaves them."""
    migrate(lambda: url)
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("synchronous_commit = off", "maintenance_work_mem = '512MB'", "work_mem = '256MB'"):
            connection.execute(f"SET {setting}".encode())
        connection.execute(_CHANCE)
        given = {
            **Shape.of(rows)._asdict(),
            "courses": COURSES,
            "each": EACH,
            "stratum": COURSES // EACH,
            "most": _MOST_ATTEMPTS,
        }
        for statement in _POPULATION:
            connection.execute(statement, given if "%" in statement else None)
        connection.execute("ALTER TABLE attempts DROP CONSTRAINT attempts_pkey")
        for wave in range(_MOST_ATTEMPTS):
            connection.execute(_WAVE, _register(wave))
        connection.execute(
            "CREATE UNIQUE INDEX attempts_pkey ON attempts (course_ref, student_ref, attempt_key) "
            f"WITH (fillfactor = {_FILLED})".encode()
        )
        connection.execute("ALTER TABLE attempts ADD PRIMARY KEY USING INDEX attempts_pkey")
        connection.execute("ALTER INDEX attempts_pkey RESET (fillfactor)")
        connection.execute("DROP TABLE ballast")
        connection.execute("VACUUM (ANALYZE)")


def project(url: str, projection: RedisProjection, say: Callable[[str], None]) -> None:
    """Every state into Redis, by the product's own rebuild."""
    ledger = AuroraLedger(lambda: url, MemoryVault())
    rebuilding = Rebuilding(ledger, projection, lambda: None)
    done = told = 0
    try:
        for page in ledger.versions(_PAGE):
            done += rebuilding.mend([key for key, _ in page], absent=True).written
            if done - told >= 100_000:
                told = done
                say(f"{done:,} states in Redis")
    finally:
        ledger.close()


def some_states(url: str, count: int, draw: int) -> Sequence[Known]:
    """So many states of the whole ledger, each once, in an order that has nothing to do with its own."""
    statement = """
        SELECT s.student_key, o.course_id, c.version, s.sealed_id
        FROM (SELECT * FROM course_scores
              ORDER BY hashint8extended(student_ref, course_ref + %(draw)s) LIMIT %(count)s) c
        JOIN students s USING (student_ref)
        JOIN courses o USING (course_ref)
        ORDER BY hashint8extended(student_ref, course_ref + %(draw)s)
    """
    with psycopg.connect(url) as connection:
        rows = connection.execute(statement, {"draw": draw, "count": count}).fetchall()
    return [Known(StateKey(*row[:2]), *row[2:]) for row in rows]


def _register(wave: int) -> dict[str, object]:
    """The register of everybody's attempt of one moment of the term."""
    event = attempt(_ANYBODY, wave, score=0)
    register = register_of(event)
    return {"wave": wave, "item": event.item_id, "key": register.key, "check": register.check}
