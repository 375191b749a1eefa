"""From the daemon's two output pipes to our log, so that a task speaks one JSON schema.

The daemon's stdout carries KCL's own lines in the pattern of `logback.xml`. Its stderr carries what the shard
processes write, line by line, and what the JVM says in distress. A line that is neither is still somebody's
last words: it is passed on as raw text, never dropped, and nothing here raises.
"""

import contextlib
import json
import logging
import sys
from typing import NamedTuple

_MARK = "KCL|"
_FIELDS = 6
_LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
}


class Entry(NamedTuple):
    """One line of the daemon as a log record: `fields` are the JSON fields beside the message."""

    level: int
    logger: str
    message: str
    fields: dict[str, str]


def parse(line: str) -> Entry:
    """Read one line of the daemon's stdout; a line of another form becomes a warning with field `raw`."""
    parts = line.split("|", _FIELDS - 1)
    if not line.startswith(_MARK) or len(parts) != _FIELDS or parts[2] not in _LEVELS:
        return raw(line, "stdout")
    _, logged_at, level, logger, shard, message = parts
    fields = {"logged_at": logged_at}
    if shard:
        fields["shard"] = shard
    return Entry(_LEVELS[level], f"kcl.{logger}", message.strip(), fields)


def raw(line: str, pipe: str) -> Entry:
    """A line of unknown form: a warning, because a JVM that dies of memory says so this way."""
    return Entry(logging.WARNING, f"kcl.{pipe}", f"daemon wrote on {pipe}", {"raw": line})


def is_json_object(line: str) -> bool:
    """Whether a shard process's line is already a log line of ours."""
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def take_stdout(line: str) -> None:
    """Log one line of the daemon's stdout."""
    _emit(parse(line))


def take_stderr(line: str) -> None:
    """Pass a JSON line on verbatim to our stderr; log any other."""
    if not is_json_object(line):
        _emit(raw(line, "stderr"))
        return
    # a closed stderr must not end the reader: a full pipe would stop the daemon
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _emit(entry: Entry) -> None:
    logging.getLogger(entry.logger).log(entry.level, entry.message, extra=entry.fields)
