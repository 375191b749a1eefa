"""Another key of the ring for everybody, on real servers and with a kill in between."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from rich.console import Console

from scripts import erase, rekey
from scripts.frame.script import execute
from scripts.frame.showing import Show
from tests.integration.registry import Registry, attempt
from worker.domain.identity import kid_of

STUDENTS = [f"s-{n}" for n in range(30)]
MARK = b"T" + bytes(16)


def run(registry: Registry, *argv: str) -> tuple[int, dict[str, Any], str]:
    report, said = registry.folder / "report.json", io.StringIO()
    show = Show(Console(file=said, width=200))
    code = execute(rekey.SCRIPT, ["--report", str(report), "--to", "k2", *argv], show=show)
    return code, json.loads(report.read_bytes()) if report.exists() else {}, said.getvalue()


def ring(registry: Registry, current: str) -> Registry:
    """The keyring with both keys; whoever starts now reads it."""
    file = Path(registry.environment["IDENTITY_KEYS_FILE"])
    held = msgspec.json.decode(file.read_bytes())
    if "k2" not in held["keys"]:
        parts = {"pseudonym": os.urandom(32), "seal": os.urandom(64)}
        held["keys"]["k2"] = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    held["current"] = current
    file.write_bytes(msgspec.json.encode(held))
    registry.close()
    return Registry(registry.environment, registry.folder)


def test_everybody_is_moved_and_known_by_either_key(registry: Registry) -> None:
    registry.deliver([attempt(student) for student in STUDENTS])
    registry.look("ms-frizzle", "s-1")
    old = {student: registry.state(student) for student in STUDENTS}
    former = registry.office.identity.current
    assert run(registry)[0] == 2, "the ring has no such key"

    before = ring(registry, former)
    code, _, said = run(before)
    assert (code, "make 'k2' the current key" in " ".join(said.split())) == (1, True)
    assert run(before, "--dry-run")[1]["figures"]["students to move"] == 30
    assert run(before, "--prepare", "--dry-run")[1]["figures"]["pseudonyms that would be added"] == 30
    code, told, said = run(before, "--prepare")
    assert (code, told["figures"]["pseudonyms added"]) == (0, 30), said
    assert run(before, "--prepare")[1]["figures"]["pseudonyms added"] == 0

    after = ring(before, "k2")
    after.deliver([attempt(student, number=2) for student in STUDENTS], source="new edge")
    code, dry, said = run(after, "--dry-run")
    code, told, said = run(after)
    assert code == 0, said
    assert told["figures"]["students moved"] == dry["figures"]["students to move"] == 30
    assert dry["figures"]["states under former pseudonyms removed"] == 30
    assert told["figures"]["states under former pseudonyms removed"] == 30
    new = {student: after.state(student) for student in STUDENTS}
    assert set(new.values()).isdisjoint(old.values())
    assert {len(state.attempts) for state in after.office.ledger.read(list(new.values())).values()} == {2}
    assert set(after.office.projection.states(list(old.values()))) == {None}
    subject = after.office.erasing.subject({old["s-1"].student_key})
    assert subject is not None
    assert subject.key == new["s-1"].student_key
    assert subject.sealed_id is not None
    assert kid_of(subject.sealed_id) == "k2"
    assert len(after.office.disclosures.of_student(subject.key, None, 9)) == 1, "seen under the former key"
    after.deliver([attempt(student, number=3) for student in STUDENTS], source="new edge 2")
    assert after.stale() == []
    assert run(after)[1]["figures"]["students moved"] == 0
    after.close()


def test_killed_anywhere_a_second_run_ends_as_one_clean_run(registry: Registry) -> None:
    many = [attempt(f"s-{n}") for n in range(2_600)]
    registry.deliver(many[:1_300], many[1_300:])
    after = ring(registry, "k2")
    with psycopg.connect(registry.environment["DATABASE_URL"], autocommit=True) as admin:

        def seen() -> bool:
            row = admin.execute("SELECT count(*) FROM student_keys").fetchone()
            return row is not None and row[0] >= 500

        after.kill(seen, "rekey", "--to", "k2")
        code, told, said = run(after)
        assert code == 0, said
        assert all(verdict["good"] for verdict in told["verdicts"])
        row = admin.execute("SELECT count(*), count(DISTINCT student_ref) FROM pseudonyms").fetchone()
        assert row == (5_200, 2_600)
    after.close()


def test_an_erased_student_stays_erased_while_the_old_key_is_in_the_ring(registry: Registry) -> None:
    registry.deliver([attempt("s-1")])
    (registry.folder / "id.txt").write_text("s-1")
    erased = ["--student-id-file", str(registry.folder / "id.txt"), "--by", "x", "--reason", "y", "--yes"]
    assert erase.main(erased) == 0
    after = ring(registry, "k2")
    code, told, said = run(after)
    assert code == 0, said
    assert told["figures"]["erased students known by former pseudonyms alone"] == 1
    assert "only while the old key is in the ring" in " ".join(said.split())
    after.deliver([attempt("s-1")], source="replay:1")
    assert after.outcomes() == {"applied": 1, "erased": 1}
    after.close()
