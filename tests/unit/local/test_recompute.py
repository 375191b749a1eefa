"""The independent recomputation: against the page for teachers, against a naive twin, and at its edges."""

import ast
import random
import statistics
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.local import recompute as module
from worker.local.compare import compare
from worker.local.recompute import attempt_key, recompute

PAGE = Path(__file__).parents[3] / "docs" / "scores.md"
AS_OF = datetime(2026, 3, 20, 12, tzinfo=UTC)
PAIR = ("mia", "biology")
Event = dict[str, object]


def table(first_column: str) -> list[dict[str, str]]:
    """The rows of the page's tables that begin with this column, by heading."""
    rows: list[dict[str, str]] = []
    heading: list[str] = []
    for line in PAGE.read_text().splitlines():
        cells = (
            [cell.strip().strip("`") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        )
        if not cells:
            heading = []
        elif not heading:
            heading = cells
        elif not cells[0].startswith("---") and heading[0] == first_column:
            rows.append(dict(zip(heading, cells, strict=True)))
    return rows


def example() -> list[Event]:
    events: list[Event] = []
    for row in table("item_id"):
        event: Event = {name: value for name, value in row.items() if value}
        event |= {"student_id": PAIR[0], "course_id": PAIR[1], "attempt": int(row["attempt"])}
        event |= {name: float(row[name]) if row[name] else None for name in ("score", "max_score")}
        if row["kind"] == "voided":
            del event["score"], event["max_score"]
        events.append(event)
    return events


def value_of(cell: str) -> object:
    words: dict[str, object] = {"null": None, "yes": True, "no": False}
    if cell in words:
        return words[cell]
    return datetime.fromisoformat(cell) if "T" in cell else float(cell)


@pytest.mark.parametrize("day", ["2026-03-20", "2026-03-23"])
def test_the_worked_example_of_the_page_is_right(day: str) -> None:
    expected = {row["figure"]: value_of(row[day]) for row in table("figure") if day in row}
    actual = recompute(example(), datetime.fromisoformat(f"{day}T12:00:00Z"))
    assert len(example()) == 8
    assert set(expected) == set(actual[PAIR])
    assert [str(difference) for difference in compare({PAIR: expected}, actual).differences] == []


def test_the_page_explains_every_figure() -> None:
    explained = {row["figure"] for row in table("figure") if "what it tells you" in row}
    assert explained == set(recompute(example(), AS_OF)[PAIR])


def test_the_keys_on_the_page_are_right() -> None:
    rows = table("source")
    for row in rows:
        event: Event = {name: value for name, value in row.items() if value}
        if row["attempt"]:
            event["attempt"] = int(row["attempt"])
        assert attempt_key(event) == (int(row["attempt_key"]), int(row["attempt_check"]))
    assert len(rows) == 5


def test_it_shares_no_code_with_the_worker() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not any(name.split(".")[0] in ("", "worker") for name in imported)


def scored(item: str, score: object, **more: object) -> Event:
    event: Event = {"student_id": PAIR[0], "course_id": PAIR[1], "item_id": item, "score": score}
    return {**event, "max_score": 10, "occurred_at": on(1), **more}


def on(day: int) -> str:
    return f"2026-03-{day:02}T09:00:00Z"


def figures(*events: Event, as_of: datetime = AS_OF) -> dict[str, object]:
    return recompute(events, as_of)[PAIR]


def test_the_window_is_the_last_20_scored_and_best_looks_further_back() -> None:
    first = scored("first", 10)
    later = [scored(f"q{i}", 5 if i % 2 else None, occurred_at=on(2 + i // 4)) for i in range(50)]
    result = figures(first, *later)
    assert (result["attempts_total"], result["attempts_scored"], result["attempts_window"]) == (51, 26, 20)
    assert (result["best"], result["mean_last_n"], result["trend"]) == (1.0, 0.5, pytest.approx(0.0))


def test_nothing_scored_is_null_and_not_zero() -> None:
    result = figures(scored("a", None), scored("b", 5, max_score=0))
    assert (result["attempts_total"], result["attempts_scored"], result["provisional"]) == (2, 0, True)
    numbers = ("mean_last_n", "latest", "best", "ewma", "trend", "mean_last_7d", "mean_last_30d")
    assert [result[name] for name in numbers] == [None] * 7
    assert result["last_activity_at"] == datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_a_pair_whose_attempts_are_all_voided_is_there_with_zeros() -> None:
    result = figures(scored("a", 5, attempt=1), scored("a", None, attempt=1, kind="voided"))
    assert (result["attempts_total"], result["last_activity_at"], result["best"]) == (0, None, None)


@pytest.mark.parametrize(
    ("first", "second", "latest"),
    [
        ({"graded_at": "2026-03-02T00:00:00Z"}, {"graded_at": "2026-03-03T00:00:00+02:00"}, 0.2),
        ({"graded_at": "2026-03-02T00:00:00Z"}, {}, 0.1),
        ({"event_id": "b"}, {"event_id": "a"}, 0.1),
        ({"event_id": "é"}, {"event_id": "z"}, 0.1),
        ({}, {"event_id": "a"}, 0.2),
        ({"kind": "voided"}, {"event_id": "a"}, None),
        ({"kind": "voided"}, {"graded_at": "2026-03-02T00:00:00Z"}, 0.2),
    ],
)
def test_the_last_writer_of_an_attempt_stands(first: Event, second: Event, latest: float | None) -> None:
    writes = [scored("a", 1, attempt=1, **first), scored("a", 2, attempt=1, **second)]
    assert figures(*writes)["latest"] == latest
    assert figures(*reversed(writes))["latest"] == latest


def test_a_complete_tie_is_decided_by_the_content_and_not_by_arrival() -> None:
    writes = [scored("a", points) for points in (1, 2, 3, 4, 5)]
    assert figures(*writes) == figures(*reversed(writes))


def test_equal_times_are_ordered_by_the_signed_key() -> None:
    writes = {attempt_key(event)[0]: event for event in (scored(f"q{i}", i) for i in range(10))}
    assert min(writes) < 0 < max(writes)
    assert figures(*writes.values())["latest"] == float(str(writes[max(writes)]["score"])) / 10


def test_the_days_end_with_the_date_of_as_of_in_utc() -> None:
    events = [scored(f"q{day}", day, occurred_at=on(day), max_score=100) for day in range(1, 29)]
    late = datetime(2026, 3, 20, 23, 30, tzinfo=UTC)
    assert figures(*events, as_of=late)["mean_last_7d"] == pytest.approx(statistics.mean(range(14, 21)) / 100)
    abroad = late.astimezone(tz=datetime.fromisoformat("2026-03-21T01:30:00+02:00").tzinfo)
    assert figures(*events, as_of=abroad) == figures(*events, as_of=late)
    assert figures(*events, as_of=late)["mean_last_30d"] == pytest.approx(statistics.mean(range(1, 21)) / 100)
    with pytest.raises(ValueError, match="aware"):
        figures(*events, as_of=late.replace(tzinfo=None))


def test_above_one_is_decided_on_whole_millionths() -> None:
    assert figures(scored("a", 11))["over_max"] is True
    assert figures(scored("a", 3.3000000000000003, max_score=3.3))["over_max"] is False


@pytest.mark.parametrize(
    "broken",
    [
        {"student_id": ""},
        {"course_id": "x" * 257},
        {"item_id": 5},
        {"item_id": "a\0"},
        {"score": "5"},
        {"score": True},
        {"score": float("nan")},
        {"score": 1e7},
        {"score": 9000, "max_score": 1},
        {"max_score": -1},
        {"max_score": None},
        {"attempt": -1},
        {"attempt": 1.0},
        {"event_id": ""},
        {"kind": "deleted"},
        {"source": None},
        {"occurred_at": "2026-03-01"},
        {"occurred_at": "2026-03-01T09:00:00"},
        {"occurred_at": "2026-02-30T09:00:00Z"},
        {"occurred_at": 5},
        {"occurred_at": "1969-12-31T23:59:59Z"},
        {"graded_at": "2026-03-20T12:05:00.000001Z"},
    ],
)
def test_what_the_stream_refuses_counts_nowhere(broken: Event) -> None:
    assert recompute([scored("a", 5) | broken], AS_OF, arrived_by=AS_OF) == {}


@pytest.mark.parametrize("field", ["student_id", "course_id", "item_id", "score", "max_score", "occurred_at"])
def test_what_lacks_a_field_counts_nowhere(field: str) -> None:
    assert recompute([{name: value for name, value in scored("a", 5).items() if name != field}], AS_OF) == {}


def test_times_may_have_any_offset_and_are_rounded_to_microseconds() -> None:
    written = scored("a", 5, occurred_at="2026-03-01t10:00:00.1234565+01:00")
    assert figures(written)["last_activity_at"] == datetime(2026, 3, 1, 9, 0, 0, 123457, tzinfo=UTC)


def naive(events: list[Event], as_of: datetime) -> dict[tuple[str, str], dict[str, object]]:
    """The definition word by word, for events whose attempts are named by number."""
    registers: dict[tuple[str, str], dict[int, Event]] = {}
    for event in sorted(events, key=lambda e: (str(e["graded_at"]), e["kind"] == "voided")):
        pair = str(event["student_id"]), str(event["course_id"])
        registers.setdefault(pair, {})[attempt_key(event)[0]] = event
    result: dict[tuple[str, str], dict[str, object]] = {}
    for pair, by_key in registers.items():
        alive = sorted((str(e["occurred_at"]), key) for key, e in by_key.items() if e["kind"] == "scored")
        ratios: list[tuple[date, float]] = []
        for occurred, key in alive:
            score, most = by_key[key]["score"], float(str(by_key[key]["max_score"]))
            if score is not None and most > 0:
                ratios.append((datetime.fromisoformat(occurred).date(), float(str(score)) / most))
        ring = [ratio for _, ratio in ratios[-20:]]
        ewma = ring[0] if ring else None
        for ratio in ring[1:]:
            ewma = 0.35 * ratio + 0.65 * (ewma or 0)
        last = {}
        for days in (7, 30):
            first = as_of.date() - timedelta(days=days - 1)
            inside = [ratio for day, ratio in ratios if first <= day <= as_of.date()]
            last[days] = statistics.fmean(inside) if inside else None
        result[pair] = {
            "attempts_total": len(alive),
            "attempts_scored": len(ratios),
            "attempts_window": len(ring),
            "mean_last_n": statistics.fmean(ring) if ring else None,
            "latest": ring[-1] if ring else None,
            "best": max((ratio for _, ratio in ratios), default=None),
            "ewma": ewma,
            "trend": statistics.linear_regression(range(len(ring)), ring).slope if len(ring) >= 3 else None,
            "mean_last_7d": last[7],
            "mean_last_30d": last[30],
            "last_activity_at": datetime.fromisoformat(alive[-1][0]) if alive else None,
            "provisional": len(ratios) < 3,
            "over_max": any(ratio > 1 + 0.5e-6 for _, ratio in ratios),
        }
    return result


@st.composite
def classes(draw: st.DrawFn) -> list[Event]:
    """Up to 300 events of a few learners; no two different ones at the same grading time of an attempt."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    events: list[Event] = []
    for number in range(draw(st.integers(0, 300))):
        hour, graded = rng.randint(0, 24 * 50), timedelta(days=60, seconds=number)
        events.append(
            {
                "student_id": rng.choice("ab"),
                "course_id": rng.choice(["biology", "art"]),
                "item_id": f"q{rng.randint(1, 4)}",
                "attempt": rng.randint(1, 20),
                "score": rng.choice([None, 0, rng.randint(-2, 12), rng.uniform(0, 10)]),
                "max_score": rng.choice([10, 10, 10, 7.5, 0]),
                "occurred_at": (datetime(2026, 2, 1, tzinfo=UTC) + timedelta(hours=hour)).isoformat(),
                "graded_at": (datetime(2026, 2, 1, tzinfo=UTC) + graded).isoformat(),
                "kind": "voided" if rng.random() < 0.1 else "scored",
            }
        )
    return events


@settings(max_examples=40, deadline=None)
@given(classes(), st.randoms(use_true_random=False))
def test_a_naive_twin_agrees_and_arrival_does_not_matter(events: list[Event], rng: random.Random) -> None:
    shuffled = [*events, *rng.sample(events, len(events) // 3)]
    rng.shuffle(shuffled)
    result = compare(naive(events, AS_OF), recompute(shuffled, AS_OF), tolerance=1e-9)
    assert [str(difference) for difference in result.differences] == []
