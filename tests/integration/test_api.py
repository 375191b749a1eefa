"""The API on real servers: what it answers, to whom, and what it leaves behind."""

import csv
import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis
import zstandard

from tests.integration.served import COURSE, OTHER, PUPILS, Answer, School, attempt, eventually
from worker import wiring
from worker.adapters.aurora.disclosures import AuroraDisclosures
from worker.domain import envelope
from worker.settings import load

ONE = {"student_id": "s-3", "course_id": COURSE}


def rows(school: School, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(school.session.stack.endpoints.database_url) as connection:
        return connection.execute(statement.encode()).fetchall()


def disclosed(school: School) -> int:
    count = rows(school, "SELECT count(*) FROM disclosures")[0][0]
    assert isinstance(count, int)
    return count


def test_a_student_reads_the_own_record_and_nobody_writes_that_down(school: School) -> None:
    before = disclosed(school)
    answer = school.get("s-3", "/metrics", student_id="me", course_id=COURSE)
    assert answer.status == 200, answer.body
    found = answer.json
    assert (found["student_id"], found["attempts_total"], found["latest"]) == ("s-3", 5, 0.59)
    assert len(found["window"]) == 5
    assert found["degraded"] is False
    assert 0 < found["percentile_in_course"] < 100
    assert school.get("s-3", "/metrics", student_id="s-3").json["courses"][0]["course_id"] == COURSE
    assert disclosed(school) == before


def test_everybody_else_is_written_down_before_the_answer(school: School) -> None:
    for who, path, what in (
        ("teacher", "/metrics", "scores"),
        ("official", "/attempts", "attempts"),
        ("teacher", "/metrics", "scores"),
    ):
        before = disclosed(school)
        assert school.get(who, path, **ONE).status == 200
        assert disclosed(school) == before + 1
        newest = school.get("s-3", "/disclosures", student_id="me", limit=1).json["disclosures"][0]
        assert (newest["who"], newest["role"], newest["what"]) == (f"subject-{who}", who, what)
        assert newest["purpose"] == ("a complaint about a grade" if who == "official" else None)


def test_a_class_is_paged_sorted_and_written_down_for_each_learner(school: School) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = school.get(
            "teacher", "/metrics", course_id=COURSE, sort="mean_last_n", order="desc", limit=5, **cursor
        )
        assert answer.status == 200, answer.body
        found = answer.json
        seen += [line["student_id"] for line in found["roster"]]
        if found["next_cursor"] is None:
            break
        cursor = {"cursor": found["next_cursor"]}
    assert seen == PUPILS[::-1]
    assert (found["learners"], found["learners_counted"], found["definition"]) == (12, 12, "v1")
    assert [item["item_id"] for item in found["items"]] == [f"q{k}" for k in range(5)]
    assert sum(bar["learners"] for bar in found["distribution"]) == 12
    newest = school.get("s-0", "/disclosures", student_id="me", limit=1).json["disclosures"][0]
    assert (newest["what"], newest["course_id"]) == ("class", COURSE)


def test_a_table_holds_the_whole_class(school: School) -> None:
    answer = school.get("teacher", "/metrics", {"Accept": "text/csv"}, course_id=COURSE)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert sorted(row["student_id"] for row in table) == sorted(PUPILS)


def test_days_and_moments_narrow_a_class(school: School) -> None:
    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=1), today
    narrowed = school.get("teacher", "/metrics", course_id=COURSE, **{"from": first, "to": last})
    assert narrowed.json["learners"] == 12
    long_ago = school.get("teacher", "/metrics", course_id=COURSE, to=today - timedelta(days=9))
    assert long_ago.status == 404
    moment = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    then = school.get("s-3", "/metrics", student_id="me", course_id=COURSE, as_of=moment)
    assert (then.json["attempts_total"], then.json["degraded"]) == (5, False)
    for end in ("9999-12-31", "0001-01-01"):
        for name in ("from", "to"):
            assert school.get("teacher", "/metrics", course_id=COURSE, **{name: end}).status in (200, 404)


def test_an_analyst_sees_figures_without_rows(school: School) -> None:
    before = disclosed(school)
    answer = school.get("analyst", "/metrics", course_id=COURSE)
    assert answer.status == 200, answer.body
    found = answer.json
    assert not {"roster", "items", "next_cursor"} & found.keys()
    assert (found["learners"], found["learners_counted"]) == (12, 12)
    assert all(bar["learners"] >= 10 for bar in found["distribution"])
    assert found["mean"] == round(found["mean"], 2)
    table = school.get("analyst", "/metrics", {"Accept": "text/csv"}, course_id=COURSE)
    assert table.headers["etag"] == answer.headers["etag"]
    for narrowed in ({"from": "2026-01-01"}, {"to": "2026-01-01"}, {"as_of": "2026-01-01T00:00:00Z"}):
        assert school.get("analyst", "/metrics", course_id=COURSE, **narrowed).status == 400
    assert disclosed(school) == before


def test_attempts_and_disclosures_come_in_pages(school: School) -> None:
    items: list[str] = []
    cursor: dict[str, str] = {}
    while cursor or not items:
        found = school.get("teacher", "/attempts", **ONE, limit=2, **cursor).json
        items += [line["item_id"] for line in found["attempts"]]
        cursor = {"cursor": found["next_cursor"]} if found["next_cursor"] else {}
    assert sorted(items) == [f"q{k}" for k in range(5)]
    page = school.get("s-3", "/disclosures", student_id="me", limit=1).json
    assert len(page["disclosures"]) == 1
    rest = school.get("s-3", "/disclosures", student_id="me", cursor=page["next_cursor"]).json
    assert page["disclosures"][0] not in rest["disclosures"]


def test_the_system_is_the_operators(school: School) -> None:
    found = school.get("operator", "/metrics").json
    assert (found["redis"], found["ledger"]) == ("answers", "answers")
    assert found["events"]["read"] == sum(n for name, n in found["events"].items() if name != "read")
    assert len(found["shards"]) == 2
    session = school.get("teacher", "/session").json
    assert (session["roles"], session["courses"]) == (["teacher"], sorted([COURSE, OTHER]))


ROUTES = {
    "a pupil": ("/metrics", ONE),
    "a pupil everywhere": ("/metrics", {"student_id": "s-3"}),
    "attempts": ("/attempts", ONE),
    "the class": ("/metrics", {"course_id": COURSE}),
    "the system": ("/metrics", {}),
    "who looked": ("/disclosures", {"student_id": "s-3"}),
}
MAY = {
    "s-3": {"a pupil", "a pupil everywhere", "attempts", "who looked"},
    "teacher": {"a pupil", "a pupil everywhere", "attempts", "the class"},
    "official": {"a pupil", "a pupil everywhere", "attempts", "the class", "who looked"},
    "analyst": {"the class"},
    "operator": {"the system"},
    "stranger": {"a pupil everywhere"},
    "s-4": set[str](),
    "producer": set[str](),
    "nobody": set[str](),
}


@pytest.mark.parametrize("who", MAY)
def test_what_is_not_granted_is_refused(school: School, who: str) -> None:
    for name, (path, parameters) in ROUTES.items():
        answer = school.get(who, path, **parameters)
        # somebody else's teacher is told of no course, which is to say of nobody
        expected = 404 if who == "stranger" and name in MAY[who] else 200 if name in MAY[who] else 403
        assert answer.status == expected, (name, answer.body)
    assert school.post(attempt("s-9", "q9"), who=who).status == (202 if who == "producer" else 403)


def test_without_a_good_identity_nobody_gets_anything(school: School) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        {"X-Gateway-Secret": ""},
    ):
        for path in ("/metrics", "/session", "/attempts?student_id=s-3&course_id=x"):
            answer = school.call("GET", path, headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert school.call("POST", "/students", headers, b"{}").status == 401


def test_a_known_answer_is_not_sent_again(school: School) -> None:
    for who, parameters in (
        ("s-3", ONE),
        ("teacher", {"course_id": COURSE}),
        ("analyst", {"course_id": COURSE}),
    ):
        first = school.get(who, "/metrics", **parameters)
        again = school.get(who, "/metrics", {"If-None-Match": first.headers["etag"]}, **parameters)
        assert (again.status, again.body) == (304, b"")
        assert "x-as-of" in again.headers
    page = school.call("GET", "/", {})
    assert school.call("GET", "/", {"If-None-Match": page.headers["etag"]}).status == 304


def test_requests_do_not_share_their_ids(school: School) -> None:
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(school.get("nobody", "/metrics"))) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {answer.json["request_id"] for answer in answers}
    assert len(ids) == 24
    assert all(answer.headers["x-request-id"] == answer.json["request_id"] for answer in answers)


def test_what_finds_no_route_is_a_problem_too(school: School) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/students/s-3", 404),
        ("GET", "/students", 405),
        ("DELETE", "/metrics", 405),
        ("HEAD", "/metrics", 405),
        ("GET", "/static/../api.py", 404),
        ("GET", "/static/%2e%2e%2fapp.py", 404),
    ):
        answer = school.call(method, path, school.as_("operator"))
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert method == "HEAD" or answer.json["request_id"] == answer.headers["x-request-id"]
        assert status == 404 or "allow" in answer.headers
    assert school.call("OPTIONS", "/students", {}).headers["allow"] in ("POST, OPTIONS", "OPTIONS, POST")
    metrics = school.call("GET", "/healthz", {})
    assert metrics.json == {"healthy": True}


def test_accepted_means_that_the_stream_has_it(school: School) -> None:
    lines = "\n".join(json.dumps(attempt("s-5", f"late-{n}")) for n in range(3)).encode()
    answer = school.post(zstandard.compress(lines), kind="application/x-ndjson", Content_Encoding="zstd")
    assert (answer.status, answer.json["accepted"]) == (202, 3)
    written = b"".join(b"\n".join(envelope.open_record(record).events) for record in school.records())
    assert all(f'"late-{n}"'.encode() in written for n in range(3))
    mixed = school.post([attempt("s-5", "late-3"), attempt("s-5", "late-4", "high")])  # type: ignore[arg-type]
    assert (mixed.status, mixed.json["accepted"]) == (202, 1)
    assert mixed.json["rejected"] == [{"index": 1, "field": "score", "error": "invalid_field"}]
    refused = school.post([attempt("s-5", "late-5", max_score="x")])
    assert (refused.status, refused.json["accepted"]) == (422, 0)


def test_a_throttled_stream_is_told_and_repeating_is_harmless(school: School) -> None:
    event = attempt("s-6", "throttled")
    school.session.stack.emulator.refuse({"kinesis": 1.0})
    try:
        answer = school.post(event)
    finally:
        school.session.stack.emulator.refuse({})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "all" in answer.json["detail"]
    for _ in range(2):
        assert school.post(event).status == 202
    school.deliver()
    lines = school.get("s-6", "/attempts", student_id="me", course_id=COURSE).json["attempts"]
    assert [line["item_id"] for line in lines].count("throttled") == 1


def test_a_graceful_stop_answers_what_it_had_taken(school: School) -> None:
    first = school.api
    school.api = second = school.session.start_api()
    refuse = school.session.stack.emulator.refuse
    answers: list[Answer] = []
    try:
        assert school.get("teacher", "/metrics", **ONE).status == 200
        assert school.post(attempt("s-7", "first")).status == 202
        refuse({"kinesis": 1.0})
        post = threading.Thread(target=lambda: answers.append(school.post(attempt("s-7", "last"))))
        post.start()
        eventually(lambda: school.call("GET", "/readyz", {}).json["events_waiting"] == 1)
        assert second.process.pid is not None
        os.kill(second.process.pid, signal.SIGTERM)
        refuse({})
        post.join(20)
        eventually(lambda: not second.process.running, seconds=20)
    finally:
        refuse({})
        school.api = first
    (answer,) = answers
    assert answer.status == 202, answer.body
    written = b"".join(b"\n".join(envelope.open_record(record).events) for record in school.records())
    assert b'"last"' in written
    settings = load(school.session.environment)
    log = AuroraDisclosures(wiring.database(settings))
    assert list(log.broken()) == []
    log.close()
    assert rows(school, "SELECT count(*) FROM disclosure_anchors")[0][0] != 0


@pytest.fixture
def outage(school: School) -> Iterator[None]:
    """Servers that are taken away come back, whatever the test did; then the API answers as before."""
    yield
    school.session.stack.postgres.start()
    school.session.stack.valkey.start()
    eventually(lambda: school.call("GET", "/readyz", {}).status == 200)
    # each thread of the API finds out by itself that its connection is gone
    looks = [("teacher", "/metrics"), ("teacher", "/attempts"), ("s-3", "/attempts")] * 6
    eventually(lambda: all(school.get(who, path, **ONE).status == 200 for who, path in looks))


@pytest.mark.usefixtures("outage")
def test_an_entry_missing_in_redis_is_rebuilt_and_answered(school: School) -> None:
    before = school.get("s-3", "/metrics", student_id="me", course_id=COURSE).json
    with redis.Redis.from_url(school.session.stack.endpoints.redis_url) as client:
        client.flushall()
        after = school.get("s-3", "/metrics", student_id="me", course_id=COURSE).json
        assert after["degraded"] is False
        assert [after[name] for name in ("ewma", "window")] == [before[name] for name in ("ewma", "window")]
        assert client.dbsize() != 0
    assert school.get("teacher", "/metrics", course_id=COURSE).json["learners"] == 12


@pytest.mark.usefixtures("outage")
def test_without_redis_the_ledger_answers_and_says_so(school: School) -> None:
    school.session.stack.valkey.kill()
    for who, parameters in (("s-3", ONE), ("teacher", ONE), ("official", ONE)):
        answer = school.get(who, "/metrics", **parameters)
        assert (answer.status, answer.json["degraded"], answer.json["ewma"] is None) == (200, True, False)
    eventually(lambda: school.get("teacher", "/metrics", course_id=COURSE).json["degraded"])
    eventually(lambda: school.call("GET", "/readyz", {}).status == 503)
    assert school.call("GET", "/readyz", {}).json["redis"] == "away"
    assert school.post(attempt("s-8", "meanwhile")).status == 202
    assert school.get("operator", "/metrics").json["redis"] == "away"


@pytest.mark.usefixtures("outage")
def test_without_postgresql_the_own_record_is_served_and_others_wait(school: School) -> None:
    assert school.get("s-3", "/metrics", student_id="me", course_id=COURSE).status == 200
    assert school.get("teacher", "/metrics", course_id=COURSE).status == 200
    school.session.stack.postgres.kill()
    started = time.monotonic()
    own = school.get("s-3", "/metrics", student_id="me", course_id=COURSE)
    assert (own.status, own.json["degraded"], own.json["attempts_total"]) == (200, False, 5)
    for who, path, parameters in (
        ("teacher", "/metrics", ONE),
        ("teacher", "/metrics", {"course_id": COURSE}),
        ("official", "/attempts", ONE),
        ("analyst", "/metrics", {"course_id": COURSE}),
        ("s-3", "/attempts", ONE),
        ("s-3", "/disclosures", {"student_id": "me"}),
        ("s-3", "/metrics", {"student_id": "me"}),
    ):
        answer = school.get(who, path, **parameters)
        assert answer.status == 503, (who, path, answer.body)
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
    assert school.post(attempt("s-8", "meanwhile-2")).status == 202
    assert school.get("operator", "/metrics").json["ledger"] == "away"
    assert time.monotonic() - started < 20
