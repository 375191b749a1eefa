"""The script that makes Redis the ledger's again, on real servers and beside a live writer."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import psycopg
import pytest

from tests.conftest import IDENTITY, NOW, batch, minutes, score_event
from tests.doubles import Time, record
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.memory import MemoryMetrics, MemoryVault
from worker.adapters.redis import RedisProjection
from worker.batch import StateKey
from worker.domain.window import HEADER_SIZE
from worker.local.keys import ensure_keys
from worker.local.stack import Stack
from worker.ports import Write
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline, Policy, World
from worker.stream.projecting import state_value
from worker.stream.reading import ScoreReader

STATES = 1_500


@pytest.fixture
def environment(stack: Stack, database: str, tmp_path: Path) -> dict[str, str]:
    """What a job is given; the ledger's epoch keeps the states apart from those of other tests."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ledger SET epoch = 1000000 + pg_backend_pid()")
    return {
        **stack.endpoints.environment(),
        **ensure_keys(tmp_path / "keys"),
        "MODE": "local",
        "DATABASE_URL": database,
        "STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def ledger(environment: dict[str, str]) -> Iterator[AuroraLedger]:
    ledger = AuroraLedger(lambda: environment["DATABASE_URL"], MemoryVault())
    ledger.open_source("test")
    events = [
        score_event(f"s-{n}", f"course-{n % 3}", f"quiz-{attempt}", score=(n * 7 + attempt) % 101, at=NOW)
        for n in range(STATES)
        for attempt in range(2)
    ]
    ledger.commit(ledger.intern(batch(*events)))
    yield ledger
    ledger.close()


@pytest.fixture
def projection(environment: dict[str, str], ledger: AuroraLedger) -> Iterator[RedisProjection]:
    projection = RedisProjection(lambda: environment["REDIS_URL"], ledger.epoch(), 3600)
    yield projection
    projection.close()


@pytest.fixture
def keys(ledger: AuroraLedger) -> list[StateKey]:
    return [key for page in ledger.versions(1_000) for key, _ in page]


def started(environment: dict[str, str], *argv: str) -> "subprocess.Popen[str]":
    """The script as an operator starts it, in a process group of its own."""
    command = [sys.executable, "-m", "scripts.rebuild", "--processes", "1", *argv]
    return subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(environment: dict[str, str], report: Path, *argv: str) -> tuple[int, dict[str, object]]:
    """The script to its end; its exit code and report."""
    process = started(environment, "--report", str(report), *argv)
    _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    return process.returncode, json.loads(report.read_bytes())


def right(ledger: AuroraLedger, projection: RedisProjection, keys: list[StateKey]) -> bool:
    states = ledger.read(keys)
    return projection.states(keys) == [state_value(states[key]) for key in keys]


def spoil(projection: RedisProjection, key: StateKey, value: bytes) -> None:
    """Put something there that nobody of ours would."""
    (held,) = projection.states([key])
    assert held is not None
    assert projection.install([Write(key, held[:HEADER_SIZE], value)]) == [True]


def test_an_empty_redis_becomes_whole_and_what_differs_is_named_and_mended(
    environment: dict[str, str],
    ledger: AuroraLedger,
    projection: RedisProjection,
    keys: list[StateKey],
    tmp_path: Path,
) -> None:
    report = tmp_path / "report.json"
    code, told = run(environment, report)
    assert code == 0
    assert told["figures"]["written"] == STATES  # type: ignore[index]
    assert right(ledger, projection, keys)

    states = ledger.read(keys[:3])
    wrong, old, unread = (state_value(states[key]) for key in keys[:3])
    stranger = StateKey(keys[0].student_key, "a course of no ledger")
    spoil(projection, keys[0], wrong[:-4] + b"\x7f\x7f\x7f\x7f")
    spoil(projection, keys[1], old[: HEADER_SIZE - 1] + b"\x09" + old[HEADER_SIZE:])
    spoil(projection, keys[2], unread[:HEADER_SIZE] + b"\xff not a state")
    (claim,) = projection.peek([stranger])
    assert claim.claim is not None
    projection.install([Write(stranger, claim.claim, wrong)])

    for look in ("--verify", "--dry-run"):  # the same by two names
        code, told = run(environment, report, look)
        assert code == 1
        figures = told["figures"]
        assert isinstance(figures, dict)
        assert (figures["found wrong"], figures["found old"], figures["found in Redis alone"]) == (2, 1, 1)
        assert (figures["differing in ring"], figures["differing in version"]) == (1, 1)
        assert figures["differing in format"] == 1
        assert len(told["differing"]) == 3  # type: ignore[arg-type]

    code, told = run(environment, report, "--repair")
    assert code == 0
    assert told["figures"]["written"] == 3  # type: ignore[index]
    assert right(ledger, projection, keys)
    assert projection.states([stranger]) == [None]
    assert run(environment, report, "--verify")[0] == 0


def test_a_repair_leaves_what_is_missing_and_a_second_run_finds_nothing_to_do(
    environment: dict[str, str],
    ledger: AuroraLedger,
    projection: RedisProjection,
    keys: list[StateKey],
    tmp_path: Path,
) -> None:
    code, told = run(environment, tmp_path / "report.json", "--repair")
    assert (code, told["figures"]["found absent"]) == (0, STATES)  # type: ignore[index]
    assert projection.states(keys) == [None] * STATES
    assert run(environment, tmp_path / "report.json")[0] == 0
    code, told = run(environment, tmp_path / "report.json")
    assert (code, told["figures"]["written"]) == (0, 0)  # type: ignore[index]


def test_what_a_dead_run_has_claimed_is_written_all_the_same(
    environment: dict[str, str],
    ledger: AuroraLedger,
    projection: RedisProjection,
    keys: list[StateKey],
    tmp_path: Path,
) -> None:
    assert all(look.claim for look in projection.peek(keys))
    assert run(environment, tmp_path / "report.json")[0] == 0
    assert right(ledger, projection, keys)


def test_killed_at_any_moment_a_second_run_ends_as_one_clean_run(
    environment: dict[str, str],
    ledger: AuroraLedger,
    projection: RedisProjection,
    keys: list[StateKey],
    tmp_path: Path,
) -> None:
    for share in (0.0, 0.5):
        process = started(environment)
        while _present(projection, keys) <= share * STATES and process.poll() is None:
            pass
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert run(environment, tmp_path / "report.json")[0] == 0
    assert right(ledger, projection, keys)


def test_a_run_that_is_killed_leaves_none_of_its_processes(
    environment: dict[str, str], keys: list[StateKey]
) -> None:
    process = started(environment, "--processes", "2")
    first = psutil.Process(process.pid)
    pool: list[psutil.Process] = []
    while len(pool) < 3 and process.poll() is None:  # the two, and who tracks what they share
        pool = first.children(recursive=True)
    process.kill()
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(pool, timeout=30)
    assert alive == []


def test_beside_live_writes_no_reader_ever_sees_a_wrong_score(
    environment: dict[str, str],
    ledger: AuroraLedger,
    projection: RedisProjection,
    keys: list[StateKey],
    tmp_path: Path,
) -> None:
    done, chance, wrong = threading.Event(), Random(7), []
    written = threading.Event()

    def write() -> None:
        books = AuroraLedger(lambda: environment["DATABASE_URL"], MemoryVault())
        states = RedisProjection(lambda: environment["REDIS_URL"], books.epoch(), 3600)
        time = Time()
        world = World(books, states, MemoryMetrics(), time.now, time.pause)
        pipeline = Pipeline("live", Decoder(IDENTITY, "default"), world, Policy())
        pipeline.open(None)
        sequence = 0
        while not done.is_set():
            sequence += 1
            students = chance.sample(range(STATES), 50)
            events = [
                score_event(f"s-{n}", f"course-{n % 3}", f"live-{sequence}", at=NOW + minutes(sequence))
                for n in students
            ]
            pipeline.process([record(*events, sequence=sequence, arrived_at=NOW + minutes(sequence))])
            written.set()
        books.close()
        states.close()

    def read() -> None:
        books = AuroraLedger(lambda: environment["DATABASE_URL"], MemoryVault())
        states = RedisProjection(lambda: environment["REDIS_URL"], books.epoch(), 3600)
        reader = ScoreReader(books, states)
        while not done.is_set():
            for key, found in reader.read_all(chance.sample(keys, 20)).items():
                # the first version brought two attempts, each later one another
                if found.window.total != found.version.number + 1:
                    wrong.append(key)
        books.close()
        states.close()

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        assert written.wait(60)
        codes = [run(environment, tmp_path / "report.json", *how)[0] for how in ((), (), ("--repair",))]
        verified = run(environment, tmp_path / "report.json", "--verify")[0]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert (codes, verified, wrong) == ([0, 0, 0], 0, [])
    assert right(ledger, projection, keys)


def _present(projection: RedisProjection, keys: list[StateKey]) -> int:
    return sum(value is not None for value in projection.states(keys))
