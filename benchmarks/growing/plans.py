"""The plans of the statements as the adapters send them: one that reads a whole table is a cost that grows.

Each statement is explained with the parameters it is sent with, in the transaction it is sent in, and undone;
only then it runs. So nothing is written twice, and no statement can be forgotten.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from worker.adapters.aurora.ledger import AuroraLedger

_EXPLAINED = re.compile(rb"\s*(--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_WHOLE_PAGES = 100
"""A table of fewer pages may be read as a whole: an index would not be faster."""


class Read(NamedTuple):
    """One node of a plan that reads a table or an index from end to end."""

    table: str
    rows: float
    """Read and thrown away or given on, in all its loops."""


class Explained(NamedTuple):
    """One run of one statement."""

    name: str
    pages: int
    """Looked at, in the server's memory or not."""
    missed: int
    """Of those, not in its memory."""
    wal_bytes: int
    wal_whole_pages: int
    planning_ms: float
    execution_ms: float
    whole: Sequence[Read]
    plan: Mapping[str, Any]


class Explainable(AuroraLedger):
    """The ledger, which can be asked for its plans."""

    def run(self, statements: Sequence[str]) -> None:
        """Run some others in the session of the ledger's own."""
        with self._session.connection() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def explained(self) -> list[Explained]:
        """From now on every statement is explained, which takes as long again; the list grows."""
        with self._session.connection() as connection:
            return explain(connection, {text: name for name, text in self._sql.items()})


def explain(connection: "psycopg.Connection[Any]", names: Mapping[bytes, str]) -> list[Explained]:
    """From now on explain those statements when this connection is given them; the list grows."""
    found: list[Explained] = []

    class Explaining(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            if isinstance(query, bytes) and query in names and _EXPLAINED.match(query):
                found.append(_explained(self.connection, names[query], query, params))
            return super().execute(query, params, **options)

    connection.cursor_factory = Explaining
    return found


def _explained(connection: "psycopg.Connection[Any]", name: str, query: bytes, params: Any) -> Explained:
    with connection.transaction(force_rollback=True), psycopg.Cursor(connection) as cursor:
        cursor.execute(b"EXPLAIN (ANALYZE, BUFFERS, WAL, FORMAT JSON) " + query, params)
        row = cursor.fetchone()
    assert row is not None
    return read(name, row[0][0])


def read(name: str, told: Mapping[str, Any]) -> Explained:
    """What one answer of EXPLAIN says."""
    plan = told["Plan"]
    return Explained(
        name,
        pages=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        missed=plan["Shared Read Blocks"],
        wal_bytes=plan.get("WAL Bytes", 0),
        wal_whole_pages=plan.get("WAL FPI", 0),
        planning_ms=told["Planning Time"],
        execution_ms=told["Execution Time"],
        whole=list(_whole(plan)),
        plan=plan,
    )


def _whole(plan: Mapping[str, Any]) -> Iterator[Read]:
    for node in _nodes(plan):
        sequential = node["Node Type"] == "Seq Scan"
        unbound = node["Node Type"] in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
        pages = (node["Shared Hit Blocks"] + node["Shared Read Blocks"]) / max(1, node["Actual Loops"])
        if (sequential or unbound) and pages >= _WHOLE_PAGES:
            rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            yield Read(node["Relation Name"], rows)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
