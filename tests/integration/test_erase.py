"""Erasing one student on real servers: nothing is left, nothing comes back, whoever dies in between."""

import io
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from rich.console import Console

from scripts import erase
from scripts.frame.script import execute
from scripts.frame.showing import Show
from tests.conftest import NOW, minutes
from tests.integration.registry import Registry, attempt, record
from tests.integration.served import eventually
from worker import wiring_jobs
from worker.batch import DELETIONS
from worker.domain.classroom import Publication
from worker.domain.position import Position
from worker.domain.window import EMPTY, Version, header
from worker.ports import Write
from worker.stream.deleting import behind

ADA = "ada-4711"
BEN = "ben-0815"
WHY = ("--by", "the registrar", "--reason", "request 2026-17", "--yes")


def run(registry: Registry, *argv: str, student: str = ADA) -> tuple[int, dict[str, Any], str]:
    """The script in this process; its exit code, report and what it said."""
    file, report, said = registry.folder / "id.txt", registry.folder / "report.json", io.StringIO()
    file.write_text(f"{student}\n")
    code = execute(
        erase.SCRIPT,
        ["--student-id-file", str(file), "--report", str(report), *argv],
        show=Show(Console(file=said, width=200)),
    )
    told = json.loads(report.read_bytes()) if report.exists() else {}
    assert student not in said.getvalue()
    assert student not in json.dumps(told)
    return code, told, said.getvalue()


def fill(registry: Registry) -> None:
    """Two students in two courses, with dead letters, disclosures, published figures and rooms."""
    registry.deliver(
        [attempt(student, course) for student in (ADA, BEN) for course in ("algebra", "biology")],
        [
            attempt(ADA, score="much"),
            attempt(BEN, score="much"),
            b'{"student_id":"' + ADA.encode() + b'", oh',
        ],
        [attempt(ADA, score="lots", number=7)],
    )
    for n in range(3):
        registry.look(f"teacher-{n}", ADA, BEN)
        registry.look(f"teacher-{n}", ADA, course=None)
    registry.office.disclosures.anchor()
    for kind in ("room", "ranking"):
        registry.office.classes.put(kind, "algebra", registry.key(ADA).bytes)
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        versions = {str(registry.key(student)): "1.1" for student in (ADA, BEN)}
        body = Publication("algebra", "v1", NOW, None, None, None, None, [], versions)
        admin.execute(
            "INSERT INTO publications VALUES ('algebra', now(), %s)", [msgspec.msgpack.encode(body)]
        )


def mentions(registry: Registry, student: str) -> set[str]:
    """Where the student can be found: by the plain id, the sealed one or the pseudonym."""
    identified = registry.office.identity.identify(student, registry.settings.realm)
    key = identified.student_key
    raw = (student.encode(), key.bytes, identified.sealed_id)
    words = [
        *raw,
        *(word.hex().encode() for word in raw),
        str(key).encode(),
        str(key).encode().hex().encode(),
    ]
    return {place for place, text in registry.dump().items() if any(word in text for word in words)}


def test_nothing_of_an_erased_student_is_left_but_the_tombstone(registry: Registry) -> None:
    fill(registry)
    assert mentions(registry, ADA) == {"students", "disclosed_students", "publications", "redis"}
    assert registry.office.erasing.count_letters() == 4
    code, told, said = run(registry, *WHY)
    assert code == 0, said
    assert told["figures"]["attempts"] == 2
    assert told["figures"]["dead letters of the student"] == 3
    assert told["figures"]["disclosures unlinked"] == 6
    assert all(verdict["good"] for verdict in told["verdicts"])
    assert mentions(registry, ADA) == {"students"}, "the tombstone's pseudonym"
    assert mentions(registry, BEN) == {"students", "disclosed_students", "publications", "redis"}
    assert registry.office.erasing.count_letters() == 1
    assert list(registry.office.disclosures.broken()) == []
    assert registry.stale() == []
    code, told, _ = run(registry, *WHY)
    assert (code, told["figures"]["attempts"]) == (0, 0), "it is safe to run twice"


def test_a_dry_run_says_what_there_is_and_changes_nothing(registry: Registry) -> None:
    fill(registry)
    before = registry.dump()
    code, told, _ = run(registry, "--dry-run")
    assert code == 0
    assert told["figures"] == {
        "courses": 2,
        "attempts": 2,
        "disclosures that name the student": 6,
        "erased before": False,
        "dead letters of the student": 3,
        "dead letters with others' events too": 0,
        "dead letters nobody can read": 0,
    }
    assert registry.dump() == before


def test_a_replay_cannot_resurrect(registry: Registry) -> None:
    events = [attempt(ADA), attempt(BEN)]
    registry.deliver(events)
    assert run(registry, *WHY)[0] == 0
    for source in ("shard", "replay:1", "file:x"):
        registry.deliver(events, [attempt(ADA, number=2)], source=source)
    assert registry.outcomes() == {"applied": 2, "redelivered": 1, "duplicate": 2, "erased": 6}
    assert registry.office.ledger.read([registry.state(ADA)]) == {}
    assert registry.office.projection.states([registry.state(ADA)]) == [None]
    letters = registry.office.erasing.count_letters()
    assert letters == 6
    code, told, _ = run(registry, *WHY)
    assert (code, told["figures"]["dead letters of the student"]) == (0, 6)


def test_a_held_student_is_refused(registry: Registry) -> None:
    fill(registry)
    held = ("--hold", "--by", "the registrar", "--reason", "asked to inspect")
    assert run(registry, *held)[0] == 0
    assert run(registry, *held)[0] == 0
    before = registry.dump()
    code, _, said = run(registry, *WHY)
    assert code == 1
    assert "asked to inspect; --release it first" in said
    assert registry.dump() == before
    assert run(registry, "--release")[0] == 0
    assert run(registry, *WHY)[0] == 0
    code, _, said = run(registry, *held)
    assert (code, "erased already" in said) == (1, True)


def test_after_a_lift_old_deliveries_stay_refused_and_stale_states_are_swept(registry: Registry) -> None:
    """C25: a replica from before the erasure brings the state back after the tombstone was lifted."""
    registry.deliver([attempt(ADA)])
    (old,) = registry.office.projection.states([registry.state(ADA)])
    assert old is not None
    assert run(registry, *WHY)[0] == 0
    registry.deliver([attempt(ADA)])
    assert run(registry, "--lift", *WHY)[0] == 0
    registry.deliver([attempt(ADA)], source="replay:1")
    assert registry.outcomes() == {"applied": 1, "erased": 2}
    claim = registry.office.projection.load_or_claim("spoiler", [registry.state(ADA)]).claim
    registry.office.projection.install([Write(registry.state(ADA), claim, old)])
    registry.office.ledger.open_source("elsewhere")
    registry.office.ledger.advance_floor(
        "elsewhere", Position(1)
    )  # of which Redis knows nothing: it went back
    registry.pipeline().process([])
    assert registry.office.projection.states([registry.state(ADA)]) == [None]
    registry.deliver([attempt(ADA, number=2, at=NOW + minutes(1))], source="later")
    assert registry.outcomes() == {"applied": 2, "erased": 2}
    subject = registry.office.erasing.subject({registry.key(ADA)})
    assert subject is not None
    assert subject.sealed_id is not None, "the id was given at the lift"


def test_a_worker_heals_what_a_job_that_died_has_left(registry: Registry) -> None:
    """C23: the job dies between its transaction and its script, and the next deletion cannot hide that."""
    registry.deliver([attempt(ADA), attempt(BEN), attempt("eve")])
    registry.office.erasing.erase(registry.key(ADA), "x", "y")
    later = registry.office.erasing.erase(registry.key(BEN), "x", "y")
    assert not registry.office.projection.unlink(later.number, later.states)
    assert behind(registry.office.ledger, registry.office.projection)
    assert registry.office.projection.states([registry.state(ADA)]) != [None]
    registry.pipeline().process([])
    keys = [registry.state(student) for student in (ADA, BEN)]
    assert registry.office.projection.states(keys) == [None, None]
    assert registry.office.projection.states([registry.state("eve")]) != [None]
    assert not behind(registry.office.ledger, registry.office.projection)
    assert registry.office.projection.markers([DELETIONS])[DELETIONS] == Position(2)


def test_without_any_worker_the_next_run_heals(registry: Registry) -> None:
    registry.deliver([attempt(ADA), attempt(BEN)])
    registry.office.erasing.erase(registry.key(ADA), "x", "y")
    code, _, said = run(registry, *WHY, student=BEN)
    assert code == 0, said
    assert "sweeping" in said
    keys = [registry.state(student) for student in (ADA, BEN)]
    assert registry.office.projection.states(keys) == [None, None]


@pytest.mark.parametrize("moment", ["tombstone", "disclosures"])
def test_killed_anywhere_a_second_run_ends_as_one_clean_run(registry: Registry, moment: str) -> None:
    fill(registry)
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:
        # enough disclosures that a kill among them finds some done and some not
        admin.execute(
            "INSERT INTO disclosed_students"
            " SELECT %s, now(), gen_random_uuid(), n FROM generate_series(1, 20000) n",
            [registry.key(ADA)],
        )

        def count(query: str) -> int:
            row = admin.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

        seen: dict[str, Callable[[], bool]] = {
            "tombstone": lambda: count("SELECT count(*) FROM erasures") == 1,
            "disclosures": lambda: count("SELECT count(*) FROM redactions") > 0,
        }
        registry.kill(seen[moment], "erase", "--student-id-file", "-", *WHY, given=ADA)
    code, told, said = run(registry, *WHY)
    assert code == 0, said
    assert all(verdict["good"] for verdict in told["verdicts"])
    assert mentions(registry, ADA) == {"students"}
    assert registry.stale() == []


def test_two_who_unlink_disclosures_at_once_both_see_what_the_other_left(registry: Registry) -> None:
    fill(registry)
    key = registry.key(ADA)
    with (
        ThreadPoolExecutor(2) as hands,
        closing(wiring_jobs.office(registry.settings)) as others,
        psycopg.connect(registry.environment["DATABASE_URL"]) as admin,
    ):
        # a row of redactions that is not there yet is what the first waits for, its deletions done
        admin.execute(
            "INSERT INTO redactions SELECT chain, number, '' FROM disclosed_students WHERE student_key = %s",
            [key],
        )
        first = hands.submit(registry.office.erasing.unlink_disclosures, key, 2)
        eventually(lambda: registry.waiting() == 1)
        second = hands.submit(others.erasing.unlink_disclosures, key, 2)
        eventually(lambda: registry.waiting() == 2)
        admin.rollback()
        assert (first.result(30), second.result(30)) == (2, 2)
    assert run(registry, *WHY)[0] == 0
    assert list(registry.office.disclosures.broken()) == []


def test_an_erasure_beside_a_writer_leaves_the_others_right(registry: Registry) -> None:
    started, done = threading.Event(), threading.Event()

    def write() -> None:
        pipeline, sequence = registry.pipeline("live"), 0
        while not done.is_set() or sequence < 40:
            sequence += 1
            events = [attempt(student, number=sequence) for student in (ADA, BEN)]
            pipeline.process([record(sequence, *events)])
            if sequence == 10:
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert started.wait(30)
    try:
        code, _, said = run(registry, *WHY)
    finally:
        done.set()
        writer.join()
    # letters of events that came after the tombstone may have been buried after the scan: by design
    assert code == 0, said
    outcomes = registry.outcomes()
    assert outcomes["applied"] > 0
    assert outcomes["erased"] > 0
    assert registry.office.ledger.read([registry.state(ADA)]) == {}
    assert registry.office.projection.states([registry.state(ADA)]) == [None]
    assert registry.stale() == []
    assert len(registry.office.ledger.read([registry.state(BEN)])[registry.state(BEN)].attempts) >= 40


def test_a_letter_with_others_events_stays_until_it_is_wanted(registry: Registry) -> None:
    whole = json.dumps({"envelope": 1, "count": 9, "students": {}}).encode()
    registry.deliver([whole, attempt(ADA), attempt(BEN)], [attempt(ADA)])
    code, told, said = run(registry, *WHY)
    assert code == 1
    assert told["figures"]["dead letters with others' events too"] == 1
    assert "--drop-mixed" in said
    assert run(registry, "--drop-mixed", *WHY)[0] == 0
    assert registry.office.erasing.count_letters() == 0


def test_an_unknown_student_is_refused_or_kept_out_for_good(registry: Registry) -> None:
    code, _, said = run(registry, *WHY)
    assert (code, "--even-if-unknown" in said) == (1, True)
    assert run(registry, "--even-if-unknown", *WHY)[0] == 0
    registry.deliver([attempt(ADA)])
    assert registry.outcomes() == {"erased": 1}


def test_who_and_why_are_wanted_and_somebody_must_say_yes(registry: Registry) -> None:
    registry.deliver([attempt(ADA)])
    assert run(registry)[0] == 2
    assert run(registry, "--by", "a", "--reason", "b")[0] == 2, "nobody can be asked here"
    assert registry.office.ledger.read([registry.state(ADA)]) != {}


def test_a_state_of_a_later_birth_is_never_taken_for_the_erased_one(registry: Registry) -> None:
    registry.deliver([attempt(ADA)])
    first = registry.office.ledger.read([registry.state(ADA)])[registry.state(ADA)].version
    assert run(registry, *WHY)[0] == 0
    assert run(registry, "--lift", *WHY)[0] == 0
    registry.deliver([attempt(ADA, number=2, at=NOW + minutes(1))], source="later")
    second = registry.office.ledger.read([registry.state(ADA)])[registry.state(ADA)].version
    assert second.birth > first.birth
    assert header(first) + EMPTY != header(Version(second.birth, 1)) + EMPTY


def test_a_wrong_id_file_is_told(registry: Registry, tmp_path: Path) -> None:
    code = execute(erase.SCRIPT, ["--student-id-file", str(tmp_path / "none"), *WHY])
    assert code == 1
