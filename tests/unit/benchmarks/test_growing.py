"""The measured batches, what EXPLAIN says, and what is told of the costs."""

from itertools import chain
from uuid import UUID

import pytest

from benchmarks.growing.ballast import COURSES, EACH, MEAN_ATTEMPTS, Shape
from benchmarks.growing.batches import EVENTS, Batches, Known, Mix, repeated
from benchmarks.growing.measuring import Cost
from benchmarks.growing.plans import read
from benchmarks.growing.rounds import by_batch, median, ratios
from benchmarks.growth import judged, sizes_up_to
from worker.batch import StateKey
from worker.domain.event import Kind

STATES = [Known(StateKey(UUID(int=n), f"course-{n % 7}"), 1 + n % 9, b"id") for n in range(1_500)]


def cost(**parts: float) -> Cost:
    usual = dict.fromkeys(Cost._fields, 10.0)
    return Cost(**{**usual, **parts})


@pytest.mark.parametrize("events", [60, EVENTS])
def test_a_batch_has_so_many_events_and_touches_no_old_state_twice(events: int) -> None:
    (batch,) = Batches(STATES, 3, "file:x").take(1, events)
    mix = Mix.of(events)
    assert len(batch.events) == events
    touched = [d.key for d in batch.events if d.key.student_key.int < len(STATES)]
    assert len(touched) - len(set(touched)) == mix.copies
    assert sum(d.event.kind is Kind.VOIDED for d in batch.events) == mix.voids
    assert len({d.event.student_key for d in batch.events}) == mix.states + mix.students


def test_copies_are_of_the_batch_before_and_everything_else_is_new() -> None:
    first, second = Batches(STATES, 0, "file:x").take(2)
    names = [(d.key, d.register.key, d.event.graded_at) for d in chain(first.events, second.events)]
    assert len(names) - len(set(names)) == 2 * Mix.of(EVENTS).copies
    assert (first.high.sequence, second.high.sequence) == (1, 2)


def test_regrades_are_of_attempts_that_the_ledger_has() -> None:
    (batch,) = Batches(STATES, 0, "file:x").take(1)
    known = {state.key: state.attempts for state in STATES}
    regraded = [d for d in batch.events if d.event.graded_at != d.event.occurred_at]
    assert len(regraded) == Mix.of(EVENTS).regrades + Mix.of(EVENTS).voids
    assert all(int(d.event.item_id.removeprefix("quiz-")) < known[d.key] for d in regraded)


def test_a_replay_has_every_event_again_after_them() -> None:
    taken = Batches(STATES, 0, "file:x").take(3)
    again = repeated(taken)
    assert [d.event for d in again.events] == [d.event for batch in taken for d in batch.events]
    assert again.high > taken[-1].high


def test_a_shape_has_ten_attempts_a_state_at_every_size() -> None:
    for rows in (10_000, 10_000_000):
        shape = Shape.of(rows)
        assert shape.states * MEAN_ATTEMPTS == rows
        assert shape.states == shape.students * EACH
    assert COURSES % EACH == 0


def node(kind: str, pages: int, **more: object) -> dict[str, object]:
    usual = {"Shared Hit Blocks": pages, "Shared Read Blocks": 0, "Actual Rows": 5, "Actual Loops": 1}
    return {"Node Type": kind, **usual, **more}


def test_a_plan_that_reads_a_table_from_end_to_end_is_seen() -> None:
    small = node("Seq Scan", 99, **{"Relation Name": "ledger"})
    often = node("Seq Scan", 5_000, **{"Relation Name": "courses", "Actual Loops": 1_000})
    found = node("Index Scan", 4_000, **{"Relation Name": "students", "Index Cond": "x"})
    whole = node("Seq Scan", 100, **{"Relation Name": "students", "Rows Removed by Filter": 900})
    walked = node("Index Only Scan", 300, **{"Relation Name": "attempts"})
    plan = node("Hash Join", 9_000, Plans=[small, often, found, node("Hash", 100, Plans=[whole]), walked])
    told = read("merge", {"Plan": plan, "Planning Time": 0.5, "Execution Time": 2.0})
    assert told.whole == [("students", 905), ("attempts", 5)]
    assert (told.pages, told.planning_ms) == (9_000, 0.5)


def test_the_median_is_taken_part_by_part() -> None:
    rounds = [cost(client_us=1, wall_us=9), cost(client_us=2, wall_us=7), cost(client_us=9, wall_us=8)]
    assert median(rounds) == cost(client_us=2, wall_us=8)


def test_postgres_is_the_session_and_the_duties_beside_it() -> None:
    one = cost(backend_us=30, duties_us=2, client_us=40, valkey_us=20)
    assert (one.postgres_us, one.cpu_us) == (32, 92)


def test_two_sizes_of_batches_tell_the_batch_from_its_events() -> None:
    # 6,000 a batch and 40 an event
    few, many = cost(wall_us=40 + 6_000 / 60), cost(wall_us=40 + 6_000 / 600)
    assert by_batch(few, many, 60, 600)["wall_us"] == {"a_batch": 6_000, "an_event": 40}


def test_goals_compare_the_last_with_the_first_and_name_what_grew() -> None:
    met = judged(cost(), cost(backend_us=15), "", [])
    assert [goal.met for goal in met] == [True, True, True]
    missed = judged(cost(), cost(backend_us=25, wall_us=13), "", ["merge reads all of attempts"])
    assert [goal.met for goal in missed] == [False, False, False]
    assert missed[0].binds == "postgres: 15 us more an event"
    assert missed[2].binds == "merge reads all of attempts"
    assert ratios(cost(), cost(wall_us=13))["wall_us"] == 1.3


def test_sizes_grow_tenfold_up_to_what_is_asked_for() -> None:
    assert sizes_up_to(10_000_000) == [10_000, 100_000, 1_000_000, 10_000_000]
    assert sizes_up_to(3_000_000) == [10_000, 100_000, 1_000_000, 3_000_000]
