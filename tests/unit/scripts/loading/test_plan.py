from collections import Counter

import msgspec
import numpy as np
import pytest

from scripts.loading.plan import Crowd, Native, Plan
from scripts.loading.profiles import Schedule
from tests.conftest import IDENTITY
from worker.domain.event import Kind, ScoreEvent, from_micros, micros, register_of
from worker.domain.formats import native

BEGUN = 1_780_000_000_000_000


def made(count: int = 20_000, *, seed: int = 1, crowd: Crowd | None = None) -> Plan:
    crowd = crowd or Crowd(students=300, courses=9, each=2)
    plan = Plan("r", Schedule("steady", count, 1), crowd, seed=seed, identity=IDENTITY, realm="default")
    plan.begin(BEGUN)
    return plan


def as_admitted(events: list[Native]) -> list[ScoreEvent]:
    late = from_micros(BEGUN + 3_600_000_000)
    return [
        native.canonical(
            native.parse(msgspec.json.encode(event)),
            sealed_id=None,
            identity=IDENTITY,
            realm="default",
            arrived_at=late,
        )
        for event in events
    ]


def test_a_plan_is_a_function_of_its_seed() -> None:
    assert made().events(0, 500) == made().events(0, 500)
    assert made().events(0, 500) != made(seed=2).events(0, 500)


def test_events_do_not_depend_on_how_they_are_asked_for() -> None:
    plan = made()
    assert plan.events(0, 900) == [
        event for n in range(0, 900, 7) for event in plan.events(n, min(n + 7, 900))
    ]


def test_what_is_posted_is_what_is_put() -> None:
    plan = made(3_000)
    assert as_admitted(plan.natives(0, 3_000)) == plan.events(0, 3_000)


def test_the_registers_are_what_last_writer_wins_leaves() -> None:
    plan = made()
    sent = np.zeros(len(plan), dtype=bool)
    sent[:15_000] = True
    sent[200:300] = False
    winners: dict[tuple[object, ...], ScoreEvent] = {}
    for number in np.flatnonzero(sent).tolist():
        event = plan.events(number, number + 1)[0]
        name = event.student_key, event.course_id, register_of(event).key
        if name not in winners or event.graded_at >= winners[name].graded_at:
            winners[name] = event
    found = plan.registers(sent)
    expected = Counter(
        (key, course, event.kind is Kind.VOIDED, micros(event.occurred_at), event.score)
        for (key, course, _), event in winners.items()
    )
    actual = Counter(
        (
            plan.student(student).student_key,
            plan.course_id(course),
            voided,
            occurred,
            None if voided or score < 0 else score / 10,
        )
        for student, course, occurred, score, voided in zip(
            found.student.tolist(),
            found.course.tolist(),
            found.occurred.tolist(),
            found.score.tolist(),
            found.voided.tolist(),
            strict=True,
        )
    )
    assert actual == expected
    assert len(winners) == len(found.student)


def test_a_correction_names_an_earlier_attempt_and_is_graded_later() -> None:
    seen: dict[tuple[object, ...], ScoreEvent] = {}
    corrected = copies = 0
    for event in made().events(0, 20_000):
        name = event.student_key, event.course_id, event.item_id, event.attempt
        if event.graded_at != event.occurred_at:
            corrected += 1
            assert seen[name].occurred_at == event.occurred_at
        elif name in seen:
            copies += 1
            assert event.occurred_at == seen[name].occurred_at
        seen.setdefault(name, event)
    assert 600 < corrected < 800
    assert 400 < copies < 600


def test_a_few_students_do_much_of_the_work() -> None:
    counts = Counter(event.student_key for event in made(crowd=Crowd(300, 9, 2)).events(0, 20_000))
    ranked = [count for _, count in counts.most_common()]
    assert sum(ranked[:30]) > 0.25 * sum(ranked)
    assert len(ranked) == 300


def test_in_an_exam_nobody_is_busier_and_there_is_one_item() -> None:
    crowd = Crowd.of("exam", 300, 9)
    events = made(crowd=crowd).events(0, 20_000)
    assert {event.item_id for event in events} == {"quiz-0"}
    assert max(Counter(event.student_key for event in events).values()) < 3 * 20_000 / 300


def test_samples_are_new_scored_and_left_alone() -> None:
    plan = made()
    events = plan.events(0, 20_000)
    names = Counter(
        (e.student_key, e.course_id, e.item_id, e.attempt) for e in events if e.graded_at != e.occurred_at
    )
    chosen = plan.samples(0.01)
    assert len(chosen) == pytest.approx(100, abs=1)
    for number in chosen:
        event = events[number]
        assert event.score is not None
        assert (event.student_key, event.course_id, event.item_id, event.attempt) not in names


def test_no_student_id_is_in_an_event() -> None:
    assert not any("load-student" in repr(event) for event in made().events(0, 100))


def test_each_run_has_courses_of_its_own() -> None:
    assert {event.course_id.rpartition("-")[0] for event in made().events(0, 2_000)} == {"load-r"}
