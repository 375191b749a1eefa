"""A worker's id: stable, and never shared by two."""

import json
from pathlib import Path

import pytest

from worker.kcl.worker_id import WorkerIdInUse, claim, file_name

TASK = "0123456789abcdef0123456789abcdef"
URI = "http://169.254.170.2/v4/abc"


def task_document(url: str) -> bytes:
    assert url == f"{URI}/task"
    return json.dumps({"TaskARN": f"arn:aws:ecs:ap-northeast-1:123456789012:task/cluster/{TASK}"}).encode()


def test_a_generated_id_is_kept(tmp_path: Path) -> None:
    state_dir = tmp_path / "state" / "worker"
    with claim(state_dir) as first:
        pass
    with claim(state_dir) as second:
        assert second.value == first.value
    assert len(first.value) == 32


def test_two_workers_of_one_directory_never_share_an_id(tmp_path: Path) -> None:
    with claim(tmp_path) as first, claim(tmp_path) as second:
        assert first.value != second.value
        kept = {first.value, second.value}
    with claim(tmp_path) as first, claim(tmp_path) as second:
        assert {first.value, second.value} == kept


def test_an_id_cut_off_at_its_birth_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "worker-id").write_text("")
    with claim(tmp_path) as worker:
        assert worker.value


def test_the_ecs_task_id(tmp_path: Path) -> None:
    with claim(tmp_path, metadata_uri=URI, fetch=task_document) as worker:
        assert worker.value == TASK


def test_metadata_is_asked_again(tmp_path: Path) -> None:
    answers: list[bytes | OSError] = [OSError("timed out"), b"{}", b"not json", task_document(f"{URI}/task")]
    slept: list[float] = []

    def fetch(url: str) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    with claim(tmp_path, metadata_uri=URI, fetch=fetch, sleep=slept.append) as worker:
        assert worker.value == TASK
    assert slept == [0.2, 0.5, 1.0]


def test_without_an_answer_an_id_is_generated(tmp_path: Path) -> None:
    def fetch(url: str) -> bytes:
        raise TimeoutError

    with claim(tmp_path, metadata_uri=URI, fetch=fetch, sleep=lambda _: None) as worker:
        assert worker.value == (tmp_path / "worker-id").read_text().strip()


def test_a_given_id_wins_and_is_locked(tmp_path: Path) -> None:
    with claim(tmp_path, given="blue", metadata_uri=URI, fetch=task_document) as worker:
        assert worker.value == "blue"
        with pytest.raises(WorkerIdInUse, match="blue"):
            claim(tmp_path, given="blue")
        with claim(tmp_path, given="green"):
            pass
    with claim(tmp_path, given="blue"):
        pass


def test_an_id_in_a_file_name() -> None:
    assert file_name(TASK) == TASK
    strange = [file_name(name) for name in ("../up", "..-up", "a b", "x" * 300, "x" * 301, "")]
    assert len(set(strange)) == len(strange)
    assert all(name.isalnum() and len(name) <= 36 for name in strange)
