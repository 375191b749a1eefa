"""`breaking N SIGNAL SCRIPT ...`: a script that is hit by a signal at its nth word with a server or a file.

A kill at a random second mostly hits a script while it starts. Counted in words, every place between two
effects is hit as often as any other. With N = 0 nothing happens. The number of words is written at
the end where somebody wants it.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis
from botocore.client import BaseClient

COUNT = "WORDS_FILE"
"""Names the file to which the number of words goes."""


def main() -> int:
    """Run the script; its exit code."""
    at, number, script, *argv = sys.argv[1:]
    words = _Words(int(at), signal.Signals(int(number)))
    for owner, name in (
        (psycopg.Connection, "wait"),
        (redis.Connection, "send_packed_command"),
        (BaseClient, "_make_api_call"),
        (os, "fsync"),
        (Path, "replace"),
    ):
        setattr(owner, name, words.counted(getattr(owner, name)))
    sys.argv[1:] = argv
    code: int = importlib.import_module(f"scripts.{script}").main(argv)
    if COUNT in os.environ:
        Path(os.environ[COUNT]).write_text(str(words.said))
    return code


class _Words:
    def __init__(self, at: int, number: signal.Signals) -> None:
        self._at = at
        self._number = number
        self.said = 0

    def counted(self, word: Callable[..., Any]) -> Callable[..., Any]:
        """The same, counted before it is said."""

        def said(*given: Any, **named: Any) -> Any:
            self.said += 1
            if self.said == self._at:
                os.kill(os.getpid(), self._number)
            return word(*given, **named)

        return said


if __name__ == "__main__":
    raise SystemExit(main())
