"""Every line of the daemon reaches our log, whatever it looks like."""

import json
import logging

import pytest

from worker.kcl import daemon_log
from worker.kcl.daemon_log import Entry, is_json_object, parse

AT = "2026-11-22T10:00:00.123+00:00"


def test_a_line_of_kcl() -> None:
    assert parse(f"KCL|{AT}|INFO|Scheduler||Initialization complete. ") == Entry(
        logging.INFO, "kcl.Scheduler", "Initialization complete.", {"logged_at": AT}
    )


def test_a_line_about_a_shard_keeps_bars_in_its_message() -> None:
    assert parse(f"KCL|{AT}|WARN|ShardConsumer|shardId-000000000001|a|b|c") == Entry(
        logging.WARNING, "kcl.ShardConsumer", "a|b|c", {"logged_at": AT, "shard": "shardId-000000000001"}
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "KCL|",
        "KCL|a|b|c",
        f"KCL|{AT}|LOUD|Scheduler||text",
        "Terminating due to java.lang.OutOfMemoryError: Java heap space",
        "\ud800\x00 | | | | | | |",
    ],
)
def test_a_line_of_another_form_is_passed_on_as_raw_text(line: str) -> None:
    entry = parse(line)
    assert entry.level == logging.WARNING
    assert entry.fields == {"raw": line}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"message": "m"}', True),
        ("{broken", False),
        ("[1]", False),
        ("", False),
        ('"text"', False),
        ("{" * 100_000, False),
        ('{"a":' * 100_000, False),
    ],
)
def test_which_line_is_already_json(line: str, expected: bool) -> None:
    assert is_json_object(line) is expected


def test_a_shards_json_passes_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"message": "done",  "shard": "shardId-000000000000"}'
    daemon_log.take_stderr(line)
    assert capsys.readouterr().err == line + "\n"


def test_other_lines_of_stderr_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    daemon_log.take_stderr("Traceback (most recent call last):")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("kcl.stderr", logging.WARNING)
    assert vars(record)["raw"] == "Traceback (most recent call last):"


def test_stdout_is_logged_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    daemon_log.take_stdout(f"KCL|{AT}|ERROR|Scheduler|shardId-000000000000|100 % %s full")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("kcl.Scheduler", logging.ERROR)
    assert record.getMessage() == "100 % %s full"
    assert vars(record)["shard"] == "shardId-000000000000"


def test_a_closed_stderr_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("sys.stderr", Closed())
    daemon_log.take_stderr(json.dumps({"message": "m"}))
