"""A statement that a thread executes hundreds of times a second, past the driver's general way.

That way parses names, looks types up and waits in turns, each of which gives Python away and takes it back:
it costs a small statement more than PostgreSQL does. Here a call waits once, and its rows are loaded as ever.
"""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format

from worker.adapters.aurora.connection import Connection

_NAMED = re.compile(rb"%\((\w+)\)s")
_BINARY = int(Format.BINARY)


class Prepared:
    """One statement of the adapters, prepared once on each connection that it meets; its values are texts.

    Args:
        name: of the statement, unlike any other on the connection.
        text: with its parameters named as everywhere, each once.
    """

    def __init__(self, name: str, text: bytes) -> None:
        self._name = name.encode()
        named = _NAMED.findall(text)
        for number, one in enumerate(named, 1):
            text = text.replace(b"%%(%s)s" % one, b"$%d" % number)
        self._names = [one.decode() for one in named]
        self._text = text.replace(b"%%", b"%")
        self._on: Connection | None = None

    def execute(self, connection: Connection, **values: bytes) -> Sequence[tuple[Any, ...]]:
        """All rows.

        Raises:
            psycopg.Error: as a cursor would.
        """
        server = connection.pgconn
        if self._on is not connection:
            prepared = server.prepare(self._name, self._text)
            if prepared.status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(prepared)
            self._on = connection
        result = server.exec_prepared(self._name, [values[name] for name in self._names], None, _BINARY)
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        loader = Transformer(connection)
        loader.set_pgresult(result)
        return loader.load_rows(0, result.ntuples, tuple)
