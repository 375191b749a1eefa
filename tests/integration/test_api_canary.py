"""A made-up person in every field that a client can fill: nothing of it is found anywhere afterwards."""

import base64
import gzip
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest
import redis
import zstandard
from psycopg import sql

from tests.integration.served import COURSE, OTHER, Answer, School, attempt, logs
from worker.domain import envelope

NAME = "Zebulon Quackenbush"
MAIL = "zebulon.quackenbush@canary.example"
STREET = "742 Evergreen Canary Terrace"
NUMBER = "canary-930-41-7755"
CANARIES = [text.encode() for text in (NAME, MAIL, STREET, NUMBER, "Quackenbush", "930-41-7755")]
_FREE = ("name", "email", "address", "comment", "answers", "ip", "extensions", "context", "actor")


def singing() -> dict[str, object]:
    """Every canary in every field that is none of ours."""
    nested = {"mbox": f"mailto:{MAIL}", "account": {"name": NAME, "home": [STREET, NUMBER]}}
    return {
        field: nested if field in ("actor", "context") else f"{NAME}, {MAIL}, {STREET}" for field in _FREE
    }


@pytest.fixture(scope="module")
def answers(school: School) -> list[Answer]:
    """What was answered to a client that names the person wherever it can."""
    event = {**attempt(NUMBER, "canary-item", 70), "course_id": OTHER, **singing()}
    wrong = [
        {**event, "score": NAME},
        {**event, "occurred_at": STREET},
        {**event, "max_score": {"x": MAIL}},
        {**event, "kind": NAME},
        {**event, "source": 7},
        {**event, "student_id": None},
        {**event, "sealed_id": MAIL, "student_key": NUMBER},
        {NAME: MAIL, STREET: NUMBER},
        NAME,
    ]
    told = [
        school.post(event, User_Agent=NAME, Referer=MAIL, Cookie=f"id={NUMBER}", X_Name=STREET),
        school.post(gzip.compress(json.dumps([event, *wrong]).encode()), Content_Encoding="gzip"),
        school.post("\n".join(map(json.dumps, wrong)).encode(), kind="application/x-ndjson"),
        school.post(event, kind=f"text/{NUMBER}"),
        school.post(event, Content_Encoding=NUMBER),
        school.post(f"{NAME} is not JSON".encode()),
        school.post(gzip.compress(NAME.encode())[:-3], Content_Encoding="gzip"),
    ]
    cursor = base64.urlsafe_b64encode(NAME.encode()).decode()
    for who in ("teacher", "official", "analyst", "s-2", "nobody"):
        told += [
            school.get(who, "/metrics", student_id=NUMBER, course_id=COURSE + NAME),
            school.get(who, "/metrics", student_id=NUMBER, name=NAME),
            school.get(who, "/metrics", course_id=COURSE, sort=NAME, cursor=MAIL, limit=STREET),
            school.get(who, "/metrics", course_id=COURSE, cursor=cursor),
            school.get(who, "/attempts", student_id=NUMBER, course_id=NAME),
            school.get(who, f"/students/{NUMBER}"),
            school.get(who, f"/static/{NUMBER}"),
            school.get(who, "/session", {"User-Agent": NAME, "If-None-Match": MAIL, "Accept": NUMBER}),
        ]
    told += [
        school.call("GET", "/metrics", {"Authorization": f"Bearer {NUMBER}.{NUMBER}.x"}),
        school.call("GET", "/metrics", {"Authorization": f"Basic {NUMBER}"}),
        school.call("GET", "/metrics", {"X-Gateway-Caller-Arn": NAME, "X-Gateway-Secret": NUMBER}),
        school.call("BREW", f"/{NUMBER}", {}),
        school.call("DELETE", f"/metrics?student_id={NUMBER}", {}),
    ]
    school.deliver()
    return told


def alarms(content: bytes) -> list[bytes]:
    """Which canaries sing, in the clear or lightly wrapped."""
    packed = [base64.b64encode(text)[:-4] for text in CANARIES]
    hexed = [text.hex().encode() for text in CANARIES]
    wrapped = [*CANARIES, *packed, *hexed]
    return [text for text in wrapped if text in content or text.lower() in content.lower()]


def test_the_event_arrived_and_only_who_may_see_it_reads_the_number(
    school: School, answers: list[Answer]
) -> None:
    assert answers[0].status == 202
    assert answers[1].json["accepted"] == 1
    seen = school.get("teacher", "/metrics", student_id=NUMBER, course_id=OTHER)
    assert (seen.status, seen.json["student_id"]) == (200, NUMBER)
    assert alarms(seen.body)
    assert alarms(seen.body.replace(NUMBER.encode(), b"")) == []


def test_no_answer_quotes_what_was_sent(answers: list[Answer]) -> None:
    assert {400, 401, 403, 404, 405, 415, 422} <= {answer.status for answer in answers}
    for answer in answers:
        told = answer.body if answer.status >= 400 else b""
        assert alarms(told + json.dumps(answer.headers).encode()) == [], answer
    assert alarms(answers[0].body + answers[1].body) == []


@pytest.mark.usefixtures("answers")
def test_no_table_holds_it(school: School) -> None:
    columns = 0
    with psycopg.connect(school.session.stack.endpoints.database_url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table, column, kind in tables:
            # as text, because a time of PostgreSQL's may be none of Python's
            form = "SELECT {column} FROM {table}" if kind == "bytea" else "SELECT {column}::text FROM {table}"
            query = sql.SQL(form).format(column=sql.Identifier(column), table=sql.Identifier(schema, table))
            for (value,) in connection.execute(query):
                held = _opened(value) if isinstance(value, bytes) else (value or "").encode()
                assert alarms(held) == [], (table, column)
            columns += 1
    assert columns > 60


@pytest.mark.usefixtures("answers")
def test_no_key_or_value_in_redis_holds_it(school: School) -> None:
    assert school.get("teacher", "/metrics", course_id=OTHER).status == 200
    with redis.Redis.from_url(school.session.stack.endpoints.redis_url) as client:
        keys = list(client.scan_iter())
        assert len(keys) > 10
        for key in keys:
            for value in _values(client, key):
                assert alarms(key + b"\n" + _opened(value)) == [], key


@pytest.mark.usefixtures("answers")
def test_no_log_metric_or_record_holds_it(school: School) -> None:
    written = logs(school.session.directory)
    assert len(written) > 100
    assert alarms(written) == []
    assert b"canary" not in written
    with urllib.request.urlopen(school.api.metrics_url) as answer:
        metrics = answer.read()
    assert b"edu_api_requests_total" in metrics
    assert alarms(metrics) == []
    paths = set(re.findall(rb'path="([^"]*)"', metrics))
    assert len(paths) <= 12, paths
    records = school.records()
    assert any(b"canary-item" in b"\n".join(envelope.open_record(one).events) for one in records)
    for record in records:
        opened = envelope.open_record(record)
        assert alarms(b"\n".join(opened.events) + json.dumps(opened.students).encode()) == []


@pytest.mark.usefixtures("answers")
def test_no_file_of_the_servers_holds_it(school: School) -> None:
    found = [path for path in _files(school.session.directory) if alarms(path.read_bytes())]
    assert found == []


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def _values(client: "redis.Redis", key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"string":
        return [cast("bytes", client.get(key))]
    if kind == b"zset":
        return cast("list[bytes]", client.zrange(key, 0, -1))
    assert kind == b"hash", kind
    found = cast("dict[bytes, bytes]", client.hgetall(key))
    return [piece for pair in found.items() for piece in pair]


def _opened(value: bytes) -> bytes:
    """What stands there, and what it holds if it is packed."""
    if value.startswith(b"\x28\xb5\x2f\xfd"):
        return value + zstandard.ZstdDecompressor().decompress(value)
    return value
