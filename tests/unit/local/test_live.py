"""Live attempts: the same for the same seed, skewed, and with every kind of trouble in it."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from worker.local import live
from worker.local.live import live_attempts

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
PAIRS = [(f"s{i}", f"c{i % 7}") for i in range(2_000)]
Event = dict[str, object]


def clock() -> Callable[[], datetime]:
    asked = iter(range(10**9))
    return lambda: START + next(asked) * timedelta(milliseconds=1)


def attempt(event: Event) -> tuple[object, ...]:
    return tuple(event[name] for name in ("student_id", "course_id", "item_id", "attempt"))


def moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(live_attempts(PAIRS, random.Random(7), 20_000, clock()))


def test_one_seed_gives_one_stream(events: list[Event]) -> None:
    assert list(live_attempts(PAIRS, random.Random(7), 20_000, clock())) == events
    assert list(live_attempts(PAIRS, random.Random(8), 20_000, clock())) != events


def test_it_sends_what_it_is_asked_for_and_asks_the_clock_only_then() -> None:
    asked: list[datetime] = []
    tick = clock()

    def now() -> datetime:
        asked.append(tick())
        return asked[-1]

    stream = live_attempts(PAIRS, random.Random(1), 3, now)
    assert not asked
    first = next(stream)
    assert [first["occurred_at"]] == [moment.isoformat().replace("+00:00", "Z") for moment in asked]
    assert len(list(stream)) == 2
    assert list(live_attempts([], random.Random(1), 0, now)) == []


def test_it_remembers_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REMEMBERED", 50)
    found = list(live_attempts(PAIRS, random.Random(7), 5_000, clock(), skew=0))
    copies = [n for n, event in enumerate(found) if event in found[:n]]
    assert len(copies) > 50
    for n in copies:
        assert found[n] in found[max(0, n - 100) : n], "of the recent past"


def test_without_skew_all_are_equally_busy() -> None:
    found = live_attempts(PAIRS[:10], random.Random(7), 10_000, clock(), skew=0)
    shares = Counter(str(event["student_id"]) for event in found)
    assert min(shares.values()) > 800


def test_known_pairs_only_and_some_pass_25_attempts(events: list[Event]) -> None:
    per_pair = Counter(
        (str(e["student_id"]), str(e["course_id"])) for e in {attempt(e): e for e in events}.values()
    )
    assert set(per_pair) <= set(PAIRS)
    assert sum(count > 25 for count in per_pair.values()) >= 20
    assert sum(count <= 5 for count in per_pair.values()) >= 500


def test_all_the_trouble_is_in_it(events: list[Event]) -> None:
    seen: dict[tuple[object, ...], list[Event]] = {}
    found: Counter[str] = Counter()
    for event in events:
        earlier = seen.setdefault(attempt(event), [])
        if event in earlier:
            found["copy"] += 1
        elif event.get("kind") == "voided":
            assert earlier
            assert event["score"] is None
            found["void"] += 1
        elif earlier:
            assert moment(event["graded_at"]) > max(
                moment(e.get("graded_at", e["occurred_at"])) for e in earlier
            )
            assert event["score"] != earlier[-1]["score"]
            assert event["occurred_at"] == earlier[0]["occurred_at"]
            found["regrade"] += 1
        else:
            score = event["score"]
            found["null" if score is None else "extra" if float(str(score)) > 100 else "plain"] += 1
        earlier.append(event)
    assert all(found[kind] >= 100 for kind in ("copy", "void", "regrade", "null", "extra"))
    assert found["plain"] >= 0.85 * len(events)


def test_scores_are_points_out_of_a_hundred_and_attempts_count_up(events: list[Event]) -> None:
    assert all(event["score"] is None or 0 <= float(str(event["score"])) <= 110 for event in events)
    assert {event["max_score"] for event in events} == {100.0}
    numbers: dict[tuple[object, ...], set[object]] = {}
    for event in events:
        *task, number = attempt(event)
        numbers.setdefault(tuple(task), set()).add(number)
    assert all(tries == set(range(1, len(tries) + 1)) for tries in numbers.values())


def test_a_clock_that_stands_still_still_orders_regrades_and_voids() -> None:
    stream = list(live_attempts([("s", "c")], random.Random(3), 500, lambda: START))
    corrections = [e for e in stream if "graded_at" in e]
    assert corrections
    assert all(moment(e["graded_at"]) > moment(e["occurred_at"]) for e in corrections)
