from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.conftest import NOW, minutes, score_event
from tests.doubles import DECODER, Scene, Wire, key_of, record
from worker.adapters.memory import MemoryLetters, MemoryRegisters, MemoryVault
from worker.batch import DeadLetter
from worker.domain import envelope
from worker.domain.accounting import Outcome
from worker.domain.errors import LedgerUnavailable, ProjectionUnavailable, Reason
from worker.domain.event import ScoreEvent
from worker.domain.formats import native
from worker.domain.position import Position
from worker.letters import Failure, Selection
from worker.stream import redriving
from worker.stream.redriving import Job, Judge, Redrive, Step
from worker.stream.waiting import Waiting
from worker.stream.world import World

ANY = Selection()
SOURCE = "redrive:today"


class Sealed(MemoryVault):
    """A vault that has lost the keys of some payloads."""

    def __init__(self) -> None:
        self.lost: set[bytes] = set()

    def open(self, sealed: bytes) -> bytes:
        plain = super().open(sealed)
        if plain in self.lost:
            raise ValueError
        return plain


class Desk:
    """A scene with dead letters, and an operator."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.vault = Sealed()
        self.letters = MemoryLetters(self.scene.ledger, self.vault, self.scene.time.now)
        self.wire: Wire = self.scene.wire
        self._buried = 0
        self.scene.ledger.open_source("live")

    def bury(self, payload: bytes, reason: Reason = Reason.MISSING_FIELD, number: int = 0) -> int:
        """A letter as the old decoder left it; its number."""
        self._buried += 1
        position = Position(10**55 + self._buried)
        letter = DeadLetter(position, number, reason, None, payload)
        self.scene.ledger.dead_letters["live:shardId-000000000000", position, number] = letter
        return self.letters.newest()

    def bury_event(self, event: ScoreEvent) -> int:
        return self.bury(envelope.seal([event]))

    def redrive(self, selection: Selection = ANY, operator: str = "a") -> Redrive:
        scene = self.scene
        pipeline = scene.pipeline(SOURCE)
        world = World(
            scene.ledger, scene.projection, scene.metrics, now=scene.time.now, pause=scene.time.pause
        )
        judge = Judge(self.vault, DECODER, MemoryRegisters(scene.ledger))
        letters = self.wire.connect(self.letters)
        return Redrive(letters, judge, Job(SOURCE, operator), pipeline, Waiting(world, scene.policy))

    def run(self, selection: Selection = ANY) -> list[Step]:
        return list(self.redrive().steps(selection))

    def left(self) -> dict[int, tuple[Reason, int]]:
        """The letters that are still there, each with its reason and tries."""
        return {one.number: (one.reason, one.tries) for one in self.letters.page(ANY, 0, 1_000)}

    def score(self, event: ScoreEvent) -> int | None:
        shown = self.scene.shown(event)
        return None if shown is None else shown.ring[-1][1]


def totals(steps: list[Step]) -> tuple[int, int, int]:
    """How many were tried, recovered and kept."""
    return (
        sum(len(step.trials) for step in steps),
        sum(step.settled.recovered for step in steps),
        sum(step.settled.kept for step in steps),
    )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_letter_that_can_be_read_now_is_projected_and_gone(desk: Desk) -> None:
    event = score_event(score=70)
    desk.bury_event(event)
    assert totals(desk.run()) == (1, 1, 0)
    assert desk.left() == {}
    assert desk.score(event) == 700_000
    progress = desk.scene.ledger.progress()[SOURCE]
    assert progress.accounting[Outcome.APPLIED] == 1
    assert progress.projected == progress.committed != Position(-1, -1)


def test_what_fails_again_stays_with_its_count_and_todays_reason(desk: Desk) -> None:
    number = desk.bury(b'{"course_id":1}', Reason.NOT_JSON)
    (step,) = desk.run()
    assert step.failed == {number: Failure(Reason.INVALID_FIELD, "course_id")}
    assert desk.left() == {number: (Reason.INVALID_FIELD, 1)}
    desk.run()
    assert desk.left() == {number: (Reason.INVALID_FIELD, 2)}
    assert desk.scene.ledger.progress()[SOURCE].accounting.read == 0, "it never came near the ledger"


def test_a_letter_is_tried_once_a_run_and_new_ones_are_left_for_the_next(desk: Desk) -> None:
    number = desk.bury(b"{}")
    steps = desk.redrive().steps(Selection(newest=desk.letters.newest()))
    next(steps)
    later = desk.bury(b"{}")
    assert list(steps) == []
    assert desk.left() == {number: (Reason.MISSING_FIELD, 1), later: (Reason.MISSING_FIELD, 0)}


def test_the_good_events_of_a_record_go_through_and_it_stays_for_the_rest(desk: Desk) -> None:
    good = score_event("ada", score=50)
    whole = b"\n".join(
        [b'{"envelope":1,"count":2,"students":{}}', native_line(good), b'{"course_id":"algebra"}']
    )
    number = desk.bury(whole, Reason.UNKNOWN_ENVELOPE, number=-1)
    assert totals(desk.run()) == (1, 0, 1)
    assert desk.left() == {number: (Reason.MISSING_FIELD, 1)}
    assert desk.score(good) == 500_000


def native_line(event: ScoreEvent) -> bytes:
    """An event as a producer without keys sends it."""
    line = native.encode(event).replace(
        b'"student_key":"%b"' % str(event.student_key).encode(), b'"student_id":"ada"'
    )
    assert b"student_id" in line
    return line


def test_a_record_larger_than_an_envelope_is_recovered_whole(desk: Desk) -> None:
    events = [score_event(f"s{n % 50}", attempt=n, score=n % 100) for n in range(5_000)]
    desk.bury(envelope.seal(events), Reason.COUNT_MISMATCH, number=-1)
    assert totals(desk.run()) == (1, 1, 0)
    assert desk.scene.ledger.progress()[SOURCE].accounting[Outcome.APPLIED] == 5_000


def test_the_letters_of_an_erased_student_stay_until_the_tombstone_is_lifted(desk: Desk) -> None:
    event = score_event("ada")
    number = desk.bury(envelope.seal([event]), Reason.ERASED)
    desk.scene.ledger.tombstones[event.student_key] = {"algebra"}
    assert totals(desk.run()) == (1, 0, 1)
    assert desk.left() == {number: (Reason.ERASED, 1)}
    assert len(desk.scene.ledger.dead_letters) == 1, "no copy of it was made"
    del desk.scene.ledger.tombstones[event.student_key]
    assert totals(desk.run()) == (1, 1, 0)
    assert desk.score(event) == 800_000


def test_a_student_erased_between_judging_and_merging_keeps_the_letter(desk: Desk) -> None:
    event = score_event("ada")
    number = desk.bury_event(event)
    tombstones = desk.scene.ledger.tombstones
    desk.wire.before("commit", lambda: tombstones.update({event.student_key: {"algebra"}}))
    (step,) = desk.run()
    assert step.failed == {number: Failure(Reason.ERASED)}
    assert desk.left() == {number: (Reason.ERASED, 1)}
    assert len(desk.scene.ledger.dead_letters) == 1, "the ledger's copy went with the settling"


def test_a_letter_that_the_database_refuses_stays(desk: Desk) -> None:
    desk.scene.ledger.refused = {"bad"}
    bad, good = desk.bury_event(score_event(item="bad")), desk.bury_event(score_event("ben"))
    (step,) = desk.run()
    assert step.failed == {bad: Failure(Reason.REFUSED_BY_DATABASE)}
    assert good not in desk.left()
    assert len(desk.scene.ledger.dead_letters) == 1


def test_a_letter_sealed_under_another_key_is_told_and_stays(desk: Desk) -> None:
    payload = envelope.seal([score_event()])
    number = desk.bury(payload, Reason.NOT_JSON)
    desk.vault.lost.add(payload)
    (step,) = desk.run()
    assert [trial.opened for trial in step.trials] == [False]
    assert desk.left() == {number: (Reason.NOT_JSON, 1)}


def test_an_event_from_the_future_of_its_letter_never_comes_true_by_waiting(desk: Desk) -> None:
    number = desk.bury_event(score_event(at=NOW + minutes(60)))
    desk.scene.time.pass_by(7_200)
    (step,) = desk.run()
    assert step.failed[number].reason is Reason.TIME_OUT_OF_RANGE


def test_more_letters_than_one_claim_takes_are_all_tried(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "CHUNK", 7)
    monkeypatch.setattr(redriving, "GROUP_EVENTS", 3)
    for n in range(30):
        desk.bury_event(score_event(attempt=n))
        desk.bury(b"{}")
    assert totals(desk.run()) == (60, 30, 30)
    assert len(desk.left()) == 30


def test_another_operators_letters_are_left_alone(desk: Desk) -> None:
    mine, theirs = desk.bury_event(score_event("ada")), desk.bury_event(score_event("ben"))
    desk.letters.claim(Selection(newest=mine), "b", 0, 1, 60)
    assert totals(desk.run()) == (1, 1, 0)
    assert desk.left().keys() == {mine}
    assert theirs not in desk.left()


class Killed(Exception):
    """The process ends here."""


STEPS: list[tuple[str, str]] = [
    ("before", "claim"),
    ("after", "claim"),
    ("before", "commit"),
    ("after", "commit"),
    ("before", "write"),
    ("after", "write"),
    ("after", "advance_floor"),
    ("before", "settle"),
    ("after", "settle"),
]


@pytest.mark.parametrize(("when", "step"), STEPS)
def test_a_run_that_was_killed_anywhere_and_another_end_as_one_clean_run(when: str, step: str) -> None:
    clean, killed = Desk(), Desk()
    events = [score_event("ada", score=70), score_event("ben", score=20), score_event("eve")]
    for desk in (clean, killed):
        for event in events:
            desk.bury_event(event)
        desk.bury(b"{}")
        desk.scene.ledger.tombstones[events[2].student_key] = {"algebra"}
    clean.run()
    break_off: Callable[..., None] = getattr(killed.wire, when)
    redrive = killed.redrive()
    break_off(step, Killed())
    with pytest.raises(Killed):
        list(redrive.steps(ANY))
    killed.scene.time.pass_by(redriving.CLAIM_SECONDS)
    killed.run()
    reasons = [{reason for reason, _ in desk.left().values()} for desk in (clean, killed)]
    assert reasons[0] == reasons[1]
    assert clean.left().keys() == killed.left().keys()
    assert killed.scene.ledger.dead_letters.keys() == clean.scene.ledger.dead_letters.keys(), (
        "no copy is left"
    )
    for event in events:
        assert killed.score(event) == clean.score(event)
        held = [desk.scene.ledger.read([key_of(event)]) for desk in (clean, killed)]
        assert [one.attempts for one in held[0].values()] == [one.attempts for one in held[1].values()]


def test_an_outage_of_the_ledger_is_waited_out(desk: Desk) -> None:
    event = score_event()
    desk.bury_event(event)
    redrive = desk.redrive()
    for name in ("claim", "renew", "commit", "refused", "settle"):
        desk.wire.before(name, LedgerUnavailable())
        desk.wire.after(name, LedgerUnavailable())
    assert totals(list(redrive.steps(ANY))) == (1, 1, 0)
    assert desk.score(event) == 800_000


def test_no_letter_goes_before_redis_has_its_events(desk: Desk) -> None:
    event = score_event()
    number = desk.bury_event(event)
    redrive = desk.redrive()
    desk.scene.projection.away = True
    seen: list[bool] = []

    def back() -> None:
        seen.append(number in desk.left())
        desk.scene.projection.away = False

    desk.scene.time.then(50, back)
    assert totals(list(redrive.steps(ANY))) == (1, 1, 0)
    assert seen == [True]
    assert ProjectionUnavailable.__name__ in desk.scene.time.reasons
    assert desk.scene.stale() == []
    assert desk.left() == {}


def test_a_live_record_beside_a_redrive_wins_by_its_own_grading(desk: Desk) -> None:
    newer = score_event(score=90, graded=NOW + minutes(2))
    desk.scene.pipeline("live").process([record(newer, arrived_at=NOW + timedelta(minutes=3))])
    desk.bury_event(score_event(score=10))
    desk.run()
    assert desk.score(newer) == 900_000
    assert desk.scene.ledger.progress()[SOURCE].accounting[Outcome.SUPERSEDED] == 1
