"""A log is one JSON object a line on stderr; stdout belongs to the KCL protocol."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from worker import logs


@pytest.fixture(autouse=True)
def _own_root() -> Iterator[None]:
    """The root logger without the handlers of the test run, which `configure` would close."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    text = stream.getvalue()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_one_object_a_line(stream: io.StringIO) -> None:
    logs.configure("INFO", stream, shard="shardId-7", source="kinesis:x")
    logging.getLogger("worker.stream").info("committed %d", 5)
    (line,) = lines(stream)
    assert datetime.fromisoformat(str(line.pop("at"))).tzinfo is not None
    assert line == {
        "level": "INFO",
        "logger": "worker.stream",
        "message": "committed 5",
        "shard": "shardId-7",
        "source": "kinesis:x",
    }


@pytest.mark.parametrize(
    "message",
    ["two\nlines", "\r\n", '"quoted" {}', "\u2028 \x85 \x0b", "Zoë \U0001f393", "\ud800", "\0", "100 %"],
)
def test_whatever_a_message_holds_it_stays_one_line(stream: io.StringIO, message: str) -> None:
    logs.configure("INFO", stream)
    logging.getLogger().info(message)
    assert stream.getvalue().count("\n") == 1
    assert lines(stream)[0]["message"] == message


def test_a_traceback_stays_in_its_line(stream: io.StringIO) -> None:
    logs.configure("INFO", stream)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger().exception("it broke")
    (line,) = lines(stream)
    assert line["message"] == "it broke"
    assert "ValueError: no" in str(line["exc_info"])


def test_fields_beside_the_message(stream: io.StringIO) -> None:
    logs.configure("INFO", stream, shard="s")
    logging.getLogger().warning("waiting", extra={"dependency": "ledger", "seconds": 0.25})
    (line,) = lines(stream)
    assert (line["dependency"], line["seconds"], line["shard"]) == ("ledger", 0.25, "s")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_the_least_level(stream: io.StringIO, level: str, shown: list[str]) -> None:
    logs.configure(level, stream)
    log = logging.getLogger("worker.anything")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    assert [line["message"] for line in lines(stream)] == shown


def test_stderr_is_the_default_and_stdout_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", shard="s")
    logging.getLogger("worker").error("to the right place")
    logging.getLogger("somebody.elses").warning("and everybody else's")
    written = capsys.readouterr()
    assert written.out == ""
    assert [json.loads(line)["message"] for line in written.err.splitlines()] == [
        "to the right place",
        "and everybody else's",
    ]


def test_configuring_twice_does_not_say_things_twice(stream: io.StringIO) -> None:
    logs.configure("INFO", stream, shard="first")
    logs.configure("INFO", stream, shard="second")
    logging.getLogger().info("once")
    assert [line["shard"] for line in lines(stream)] == ["second"]


@pytest.mark.parametrize(
    "error", [ValueError("ada, 6 points"), KeyError("ada"), OSError(5, "ada"), SystemExit("ada")]
)
def test_an_error_is_named_without_what_it_says(error: BaseException) -> None:
    assert logs.redact(error) == type(error).__name__
