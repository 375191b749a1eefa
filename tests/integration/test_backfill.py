"""A backfill on real servers: the result is right, and a run that dies anywhere ends in the same one."""

import csv
import gzip
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from scripts import replay
from scripts.backfill import main
from scripts.backfilling.filling import Filled
from scripts.backfilling.inputs import LANES, SHARES
from scripts.backfilling.rows import Edge
from scripts.backfilling.sharing import Unread, fill_apart
from scripts.frame.stopping import Stopping
from tests.integration.operated import System
from worker import wiring
from worker.domain.errors import Fatal
from worker.local.edges import Edges
from worker.local.event_files import read_events
from worker.local.keys import ensure_keys
from worker.local.recompute import recompute
from worker.local.stack import Stack
from worker.local.verifying import scores_equal_recomputation, states_equal_ledger
from worker.settings import load
from worker.stream.decoding import Limits
from worker.stream.pipeline import Policy

HEADER = ["student_id", "course_id", "item_id", "attempt", "score", "max_score", "occurred_at", "graded_at"]


class Place(NamedTuple):
    """A ledger and a projection of their own, as a script finds them in its environment."""

    environment: dict[str, str]
    folder: Path

    @contextmanager
    def edges(self) -> Iterator[Edges]:
        edges = wiring.edges(load(self.environment))
        yield edges
        edges.close()

    @contextmanager
    def connection(self) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            yield connection

    def attempts(self) -> list[tuple[object, ...]]:
        """Every attempt as it stands, whatever the way there."""
        with self.connection() as connection:
            return connection.execute(
                "SELECT course_id, student_key, attempt_key, score, max_score, occurred_at, graded_at,"
                " kind, digest, item FROM attempts JOIN students USING (student_ref)"
                " JOIN courses USING (course_ref)"
                " ORDER BY 1, 2, 3"
            ).fetchall()

    def read(self) -> int:
        """How many events the ledger has read."""
        with self.connection() as connection:
            (count,) = connection.execute(
                "SELECT coalesce(sum(read), 0)::int FROM source_progress"
            ).fetchall()
        return int(str(count[0]))

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.backfill", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def make_place(stack: Stack, migrated: str, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    admin = stack.endpoints.database_url
    names: list[str] = []

    def make() -> Place:
        name = f"backfill_{uuid.uuid4().hex}"
        with psycopg.connect(admin, autocommit=True) as connection:
            statement = "CREATE DATABASE {} TEMPLATE {}"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(migrated)))
        names.append(name)
        folder = tmp_path / name
        environment = {
            **stack.endpoints.environment(),
            **ensure_keys(tmp_path / "keys"),
            "MODE": "local",
            "STREAM_NAME": "backfill",
            "STATE_DIR": str(folder),
            "DATABASE_URL": make_conninfo(admin, dbname=name),
        }
        place = Place(environment, folder)
        with place.connection() as connection:  # states of its own in the one Redis
            connection.execute("UPDATE ledger SET epoch = %s", [random.randrange(10**6, 2**31)])
        return place

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, object]]]:
    """Run the script in this process; its exit code and its report."""

    def ran(place: Place, *arguments: str) -> tuple[int, dict[str, object]]:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        report = place.folder / "report.json"
        code = main([*arguments, "--report", str(report)])
        return code, json.loads(report.read_bytes()) if report.exists() else {}

    return ran


Ran = Callable[..., tuple[int, dict[str, Mapping[str, int]]]]
Apart = Callable[[Path, Stopping], Generator[Filled]]


def scores(path: Path, rows: int) -> Path:
    """Attempts of 300 pupils with duplicates, regrades and, every hundredth, a row that is none."""
    chance, begun = random.Random(11), datetime(2026, 1, 5, 8, tzinfo=UTC)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(rows):
            at = begun + timedelta(seconds=30 * number)
            pupil, item, attempt = chance.randrange(300), chance.randrange(9), chance.randrange(3)
            score = "absent" if number % 100 == 99 else chance.randrange(101)
            graded = at + timedelta(minutes=chance.randrange(3))
            fields = [f"p-{pupil}", f"c-{pupil % 4}", f"i-{item}", attempt, score, 100, at, graded]
            writer.writerow([field.isoformat() if isinstance(field, datetime) else field for field in fields])
    return path


def proven(place: Place, path: Path, columns: str = "") -> None:
    """Redis equals the ledger, and every figure of every student an independent recomputation."""
    as_of = datetime.now(UTC)
    sent = [row.event for row in read_events(path, columns) if isinstance(row.event, dict)]
    with place.edges() as edges:
        assert states_equal_ledger(edges).full
        comparison = scores_equal_recomputation(edges, recompute(sent, as_of, arrived_by=as_of), as_of)
    assert comparison.differences == []
    assert comparison.pairs > 0


def test_a_run_that_is_killed_anywhere_ends_as_one_that_was_not(
    make_place: Callable[[], Place], run: Ran, tmp_path: Path
) -> None:
    path = scores(tmp_path / "scores.csv", 15_000)
    clean, broken = make_place(), make_place()
    assert run(clean, str(path))[0] == 0
    chance = random.Random()
    for _ in range(3):
        until = broken.read() + chance.randrange(1, 4_000)
        process = broken.start(str(path), "--transaction", "150")
        wait(lambda: process.poll() is not None or broken.read() >= until)  # noqa: B023 - called here
        process.send_signal(signal.SIGKILL)
        process.wait()
    code, report = run(broken, str(path))
    assert code == 0
    assert broken.attempts() == clean.attempts()
    figures = report["figures"]
    assert (figures["rows accepted"], figures["rows rejected"]) == (14_850, 150)
    # a transaction that was committed and perhaps not projected is taken again, and changes nothing
    assert broken.read() - figures["redelivered"] == 14_850
    proven(broken, path)
    rejected = (tmp_path / "scores.csv.rejected.csv").read_text().splitlines()
    assert len(rejected) == 151
    assert rejected[1] == "101,invalid_field,score"
    assert run(broken, str(path))[1]["figures"]["rows per second"] == 0, "done is done"


def test_ctrl_c_ends_a_run_where_it_can_be_resumed(
    make_place: Callable[[], Place], run: Ran, tmp_path: Path
) -> None:
    path, place = scores(tmp_path / "scores.csv", 15_000), make_place()
    process = place.start(str(path), "--transaction", "100", "--report", str(tmp_path / "first.json"))
    wait(lambda: process.poll() is not None or place.read() >= 300)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert json.loads((tmp_path / "first.json").read_bytes())["exit_code"] == 130
    assert 300 <= place.read() < 14_850
    code, report = run(place, str(path))
    assert (code, report["figures"]["redelivered"]) == (0, 0)
    assert place.read() == 14_850
    proven(place, path)


@pytest.fixture
def apart(make_place: Callable[[], Place], monkeypatch: pytest.MonkeyPatch) -> tuple[Place, Apart]:
    """What the processes of a long file tell, and the place they write to."""
    place = make_place()
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    settings = load(place.environment)
    edge = Edge(wiring.identity(settings, 1_000), settings.realm, datetime.now(UTC))
    sources = [f"file:x:{number + 1}of{SHARES * LANES}" for number in range(SHARES * LANES)]

    def begun(path: Path, stopping: Stopping) -> Generator[Filled]:
        return fill_apart(Unread(path, "", edge), sources, Policy(limits=Limits(100, 100)), stopping)

    return place, begun


def test_each_process_takes_its_own_students_and_every_row_is_told_once(
    apart: tuple[Place, Apart], tmp_path: Path
) -> None:
    (place, fill), path = apart, scores(tmp_path / "scores.csv", 15_000)
    words = list(fill(path, Stopping()))
    rejected = [row.line for word in words for row in word.rejected]
    assert rejected == [*range(101, 15_002, 100)]
    assert sum(word.accepted for word in words) == sum(word.moved for word in words) == place.read() == 14_850
    with place.connection() as connection:
        written = connection.execute("SELECT count(*) FROM source_progress WHERE read > 1000").fetchone()
    assert written == (SHARES * LANES,)
    proven(place, path)


def test_a_stop_is_heard_by_all_processes_and_none_is_left(
    apart: tuple[Place, Apart], tmp_path: Path
) -> None:
    (place, fill), stopping = apart, Stopping()
    for word in fill(scores(tmp_path / "scores.csv", 15_000), stopping):
        if word.moved:
            stopping.ask()
    assert 0 < place.read() < 14_850
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_an_error_and_no_end(apart: tuple[Place, Apart], tmp_path: Path) -> None:
    (place, fill), path = apart, scores(tmp_path / "scores.csv", 15_000)

    def killing() -> Iterator[Filled]:
        for word in fill(path, Stopping()):
            if word.moved:
                multiprocessing.active_children()[0].kill()
            yield word

    with pytest.raises(OSError, match="has been ended"):
        list(killing())
    assert not multiprocessing.active_children()
    assert sum(word.accepted for word in fill(path, Stopping())) == 14_850
    proven(place, path)


def test_what_ends_one_process_ends_the_run(apart: tuple[Place, Apart], tmp_path: Path) -> None:
    (place, fill), path = apart, tmp_path / "scores.csv.gz"
    path.write_bytes(gzip.compress(scores(tmp_path / "scores.csv", 15_000).read_bytes())[:-20])
    with pytest.raises(EOFError):
        list(fill(path, Stopping()))
    with place.connection() as connection:
        connection.execute("DROP TABLE course_scores CASCADE")
    with pytest.raises(Fatal):
        list(fill(tmp_path / "scores.csv", Stopping()))
    assert not multiprocessing.active_children()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    make_place: Callable[[], Place], run: Ran, tmp_path: Path
) -> None:
    path, place = scores(tmp_path / "scores.csv", 1_000), make_place()
    code, report = run(place, str(path), "--dry-run")
    assert code == 0
    assert (report["figures"]["rows accepted"], report["figures"]["rows rejected"]) == (990, 10)
    assert place.read() == 0
    assert [*tmp_path.glob("*.rejected.csv")] == []
    assert [*place.folder.glob("*manifest*")] == []
    code, _ = run(place, str(path))
    attempts = place.attempts()
    told = report["figures"]
    assert (code, told["events read"], told["attempts that would be new"]) == (0, 990, len(attempts))
    assert told["students touched"] == len({key for _, key, *_ in attempts})

    more = scores(tmp_path / "more.csv", 1_500)  # the first thousand are the same
    told = run(place, str(more), "--dry-run")[1]["figures"]
    assert run(place, str(more))[0] == 0
    stand = {row[:3]: row for row in place.attempts()}
    assert told["attempts that would be new"] == len(stand) - len(attempts) > 0
    assert told["attempts that would be revised"] == sum(stand[row[:3]] != row for row in attempts) > 0
    assert told["events without effect"] >= 990
    again = run(place, str(path), str(more), "--realm", "default", "--dry-run")[1]["figures"]
    assert (again["files done"], again["students touched"]) == (2, 0)


def test_a_run_over_the_stream_that_is_killed_anywhere_sends_every_row(
    stack: Stack, database: str, tmp_path: Path
) -> None:
    """What is sent twice is a duplicate: the stream gives what the file does."""
    path, system = scores(tmp_path / "scores.csv", 3_000), System(stack, database, tmp_path)
    # in six pieces, each of them a few words with the stream and one with the manifest
    sent = (str(path), "--via-stream", "--rate", "500", "--manifest", str(tmp_path / "manifest.json"))
    begun, chance, breaks = datetime.now(UTC) - timedelta(seconds=1), random.Random(), list[int]()
    try:
        for _ in range(3):
            breaks.append(chance.randint(1, 5))
            process = system.start("backfill", *sent, broken_at=breaks[-1])
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL, breaks
        code, report = system.run(main, *sent)
        assert (code, report["figures"]["rows accepted"]) == (0, 2_970), breaks
        span = ("--from", begun.isoformat(), "--to", datetime.now(UTC).isoformat(), "--share", "1")
        code, report = system.run(replay.main, *span)
        assert (code, report["figures"]["events read"] >= 2_970) == (0, True), breaks
        by_the_stream = system.rows()
        system.execute("TRUNCATE attempts, course_scores")
        assert system.run(main, str(path))[0] == 0
        assert system.rows() == by_the_stream, breaks
    finally:
        system.close()


def test_no_student_id_is_in_what_a_run_leaves(
    make_place: Callable[[], Place], run: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, place = scores(tmp_path / "scores.csv", 1_000), make_place()
    run(place, str(path))
    left = [*place.folder.rglob("*.json"), *tmp_path.glob("*.rejected.csv")]
    assert len(left) == 3
    text = "".join(file.read_text() for file in left) + "".join(capsys.readouterr())
    assert "p-1" not in text


def test_wrong_columns_are_told_before_anything_is_done(
    make_place: Callable[[], Place], run: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, place = scores(tmp_path / "scores.csv", 10), make_place()
    assert run(place, str(path), "--columns", "student_id=nobody")[0] == 2
    assert "columns of the file: student_id, course_id" in capsys.readouterr().err
    assert run(place, str(path), "--rate", "5")[0] == 2
    assert place.read() == 0


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
