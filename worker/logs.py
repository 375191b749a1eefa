"""Structured logs: one JSON object a line on stderr, because stdout belongs to the KCL protocol.

A log line holds identifiers of shards, sources and counts, never of students.
"""

import logging
import sys
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter


def configure(level: str, stream: TextIO | None = None, **context: str) -> None:
    """Send every log record as one JSON line to `stream` (stderr), with `context` in each."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
            static_fields=context,
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)


def redact(error: BaseException) -> str:
    """An error's type and nothing of its text, which may quote a value of an education record."""
    return type(error).__name__
