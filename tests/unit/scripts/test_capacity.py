"""What a load needs: the arithmetic by hand, and the script around it."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import capacity
from deploy.capacity import Task, Workload, needs, quotas
from deploy.config import dev
from scripts.capacity import bytes_an_event, main
from tests.conftest import score_event


def told(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    file = folder / "report.json"
    code = main([*arguments, "--report", str(file)])
    return code, json.loads(file.read_bytes()) if file.exists() else {}


def test_the_promised_rate_needs_what_the_brief_says() -> None:
    found = needs(Workload(rate=5_000), Task())
    # 2 shards of 5,242 at three quarters; 65 ms of CPU a second; half a unit and 0.13 cores
    assert (found.shards, found.tasks, found.acu) == (2, 2, 1.5)
    assert found.redis_node == "cache.t4g.micro"
    assert list(quotas(found, Task())) == []


def test_records_end_before_bytes_where_events_travel_alone() -> None:
    assert capacity.shard_events(1, 63) == 1_000
    assert capacity.shard_events(100, 200) == 5_242
    assert capacity.shards_for(5_000, 1, 200) == 7


def test_one_process_a_shard_is_a_limit_of_its_own() -> None:
    # 44 µs an event: 22,727 a second, planned are 17,045
    assert capacity.shards_for(17_000, 2_000, 10) == 1
    assert capacity.shards_for(17_100, 2_000, 10) == 2


def test_tasks_hold_every_shard_when_one_is_gone() -> None:
    assert capacity.tasks_for(1_000, 9, Task()) == 4
    assert capacity.tasks_for(1_000, 9, Task(memory=512)) == 10


def test_every_quota_that_is_hit_has_a_sentence() -> None:
    found = needs(Workload(rate=2_000_000, events_per_request=10, states=10**9), Task())
    sentences = "\n".join(quotas(found, Task()))
    for word in ("shards", "ACU", "requests a second", "GB of states", "one thread", "CPUs of Fargate"):
        assert word in sentences


def test_an_environment_is_refused_by_the_same_figures() -> None:
    found = needs(Workload(rate=5_000, states=1_000_000), Task())
    assert found.redis_node == "cache.t4g.small"
    with pytest.raises(ValueError, match=r"redis_node cache\.t4g\.micro.*take cache\.t4g\.small"):
        dev(states=1_000_000)
    assert dev(states=1_000_000, redis_node="cache.t4g.small").states == 1_000_000
    with pytest.raises(ValueError, match=r"aurora_max_acu 1: 5000 events a second need 1\.5"):
        dev(aurora_max_acu=1)
    with pytest.raises(ValueError, match=r"take 0\.78 cores, planned are"):
        dev(target_events_per_second=60_000, events_per_record=500, shards=20, max_leases=20)


def test_full_envelopes_cost_less_an_event() -> None:
    events = [score_event(f"student-{n % 50}", item=f"quiz-{n % 7}", attempt=n) for n in range(400)]
    alone, together = bytes_an_event(events, 1), bytes_an_event(events, 200)
    assert together < alone / 4
    assert bytes_an_event(events[:150], 100) == pytest.approx(bytes_an_event(events[:100], 100))


def test_a_sample_decides_the_shards(tmp_path: Path) -> None:
    rows = [f"s-{n % 90},algebra,quiz-{n % 9},{n},{n % 100},100,2026-03-02T09:30:00Z" for n in range(600)]
    sample = tmp_path / "scores.csv"
    sample.write_text("student_id,course_id,item_id,attempt,score,max_score,occurred_at\n" + "\n".join(rows))
    code, report = told(tmp_path, "--rate", "5000", "--batch", "100", "--events", str(sample))
    assert code == 0
    assert report["figures"]["events of the sample"] == 600
    assert report["figures"]["bytes of an event in the stream"] < 120
    assert report["figures"]["shards"] == 2
    assert "s-1" not in json.dumps(report)
    assert report["figures"]["US dollars a month at this rate, all month"] > 300


def test_a_stage_that_does_not_carry_it_fails(tmp_path: Path) -> None:
    assert told(tmp_path, "--rate", "5000", "--stage", "prod")[0] == 0
    code, report = told(tmp_path, "--rate", "20000", "--stage", "dev")
    assert code == 1
    assert [v["good"] for v in report["verdicts"] if "shards" in v["claim"]] == [False]


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "0"], ["--rate", "5", "--batch", "2001"], ["--rate", "5", "--events", "scores.xls"]],
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str]) -> None:
    assert told(tmp_path, *arguments)[0] == 2
