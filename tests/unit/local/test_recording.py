"""Who calls what of AWS, read off the requests."""

import gzip
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from worker.local.recording import Call, read, recording

SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260302/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


def ask(
    app: Callable[..., Iterable[bytes]], caller: str, service: str, body: bytes = b"", **told: str
) -> bytes:
    environ: dict[str, Any] = {
        "HTTP_AUTHORIZATION": SIGNED.format(caller, service),
        "wsgi.input": io.BytesIO(body),
        **told,
    }
    return b"".join(app(environ, lambda *_: None))


def echo(environ: dict[str, Any], _: Callable[..., Any]) -> Iterable[bytes]:
    return [environ["wsgi.input"].read()]


@pytest.mark.parametrize(
    ("service", "body", "told", "action", "resource"),
    [
        (
            "kinesis",
            b'{"StreamName": "s", "Records": []}',
            {"HTTP_X_AMZ_TARGET": "Kinesis_20131202.PutRecords"},
            "kinesis:PutRecords",
            "s",
        ),
        (
            "dynamodb",
            b'{"TableName": "t", "IndexName": "i"}',
            {"HTTP_X_AMZ_TARGET": "DynamoDB_20120810.Query"},
            "dynamodb:Query",
            "i",
        ),
        (
            "kinesis",
            b"\xa1\x6aStreamName",
            {"HTTP_X_AMZ_TARGET": "Kinesis_20131202.GetRecords"},
            "kinesis:GetRecords",
            None,
        ),
        (
            "monitoring",
            gzip.compress(b"Action=PutMetricData&Namespace=n"),
            {"HTTP_CONTENT_ENCODING": "gzip"},
            "cloudwatch:PutMetricData",
            "n",
        ),
        (
            "monitoring",
            b"\xa0",
            {"PATH_INFO": "/service/GraniteServiceVersion20100801/operation/PutMetricData"},
            "cloudwatch:PutMetricData",
            None,
        ),
    ],
)
def test_a_call_is_recorded_as_a_policy_names_it(
    tmp_path: Path, service: str, body: bytes, told: dict[str, str], action: str, resource: str | None
) -> None:
    file = tmp_path / "calls.jsonl"
    assert ask(recording(echo, file), "worker", service, body, **told) == body
    assert read(file) == {Call("worker", action, resource)}


def test_each_kind_of_call_is_recorded_once_for_each_caller(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    app = recording(echo, file)
    for caller in ("worker", "api", "worker"):
        ask(app, caller, "kinesis", b"{}", HTTP_X_AMZ_TARGET="Kinesis_20131202.ListShards")
    assert len(file.read_bytes().splitlines()) == 2


def test_an_unsigned_request_is_passed_on_and_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    assert ask(recording(echo, file), "", "", b"hello", HTTP_AUTHORIZATION="") == b"hello"
    assert read(file) == set()
