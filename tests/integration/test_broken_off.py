"""Every script that changes records, broken off at random places and run again, ends as one clean run.

Replay, redrive, backfill and load test have tests of their own for it, because they have positions.
"""

import base64
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from scripts.frame.script import INTERRUPTED
from tests.conftest import NOW
from tests.integration.breaking import COUNT
from tests.integration.registry import Registry, attempt
from tests.integration.test_erase import ADA
from tests.integration.test_erase import fill as fill_for_erasing
from tests.integration.test_rekey import ring
from tests.integration.test_retention import publish
from worker.domain.classroom import Publication
from worker.domain.window import HEADER_SIZE
from worker.local.keys import ensure_keys
from worker.local.stack import Stack
from worker.ports import Write

BREAKS, EARLY = 3, 10
LAST_TERM = NOW - timedelta(days=40)
STATE = {
    "attempts": "SELECT course_id, student_key, attempt_key, score, graded_at, kind, digest, item"
    " FROM attempts JOIN students USING (student_ref) JOIN courses USING (course_ref)",
    "students": "SELECT student_key, sealed_id, ARRAY (SELECT a.student_key FROM student_keys a"
    " WHERE a.student_ref = s.student_ref ORDER BY 1) FROM students s",
    "states": "SELECT course_id, student_key FROM course_scores"
    " JOIN students USING (student_ref) JOIN courses USING (course_ref)",
    "letters": "SELECT source, seq, sub, number, reason, tries FROM dead_letters",
    "disclosed": "SELECT student_key, at, count(*) FROM disclosed_students GROUP BY 1, 2",
    "erasures": "SELECT student_key, courses, erased_by, reason, refused_until, purged_at IS NULL,"
    " lifted_at IS NULL FROM erasures JOIN students USING (student_ref)",
    "holds": "SELECT student_key, reason FROM holds JOIN students USING (student_ref)",
    "horizons": "SELECT course_id, before FROM horizons JOIN courses USING (course_ref)",
    "horizon": "SELECT horizon FROM ledger",
    "restores": "SELECT restored_to, raised_by FROM epochs",
    "publications": "SELECT course_id, body FROM publications",
}
"""What a script leaves behind, less what differs between two clean runs."""


class Case(NamedTuple):
    """A script with its arguments, and the school that it is run on."""

    script: str
    argv: tuple[str, ...]
    fill: Callable[[Registry], Registry]


def for_erase(registry: Registry) -> Registry:
    fill_for_erasing(registry)
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(  # more than one page of them
            "INSERT INTO disclosed_students"
            " SELECT %s, %s, gen_random_uuid(), n FROM generate_series(1, 1200) n",
            [registry.key(ADA), NOW],
        )
    (registry.folder / "id.txt").write_text(ADA)
    return registry


def for_retention(registry: Registry) -> Registry:
    registry.deliver(
        [
            attempt(f"s-{n}", course, number=number, at=at)
            for n in range(400)
            for course in ("algebra", "biology")
            for number, at in ((1, LAST_TERM), (2, NOW))
            if (course, number) != ("biology", 2) or n > 200
        ],
        [attempt("s-1", score="much")],
    )
    registry.look("ms-frizzle", "s-1", "s-300", course="biology", at=LAST_TERM)
    publish(registry, "algebra", "biology", "chemistry")
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("UPDATE dead_letters SET expires_at = now() - interval '1 day'")
    return registry


def for_rekey(registry: Registry) -> Registry:
    registry.deliver([attempt(f"s-{n}") for n in range(1_200)])
    versions = {str(registry.key(f"s-{n}")): "1.1" for n in range(5)}
    body = Publication("algebra", "v1", NOW, None, None, None, None, [], versions)
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(
            "INSERT INTO publications VALUES ('algebra', now(), %s)", [msgspec.msgpack.encode(body)]
        )
    return ring(registry, "k2")


def for_rebuild(registry: Registry) -> Registry:
    """States that are missing, states that are wrong, and those that are right."""
    students = [f"s-{n}" for n in range(2_400)]
    registry.deliver([attempt(student) for student in students])
    keys = [registry.state(student) for student in students]
    projection = registry.office.projection
    values = projection.states(keys)
    writes = [
        Write(key, value[:HEADER_SIZE], value[:HEADER_SIZE] + values[0][HEADER_SIZE:])
        for key, value in zip(keys[:600], values, strict=False)
        if value is not None and values[0] is not None
    ]
    assert all(projection.install(writes))
    for page in projection.residents(1_000):
        projection.drop(
            [one for one in page if one.student_key in {key.student_key for key in keys[600:1_800]}]
        )
    return registry


def for_epoch(registry: Registry) -> Registry:
    registry.deliver([attempt(f"s-{n}") for n in range(50)])
    return registry


CASES = (
    Case(
        "erase", ("--student-id-file", "id.txt", "--by", "the registrar", "--reason", "x", "--yes"), for_erase
    ),
    Case("retention", ("--before", str((NOW - timedelta(days=9)).date())), for_retention),
    Case("rekey", ("--to", "k2", "--prepare"), for_rekey),
    Case("rekey", ("--to", "k2"), for_rekey),
    Case("rebuild", ("--processes", "1"), for_rebuild),
    Case("epoch", ("--restored-to", "2026-03-02T09:30:00Z", "--by", "the operator"), for_epoch),
)


class Broken:
    """A school on which a script is run, and at which words it was broken off."""

    def __init__(self, registry: Registry, case: Case) -> None:
        self._case = case
        self._environment, self._folder = registry.environment, registry.folder
        self._words = registry.folder / "words"
        self.breaks: list[tuple[int, str]] = []
        case.fill(registry).close()

    def run(self, at: int = 0, by: signal.Signals = signal.SIGKILL) -> tuple[int, Mapping[str, Any]]:
        """The script to its end or to that word; its exit code and report."""
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        self._words.unlink(missing_ok=True)
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "tests.integration.breaking",
                    str(at),
                    str(int(by)),
                    self._case.script,
                ),
                *(str(self._folder / word) if word == "id.txt" else word for word in self._case.argv),
                *("--report", str(report)),
            ],
            env={**os.environ, **self._environment, COUNT: str(self._words)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        self.breaks.append((at, by.name))
        return done.returncode, json.loads(report.read_bytes()) if report.exists() else {}

    def words(self) -> int:
        """How many the last run has said, which must have come to its end."""
        return int(self._words.read_text())

    def state(self) -> dict[str, Any]:
        """What is left behind, and what readers would be shown that is not the ledger's."""
        registry = Registry(self._environment, self._folder)
        try:
            with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
                found: dict[str, Any] = {
                    name: admin.execute(f"SELECT t::text FROM ({query}) t ORDER BY 1".encode()).fetchall()
                    for name, query in STATE.items()
                }
            found["redis"] = {
                one.student_key for page in registry.office.projection.residents(1_000) for one in page
            }
            found["stale"] = registry.stale()
            found["broken chains"] = list(registry.office.disclosures.broken())
            return found
        finally:
            registry.close()


@pytest.fixture
def make_school(
    stack: Stack, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Registry]]:
    """Schools with one keyring, each with a ledger and an epoch of its own."""
    keys = tmp_path / "keys"
    held = msgspec.json.decode(Path(ensure_keys(keys)["IDENTITY_KEYS_FILE"]).read_bytes())
    parts = {"pseudonym": os.urandom(32), "seal": os.urandom(64)}
    held["keys"]["k2"] = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    Path(ensure_keys(keys)["IDENTITY_KEYS_FILE"]).write_bytes(msgspec.json.encode(held))
    admin, made = stack.endpoints.database_url, list[tuple[str, Registry]]()

    def make() -> Registry:
        name = f"school_{uuid.uuid4().hex}"
        folder = tmp_path / name
        shutil.copytree(keys, folder / "keys")
        with psycopg.connect(admin, autocommit=True) as connection:
            statement = "CREATE DATABASE {} TEMPLATE {}"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(migrated)))
        database = make_conninfo(admin, dbname=name)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE ledger SET epoch = %s", [random.randrange(10**8, 2 * 10**8)])
        environment = {
            **stack.endpoints.environment(),
            **ensure_keys(folder / "keys"),
            "MODE": "local",
            "DATABASE_URL": database,
            "STATE_DIR": str(folder / "state"),
            "APPLICATION_NAME": name,  # nobody's leases
        }
        made.append((name, Registry(environment, folder)))
        return made[-1][1]

    yield make
    for name, registry in made:
        registry.close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join((case.script, *case.argv[2:3])))
def test_broken_off_at_random_places_it_ends_as_one_clean_run(
    make_school: Callable[[], Registry], case: Case
) -> None:
    clean = Broken(make_school(), case)
    before = clean.state()
    code, told = clean.run()
    assert (code, [one for one in told["verdicts"] if not one["good"]]) == (0, [])
    shall, words = clean.state(), clean.words()
    assert shall != before, "there was something to do"
    assert shall["stale"] == shall["broken chains"] == []

    broken, chance = Broken(make_school(), case), random.Random()
    ends = []
    for latest in (EARLY, *[words] * (BREAKS - 1)):
        by = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        ends.append(broken.run(chance.randint(1, latest), by)[0])
    assert set(ends) <= {-signal.SIGKILL, INTERRUPTED, 0}, (ends, broken.breaks)
    assert ends[0] != 0, "Redis is shared, so another run may say fewer words; but not so few"
    code, told = broken.run()
    assert (code, [one for one in told["verdicts"] if not one["good"]]) == (0, []), broken.breaks
    assert broken.state() == shall, broken.breaks
