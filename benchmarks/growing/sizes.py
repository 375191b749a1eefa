"""How much room the rows of a ledger take, and how deep its indexes are: what a plan for more is made of."""

from collections.abc import Mapping
from typing import NamedTuple

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

TABLES = ("attempts", "course_scores", "students")
_ABSENT = {
    "attempts_pkey": "SELECT FROM attempts WHERE course_ref = 1 AND student_ref = 2147483647",
    "course_scores_pkey": "SELECT FROM course_scores WHERE course_ref = 1 AND student_ref = 2147483647",
    "course_scores_student": "SELECT FROM course_scores WHERE student_ref = 2147483647",
    "students_pkey": "SELECT FROM students WHERE student_ref = 2147483647",
    "students_student_key_key": "SELECT FROM students "
    "WHERE student_key = '7fffffff-ffff-ffff-ffff-ffffffffffff'",
}
"""A look-up of what is not there reads one page of each level of the index, and nothing else."""


_HEAP = "SELECT pg_relation_size(relid), n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = {}"


class Room(NamedTuple):
    """What one row takes, and of all updates so far the share that needed no new entry in any index."""

    rows: int
    heap_bytes_per_row: float
    index_bytes_per_row: Mapping[str, float]
    index_levels: Mapping[str, int]
    updates: int
    in_page_share: float


def measure(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[str, Room]:
    """The room of each table that grows, just counted."""
    connection.execute("SET enable_seqscan = off")
    found = {}
    for table in TABLES:
        (rows,) = _one(connection, SQL("SELECT count(*) FROM {}").format(Identifier(table)))
        heap, updates, in_page = _one(connection, SQL(_HEAP).format(Literal(table)))
        sizes = connection.execute(
            "SELECT c.relname::text, pg_relation_size(c.oid) FROM pg_index i "
            "JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass ORDER BY 1",
            [table],
        ).fetchall()
        found[table] = Room(
            rows,
            heap / max(1, rows),
            {str(name): int(str(size)) / max(1, rows) for name, size in sizes},
            {str(name): levels(connection, str(name)) for name, _ in sizes},
            updates,
            in_page / max(1, updates),
        )
    return found


def levels(connection: "psycopg.Connection[tuple[object, ...]]", index: str) -> int:
    """Pages from the root of an index to a leaf, both counted."""
    statement = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_ABSENT[index]}"
    connection.execute(statement.encode())  # the first look reads the index's first page too
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]  # type: ignore[index]
    assert plan.get("Index Name") == index, plan
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _one(connection: "psycopg.Connection[tuple[object, ...]]", statement: Composed) -> tuple[int, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return tuple(int(str(value)) for value in row)
