"""Dead letters tried again, after a fix, by one operator at a time.

A letter is let go of only once its events are in the ledger and projected; until then a crash merely means
that it is tried again, and the registers of the ledger make that harmless. What fails again stays, one try
older and under the reason of today.

A letter that is a whole record may succeed in part: its good events go through, and it stays as it is,
because only decoding it again can tell the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from worker.batch import Delivered, Record, Source, StateKey
from worker.domain import envelope
from worker.domain.errors import Reason
from worker.domain.position import Position
from worker.letters import DeadLetters, Failure, Letter, Selection, Settled
from worker.ports import Vault
from worker.registers import AttemptId, Known, Registers, refuses
from worker.stream.checkpointing import Nowhere
from worker.stream.decoding import Decoder
from worker.stream.pipeline import Pipeline
from worker.stream.waiting import Waiting

CHUNK = 100
GROUP_EVENTS = 2_000
CLAIM_SECONDS = 300.0


class Trial(NamedTuple):
    """What a letter comes to now: the events that would go through, and why the rest of it would not.

    A letter that is not `opened` was sealed under another key or altered, and nothing else is known of it.
    """

    letter: Letter
    events: Sequence[Delivered]
    failure: Failure | None
    opened: bool = True


class Judge(NamedTuple):
    """Tells what a letter would come to without trying it: by decoder, tombstones and registers of today."""

    vault: Vault
    decoder: Decoder
    registers: Registers

    def groups(self, letters: Sequence[Letter]) -> Iterator[list[Trial]]:
        """The letters judged in their order, a few thousand events at a time.

        Raises:
            LedgerUnavailable: judging again is safe.
        """
        group: list[Trial] = []
        for letter in letters:
            group.append(self._decoded(letter))
            if sum(len(trial.events) for trial in group) >= GROUP_EVENTS:
                yield self._judged(group)
                group = []
        if group:
            yield self._judged(group)

    def _decoded(self, letter: Letter) -> Trial:
        try:
            payload = self.vault.open(letter.sealed)
        except ValueError:
            return Trial(letter, [], Failure(letter.reason, letter.field), opened=False)
        # when it was stored stands for its arrival: a stored time, so that every try judges alike
        events, still = self.decoder.decode(Record(payload, Position(letter.number), letter.stored_at))
        return Trial(letter, events, Failure(still[0].reason, still[0].field) if still else None)

    def _judged(self, group: Sequence[Trial]) -> list[Trial]:
        events = [one for trial in group for one in trial.events]
        known = self.registers.known({one.event.student_key for one in events})
        horizons = self.registers.horizons({one.event.course_id for one in events})
        held = self.registers.writers({_register(one, known) for one in events})

        def obstacle(one: Delivered) -> Reason | None:
            student = known.get(one.event.student_key)
            # a letter goes only once its events are committed, and these never are
            if refuses(student, horizons.get(one.event.course_id), one.event):
                return Reason.ERASED
            standing = held.get(_register(one, known))
            collides = standing is not None and standing.check != one.register.check
            return Reason.KEY_COLLISION if collides else None

        return [_without(trial, obstacle) for trial in group]


class Step(NamedTuple):
    """What became of some letters: their trials, why those that failed did, and what the store did of it."""

    trials: Sequence[Trial]
    failed: Mapping[int, Failure]
    settled: Settled


class Job(NamedTuple):
    """The source `redrive:...` under which letters are tried, and a name that no other run has."""

    source: Source
    operator: str


class Redrive:
    """Tries letters through the pipeline of a job's own source.

    Args:
        letters: where they are.
        judge: sorts out what cannot succeed before it is tried.
        job: whose run this is.
        pipeline: of the job's source, opened.
        waiting: repeats steps while the ledger is away.
    """

    def __init__(
        self, letters: DeadLetters, judge: Judge, job: Job, pipeline: Pipeline, waiting: Waiting
    ) -> None:
        self._letters = letters
        self._judge = judge
        self._source, self._operator = job
        self._pipeline = pipeline
        self._waiting = waiting

    def steps(self, selection: Selection) -> Iterator[Step]:
        """Try every chosen letter that nobody else tries, once; each step is settled when it is given."""
        until = self._waiting.until_ledger
        until(self._letters.tidy)
        after = 0
        left: Sequence[Letter] = ()
        while left := left or until(partial(self._claim, selection, after)):
            group = until(partial(self._next_group, left))
            left, after = left[len(group) :], group[-1].letter.number
            self.keep()
            yield self._tried(group)

    def keep(self) -> None:
        """Say that this operator is still at work, so that its claims do not run out."""
        self._waiting.until_ledger(lambda: self._letters.renew(self._operator, CLAIM_SECONDS))

    def _claim(self, selection: Selection, after: int) -> Sequence[Letter]:
        return self._letters.claim(selection, self._operator, after, CHUNK, CLAIM_SECONDS)

    def _next_group(self, letters: Sequence[Letter]) -> list[Trial]:
        return next(self._judge.groups(letters))

    def _tried(self, group: Sequence[Trial]) -> Step:
        self._pipeline.process([record for trial in group for record in _records(trial)])
        self._pipeline.finish()
        self._pipeline.settle(Nowhere(), at_once=True)
        until = self._waiting.until_ledger
        numbers = [trial.letter.number for trial in group]
        failed = dict(until(lambda: self._letters.refused(self._source, numbers)))
        failed.update((trial.letter.number, trial.failure) for trial in group if trial.failure is not None)
        recovered = [number for number in numbers if number not in failed]
        settled = until(lambda: self._letters.settle(self._operator, self._source, recovered, failed))
        return Step(group, failed, settled)


def _records(trial: Trial) -> list[Record]:
    """The letter's good events at its own number; a large record as several envelopes."""
    packed = envelope.pack([one.event for one in trial.events])
    number, stored_at = trial.letter.number, trial.letter.stored_at
    return [Record(data, Position(number, sub), stored_at) for sub, data in enumerate(packed)]


def _without(trial: Trial, obstacle: Callable[[Delivered], Reason | None]) -> Trial:
    """The trial less the events that the ledger would refuse."""
    found = [(one, obstacle(one)) for one in trial.events]
    reasons = [reason for _, reason in found if reason is not None]
    if not reasons:
        return trial
    good = [one for one, reason in found if reason is None]
    return trial._replace(events=good, failure=trial.failure or Failure(reasons[0]))


def _register(one: Delivered, known: Mapping[UUID, Known]) -> AttemptId:
    student = known.get(one.event.student_key)
    key = one.key if student is None else StateKey(student.student_key, one.event.course_id)
    return AttemptId(key, one.register.key)
