"""From a body to events: its types, its limits, and what a producer is bound to."""

import json
from typing import Any

import pytest

from tests.conftest import IDENTITY, NOW
from worker.api.access import Caller, Role
from worker.api.ingest import MOST_EVENTS, Admitted, Edge, Rejected, split
from worker.api.problems import BadRequest, NothingValid, TooLarge, Unsupported
from worker.domain import identity
from worker.domain.identity import Identity, Key, Keyring

JSON, LINES = "application/json", "application/x-ndjson"
ANYBODY = Caller("lms", frozenset({Role.PRODUCER}), "default")
BOUND = ANYBODY._replace(sources=frozenset({"lms"}))
STRANGER = Identity(Keyring("k1", {"k1": Key(bytes(32), bytes(64))}))


def event(**changed: Any) -> dict[str, Any]:
    plain = {
        "student_id": "ada",
        "course_id": "algebra",
        "item_id": "quiz-1",
        "score": 8,
        "max_score": 10,
        "occurred_at": "2026-03-02T09:00:00Z",
    }
    return {name: value for name, value in {**plain, **changed}.items() if value is not ...}


def admit(body: object, kind: str = JSON, caller: Caller = ANYBODY) -> Admitted:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Edge(IDENTITY, lambda: NOW).admit(raw, kind, caller)


def refusal(body: object, caller: Caller = ANYBODY) -> tuple[str | None, str]:
    with pytest.raises(NothingValid) as caught:
        admit(body, caller=caller)
    (rejected,) = caught.value.members["rejected"]
    return rejected["field"], rejected["error"]


def test_one_event_becomes_one_under_its_pseudonym() -> None:
    (found,) = admit(event()).events
    assert (found.student_key, found.sealed_id) == IDENTITY.identify("ada", "default")


def test_a_list_and_lines_are_several() -> None:
    several = [event(item_id=f"q{n}") for n in range(3)]
    lines = b"\n\n  ".join(json.dumps(one).encode() for one in several) + b"\r\n"
    for body, kind in ((several, JSON), (lines, LINES), (lines, "application/jsonl; charset=utf-8")):
        assert [found.item_id for found in admit(body, kind).events] == ["q0", "q1", "q2"]


@pytest.mark.parametrize(
    "kind", ["application/json", "APPLICATION/JSON; charset=UTF-8", "application/x.y+json"]
)
def test_json_is_known_by_its_type(kind: str) -> None:
    assert len(admit(event(), kind).events) == 1


@pytest.mark.parametrize("kind", ["", "text/plain", "text/json", "application/jsonp", ";json", "multipart/x"])
def test_another_type_is_refused(kind: str) -> None:
    with pytest.raises(Unsupported):
        admit(event(), kind)


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"[]", b"[", b"[{]", b"[" * 100_000, b"[1,", b'["\xff"', b"[]x"]
)
def test_a_body_that_is_none_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(BadRequest):
        admit(body)


def test_five_hundred_events_are_the_most() -> None:
    assert len(admit([event()] * MOST_EVENTS).events) == MOST_EVENTS
    line = json.dumps(event()).encode()
    for body, kind in (
        (json.dumps([event()] * (MOST_EVENTS + 1)).encode(), JSON),
        (b"\n".join([line] * (MOST_EVENTS + 1)), LINES),
        (b"[" + b"1," * 400_000 + b"1]", JSON),
    ):
        with pytest.raises(TooLarge):
            split(body, kind)


def test_empty_lines_do_not_hide_events_beyond_the_limit() -> None:
    line = json.dumps(event()).encode()
    body = b"\n" * 5_000 + line + b"\n" + line
    found = split(body, LINES)
    assert b"".join(bytes(one) for one in found).count(b"student_id") == 2


def test_one_bad_event_costs_only_itself() -> None:
    found = admit([event(), event(score=...), 7, event(occurred_at="2027-01-01T00:00:00Z"), event()])
    assert len(found.events) == 2
    assert found.rejected == [
        Rejected(1, "score", "missing_field"),
        Rejected(2, None, "invalid_field"),
        Rejected(3, "occurred_at", "time_out_of_range"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"7",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"{" * 50_000,
        b'{"a":' * 50_000,
        b"NaN",
        b'{"student_id":"\\ud800"}',
    ],
)
def test_what_is_no_event_is_refused_by_index(body: bytes) -> None:
    with pytest.raises(NothingValid):
        admit(body)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"student_id": ...}, ("student_id", "missing_field")),
        ({"student_id": ""}, ("student_id", "invalid_field")),
        ({"student_id": "a\x00"}, ("student_id", "invalid_field")),
        ({"course_id": "x" * 257}, ("course_id", "invalid_field")),
        ({"score": 1e300}, ("score", "invalid_field")),
        ({"score": "8"}, ("score", "invalid_field")),
        ({"occurred_at": "2026-03-02T09:00:00"}, ("occurred_at", "invalid_field")),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, ("occurred_at", "time_out_of_range")),
        ({"attempt": 2**63}, ("attempt", "invalid_field")),
    ],
)
def test_the_field_at_fault_is_named_and_no_value(changed: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(event(**changed)) == expected


def test_a_producer_writes_its_own_sources_alone() -> None:
    assert len(admit(event(source="lms"), caller=BOUND).events) == 1
    assert refusal(event(source="sis"), BOUND) == ("source", "not_allowed")
    assert refusal(event(), BOUND) == ("source", "not_allowed")


def pseudonymous(student: str, realm: str = "default", by: Identity = IDENTITY) -> dict[str, Any]:
    key, sealed = by.identify(student, realm)
    return event(student_id=..., student_key=str(key), sealed_id=identity.text(sealed))


def test_a_pseudonym_counts_with_a_seal_that_says_the_same() -> None:
    (found,) = admit(pseudonymous("ada")).events
    assert found.student_key == IDENTITY.identify("ada", "default").student_key


def test_a_pseudonym_with_another_seal_is_refused() -> None:
    mixed = {**pseudonymous("ada"), "student_key": pseudonymous("ben")["student_key"]}
    assert refusal(mixed) == ("student_key", "invalid_field")
    assert refusal(pseudonymous("ada", by=STRANGER)) == ("sealed_id", "invalid_field")
    assert refusal(pseudonymous("ada", "north")) == ("sealed_id", "not_allowed")
    assert refusal({**pseudonymous("ada"), "sealed_id": "!"}) == ("sealed_id", "invalid_field")
    assert refusal({**pseudonymous("ada"), "sealed_id": "AA"}) == ("sealed_id", "invalid_field")
    assert refusal({**pseudonymous("ada"), "sealed_id": None}) == ("sealed_id", "missing_field")


def test_the_realm_is_the_callers() -> None:
    (north,) = admit(event(), caller=ANYBODY._replace(realm="north")).events
    assert north.student_key == IDENTITY.identify("ada", "north").student_key
    assert north.student_key != IDENTITY.identify("ada", "default").student_key
