"""Passwords rotate while the real worker and the API work: no request fails, no event is lost or doubled.

After each step that changes a password or the secret, all connections of both users are cut, so that worker
and API come back with what the secret says at that moment; an API task that starts in the middle of a
rotation comes up.
"""

import json
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from tests.e2e.rotating import COURSE, DATABASE, Person, Platform, Teacher, Vault, more_answers, paused
from tests.faults.proof import wait_until_quiet
from worker import wiring
from worker.domain.accounting import Outcome
from worker.issuing import issue
from worker.local.edges import Edges
from worker.local.session import Session
from worker.local.verifying import states_equal_ledger
from worker.local.watching import position, wait_for
from worker.settings import ApiSettings, load, load_api

pytestmark = pytest.mark.e2e

STUDENTS = 200
WHAT_OPENS_CHANGES = ("setSecret", "finishSecret")
ROTATIONS = 2
"""The second one comes back to the first user, whose sessions of long ago may still be open."""


def token(settings: ApiSettings, role: str) -> str:
    return issue(settings, subject=f"a-{role}", roles=[role], courses=[COURSE], student_id=None, hours=1)


def known(edges: Edges) -> int:
    """How many students the ledger has heard of, on whatever shard."""
    return sum(len(page) for page in edges.ledger.versions(STUDENTS))


def told(session: Session, process: str, figure: str) -> float:
    """What a process told CloudWatch through its log, added up as CloudWatch does."""
    log = (session.directory / "log" / f"{process}.log").read_text().splitlines()
    return sum(float(json.loads(line)[figure]) for line in log if '"_aws"' in line)


def test_both_passwords_rotate_under_load_without_a_failed_request_or_event(tmp_path: Path) -> None:
    with Session(tmp_path) as session, ExitStack() as opened:
        vault = Vault(session)
        task = session.start_task(settings=vault.settings)
        api = session.start_api(vault.settings)
        settings = load_api(session.environment)
        teacher, producer = token(settings, "teacher"), token(settings, "producer")
        edges = opened.enter_context(closing(wiring.edges(load(session.environment))))
        platforms = [Platform(api.url, producer, 0, STUDENTS)]
        people: list[Person] = [*platforms]

        def join(person: Person) -> None:
            people.append(person)
            person.start()

        platforms[0].start()
        wait_for(lambda: known(edges) == STUDENTS, task, seconds=90, what="every student")
        join(Teacher(api.url, teacher, STUDENTS))
        for rotation in range(ROTATIONS):
            for step in vault.rotating():
                wait_for(more_answers(people, 5), task, seconds=60, what=f"answers after {step}")
                if step not in WHAT_OPENS_CHANGES:
                    continue
                with paused(people):
                    assert vault.cut() > 0
                if rotation == 0 and step == "setSecret":
                    late = session.start_api(vault.settings, "late")
                    platforms.append(Platform(late.url, producer, 1, STUDENTS))
                    join(platforms[-1])
                    join(Teacher(late.url, teacher, STUDENTS))
                wait_for(more_answers(people, 5), task, seconds=60, what=f"answers after {step} and a cut")
                assert [bad for person in people for bad in person.bad][:3] == []
        assert vault.current(DATABASE)["username"] == "edu_app_a"
        for person in people:
            person.end()
        assert [bad for person in people for bad in person.bad] == []
        assert all(person.good > 0 for person in people)

        sent = [event for platform in platforms for event in platform.sent]
        wait_until_quiet(edges, task, len(sent))
        accounting = position(edges.ledger).accounting
        assert accounting.closes
        assert accounting[Outcome.APPLIED] == len(sent)
        assert accounting.read == len(sent) + accounting[Outcome.REDELIVERED]
        assert accounting[Outcome.DEAD_LETTERED] == 0
        states = states_equal_ledger(edges)
        assert states.full, states
        looks = sum(person.good for person in people if isinstance(person, Teacher))
        with psycopg.connect(session.stack.endpoints.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (len(sent),)
            assert connection.execute("SELECT count(*) FROM disclosures").fetchone() == (looks,)
    assert told(session, "worker", "EventsApplied") == len(sent)
    assert told(session, "api", "EventsAccepted") + told(session, "late", "EventsAccepted") == len(sent)
    assert told(session, "api", "DisclosuresRecorded") + told(session, "late", "DisclosuresRecorded") == looks
    session.remove()
    print(f"{len(sent)} events and {looks} looks through {ROTATIONS} rotations")
