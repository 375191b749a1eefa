"""What must be left in the peers' sinks."""

import msgspec
import pytest

from benchmarks.peers.events import CALL, ENVELOPE, Events
from benchmarks.peers.expecting import KEPT, Event, expected, registered
from tests.conftest import IDENTITY
from worker.domain import envelope

DAY = "2026-03-02T09:30"


def event(attempt: int, score: float | None, at: str = "00Z", **more: object) -> Event:
    return {
        "student_id": "s",
        "course_id": "c",
        "item_id": "q",
        "attempt": attempt,
        "occurred_at": f"{DAY}:{at}",
        "score": score,
        **more,
    }


def test_each_event_is_a_further_score() -> None:
    found = expected([event(n, float(n)) for n in range(25)] + [event(99, None)])
    assert (found.rows, found.total) == (26, sum(range(25)))
    assert found.last == {("s", "c"): [float(n) for n in range(25 - KEPT, 25)]}
    assert found.scores == {("s", "c"): 25}


def test_the_last_grading_of_an_attempt_stands_and_a_void_takes_it_back() -> None:
    void = {key: value for key, value in event(2, None).items() if key != "score"}
    found = registered(
        [
            event(1, 10.0),
            event(1, 20.0, graded_at=f"{DAY}:01.5Z"),
            event(1, 30.0, graded_at=f"{DAY}:01Z"),  # late
            event(2, 50.0),
            {**void, "kind": "voided", "graded_at": f"{DAY}:00.000001Z"},
            event(3, 40.0, "02Z"),
            event(3, 40.0, "02Z"),
            event(4, None, "03Z"),
        ]
    )
    assert found.attempts == 4
    assert found.total == 60.0
    assert found.means == {("s", "c"): 30.0}


def test_a_window_holds_the_last_attempts_by_their_time() -> None:
    backwards = [event(n, float(n), f"{n:02}Z") for n in reversed(range(25))]
    assert registered(backwards).means["s", "c"] == pytest.approx(sum(range(5, 25)) / KEPT)


def test_every_form_holds_the_same_events() -> None:
    events = Events("t", CALL, IDENTITY, "default")
    plain = [msgspec.json.decode(record) for record in events.plain()]
    opened = [
        msgspec.json.decode(line)
        for record in events.envelopes()
        for line in envelope.open_record(record).events
    ]
    assert len(plain) == len(opened) == CALL
    assert len(events.envelopes()) == CALL // ENVELOPE
    here, there = expected(plain), expected(opened, "student_key")
    assert (here.rows, here.total) == (there.rows, there.total)
    assert sorted(map(tuple, here.last.values())) == sorted(map(tuple, there.last.values()))
    assert registered(plain).attempts < CALL
