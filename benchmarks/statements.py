"""What each statement costs PostgreSQL, and each command Valkey, as the servers themselves count it.

PostgreSQL tells the CPU of every statement in its log when it is asked to; the extension that adds them up is
not part of the embedded server. Valkey adds them up by itself. So nobody has to guess from the outside which
of a batch's statements is the dear one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis
from psycopg import sql

_NOTE = re.compile(r"^\S.*? (?P<kind>LOG|DETAIL|STATEMENT|ERROR|WARNING|HINT|CONTEXT): +(?P<text>.*)$")
_USED = re.compile(r"!\s+([\d.]+) s user, ([\d.]+) s system, ([\d.]+) s elapsed")
_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_SETTING = "log_statement_stats"
_OWN = re.compile(rf"{_SETTING}|pg_reload_conf")
_TITLE = "STATISTICS"
_LONGEST = 76


class Spent(NamedTuple):
    """Seconds of CPU, seconds that passed, and how often a statement was executed."""

    cpu: float = 0.0
    elapsed: float = 0.0
    calls: int = 0


class Statements:
    """The CPU by statement of what happened inside `told`."""

    def __init__(self, url: str, log: Path) -> None:
        self._url = url
        self._log = log
        self.found: dict[str, Spent] = {}

    @contextmanager
    def told(self) -> Iterator[None]:
        """PostgreSQL tells every statement while the context lasts; costs it time, and its clients none."""
        begun = self._log.stat().st_size
        self._ask(on=True)
        try:
            yield
        finally:
            self._ask(on=False)
        with self._log.open("rb") as log:
            log.seek(begun)
            self.found = spent(log.read().decode(errors="replace").splitlines())

    def _ask(self, *, on: bool) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            change = "ALTER SYSTEM SET {} = on" if on else "ALTER SYSTEM RESET {}"
            connection.execute(sql.SQL(change).format(sql.Identifier(_SETTING)))
            connection.execute("SELECT pg_reload_conf()")


def spent(lines: Iterable[str]) -> dict[str, Spent]:
    """By statement, from a server's log; parsing, binding and executing of one text are one statement."""
    found: dict[str, Spent] = defaultdict(Spent)
    for title, detail, statement in _entries(lines):
        if (match := _USED.search(detail)) and not _OWN.search(statement):
            user, system, elapsed = map(float, match.groups())
            was = found[_short(statement)]
            once = 1 if title.startswith(("EXECUTE", "QUERY")) else 0
            found[_short(statement)] = Spent(was.cpu + user + system, was.elapsed + elapsed, was.calls + once)
    return dict(found)


def commands(url: str) -> dict[str, float]:
    """Microseconds that Valkey has spent in each command since it was asked to forget."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        told = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): float(one["usec"]) for name, one in told.items()}


def forget(url: str) -> None:
    """Let Valkey count anew."""
    with redis.Redis.from_url(url) as client:
        client.config_resetstat()


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(title, usage, statement) of each note on what a statement used."""
    note: dict[str, str] = {}
    kind = ""
    for line in (*lines, "- LOG: end"):
        if match := _NOTE.match(line):
            kind = match["kind"]
            if kind == "LOG":
                if _TITLE in note.get("LOG", "") and "STATEMENT" in note:
                    yield note["LOG"], note.get("DETAIL", ""), note["STATEMENT"]
                note = {}
            note[kind] = match["text"]
        elif kind and line.startswith("\t"):
            note[kind] += f"\n{line.strip()}"


def _short(statement: str) -> str:
    """On one line, and no longer than a table has room."""
    text = " ".join(_COMMENT.sub("", statement).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
