"""The routes over twins: what no server is needed for to see."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import pytest
from litestar.testing import TestClient

from tests.api_doubles import ARN, SECRET, House, bearer
from tests.conftest import IDENTITY, NOW, minutes, score_event
from worker.api import examples
from worker.api.answers import Attempts, ClassView, Disclosures, StudentInCourse, SystemFigures
from worker.api.app import build

EVENT = {
    "student_id": "ada",
    "course_id": "algebra",
    "item_id": "quiz-1",
    "score": 8,
    "max_score": 10,
    "occurred_at": "2026-03-02T09:00:00Z",
    "source": "lms",
}
TEACHER = bearer("teacher", courses=["algebra"])
Client: TypeAlias = TestClient[Any]


@pytest.fixture
def house() -> House:
    return House(most_waiting=500)


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with TestClient(build(house.service), raise_server_exceptions=False) as client:
        yield client


def test_a_producer_behind_the_gateway_is_bound_to_its_sources(client: Client, house: House) -> None:
    gateway = {"X-Gateway-Caller-Arn": ARN, "X-Gateway-Secret": SECRET}
    assert client.post("/students", json=EVENT, headers=gateway).status_code == 202
    assert [event.source for event in house.producer.sent] == ["lms"]
    answer = client.post("/students", json={**EVENT, "source": "sis"}, headers=gateway)
    assert (answer.status_code, answer.json()["rejected"][0]["error"]) == (422, "not_allowed")
    for headers, status in (
        ({**gateway, "X-Gateway-Secret": "wrong"}, 401),
        ({"X-Gateway-Caller-Arn": ARN}, 401),
        ({**gateway, "X-Gateway-Caller-Arn": "arn:aws:iam::1:role/other"}, 403),
    ):
        assert client.post("/students", json=EVENT, headers=headers).status_code == status
    doubled = [*gateway.items(), ("X-Gateway-Caller-Arn", ARN)]
    # this client joins them with a comma, which is nobody's name
    assert client.post("/students", json=EVENT, headers=doubled).status_code == 403


def test_a_stream_that_is_away_is_told_with_when_to_come_again(client: Client, house: House) -> None:
    house.producer.away = True
    answer = client.post("/students", json=EVENT, headers=bearer("producer"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    house.producer.away = False
    assert client.post("/students", json=EVENT, headers=bearer("producer")).status_code == 202


def test_schools_that_share_a_courses_name_see_each_their_own_class(client: Client, house: House) -> None:
    ours = score_event("ada", item="q1")
    key, seal = IDENTITY.identify("ada", "north")
    theirs = msgspec.structs.replace(score_event("ada", item="q2"), student_key=key, sealed_id=seal)
    house.learn(ours, theirs)
    for realm, student_key, item in (("default", ours.student_key, "q1"), ("north", key, "q2")):
        teacher = bearer("teacher", courses=["algebra"], realm=realm)
        seen = client.get("/metrics", params={"course_id": "algebra"}, headers=teacher).json()
        assert [(line["student_id"], line["student_key"]) for line in seen["roster"]] == [
            ("ada", str(student_key))
        ]
        assert (seen["learners"], [one["item_id"] for one in seen["items"]]) == (1, [item])
    for stranger in (bearer("teacher", courses=["algebra"], realm="south"), bearer("analyst", realm="south")):
        assert client.get("/metrics", params={"course_id": "algebra"}, headers=stranger).status_code == 404


def test_another_schools_class_of_the_same_name_is_not_there(client: Client, house: House) -> None:
    key, seal = IDENTITY.identify("ada", "north")
    house.learn(msgspec.structs.replace(score_event("ada"), student_key=key, sealed_id=seal))
    assert client.get("/metrics", params={"course_id": "algebra"}, headers=TEACHER).status_code == 404


def test_an_error_of_ours_tells_nothing_of_itself(
    client: Client, house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(keys: Sequence[object]) -> None:
        raise ZeroDivisionError("the secret of s-17")

    monkeypatch.setattr(house.projection, "peek", broken)
    with caplog.at_level(logging.DEBUG):
        answer = client.get(
            "/metrics",
            params={"student_id": "me", "course_id": "algebra"},
            headers=bearer("student", student_id="s-17"),
        )
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "ZeroDivision" not in answer.text
    told = [record for record in caplog.records if record.message == "unexpected error"]
    assert [getattr(record, "error", None) for record in told] == ["ZeroDivisionError"]
    assert "s-17" not in caplog.text + str([vars(record) for record in told])


@pytest.mark.parametrize(
    "query",
    [
        "course_id=a%00b",
        "course_id=algebra&course_id=algebra",
        "course_id=algebra&unknown=1",
        "course_id=algebra&limit=0",
        "course_id=algebra&limit=501",
        "course_id=algebra&limit=" + "9" * 30,
        "course_id=algebra&as_of=0001-01-01T00:00:00%2B14:00",
        "course_id=algebra&as_of=9999-12-31T23:59:59Z",
        "course_id=algebra&as_of=2026-01-01T00:00:00",
        "course_id=algebra&from=2026-02-30",
        "course_id=algebra&from=2026-02-02&to=2026-02-01",
        "course_id=algebra&cursor=k6cyMDI2",
        "course_id=algebra&sort=nope",
        "course_id=" + "x" * 257,
        "student_id=s-1&from=2026-01-01",
        "limit=5",
        "&=&",
    ],
)
def test_what_cannot_be_read_is_refused_in_words(client: Client, house: House, query: str) -> None:
    house.learn(score_event("ada", at=NOW - minutes(1)))
    answer = client.get(f"/metrics?{query}", headers=TEACHER)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET /schema" in answer.text or "`" in answer.text or "cursor" in answer.text


def test_parameters_are_named_as_they_are_sent(client: Client) -> None:
    answer = client.get("/metrics?course_id=algebra&from=x&to=y", headers=TEACHER)
    assert "from, to" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/metrics", {"student_id": "ada", "course_id": "algebra"}),
        ("/metrics", {"student_id": "ada"}),
        ("/metrics", {"course_id": "algebra"}),
        ("/attempts", {"student_id": "ada", "course_id": "algebra"}),
    ],
)
def test_a_look_is_recorded_once_an_answer_leaves_and_not_for_an_unchanged_one(
    client: Client, house: House, path: str, parameters: dict[str, str]
) -> None:
    house.learn(score_event("ada"))

    def look(tag: str = "") -> tuple[int, str, int]:
        answer = client.get(
            path, params=parameters, headers={**TEACHER, "If-None-Match": tag} if tag else TEACHER
        )
        return answer.status_code, answer.headers.get("etag", ""), len(house.book.links)

    status, tag, recorded = look()
    assert (status, recorded) == (200, 1)
    assert look(tag) == (304, tag, 1)
    assert look('W/"another"') == (200, tag, 2)
    if "student_id" in parameters:  # a class is computed anew every few seconds alone
        house.learn(score_event("ada", attempt=2, score=1.0))
        status, changed, recorded = look(tag)
        assert (status, changed != tag, recorded) == (200, True, 3)
    house.lose(ledger=True)
    assert look('W/"another"')[0] == 503, "what cannot be recorded does not happen"


def test_people_are_sent_to_sign_in_only_where_there_is_a_provider(client: Client) -> None:
    for path in ("/sign-in", "/signed-in?code=a&state=b"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert client.get("/signed-in", follow_redirects=False).status_code == 400
    assert "data-sign-in" not in client.get("/").text


@pytest.mark.parametrize(
    ("form", "example"),
    [
        (StudentInCourse, examples.STUDENT_IN_COURSE),
        (ClassView, examples.CLASS),
        (SystemFigures, examples.SYSTEM),
        (Attempts, examples.ATTEMPTS),
        (Disclosures, examples.DISCLOSURES),
    ],
)
def test_the_examples_of_the_schema_are_what_is_answered(
    form: type[msgspec.Struct], example: dict[str, Any]
) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(form)}
    assert example.keys() == names
    msgspec.convert(example, form)


def test_the_schema_shows_them(client: Client) -> None:
    told = client.get("/schema").json()["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert {
        one["value"]["definition"]
        for one in told["application/json"]["examples"].values()
        if "definition" in one["value"]
    } == {"v1"}
