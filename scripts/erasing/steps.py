"""Erasing in steps, each of which may be repeated; only the first must happen in one piece.

First the ledger, because a tombstone stops what is on its way; then Redis; then what merely mentions the
student; and last the sealed id, which the steps before need to recognise them.
"""

import random

from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run
from scripts.frame.student import Named
from worker.domain.errors import ProjectionUnavailable
from worker.ports import StateKey
from worker.stream.deleting import heal
from worker.stream.sieving import Sieve
from worker.upkeep import Deletion, LetterPlace, OnHold, Subject
from worker.wiring_jobs import Office

_PAGE = 500
_ROOMS = ("room", "ranking")


def told(run: Run, subject: Subject) -> None:
    """What there is of the student, in numbers."""
    run.report.figure("courses", len(subject.courses))
    run.report.figure("attempts", subject.attempts)
    run.report.figure("disclosures that name the student", subject.disclosures)
    run.report.figure("erased before", subject.erased)


class Eraser:
    """One student's way out."""

    def __init__(
        self, run: Run, office: Office, name: Named, subject: Subject, realm: str, *, drop_mixed: bool
    ) -> None:
        self._run = run
        self._office = office
        self._name = name
        self._subject = subject
        self._realm = realm
        self._drop_mixed = drop_mixed
        self._mixed = 0

    def erase(self, by: str, reason: str) -> None:
        """All of it, then the proof."""
        key, erasing = self._subject.key, self._office.erasing
        try:
            deletion = patiently(self._run, lambda: erasing.erase(key, by, reason))
        except OnHold:
            msg = "the record was put on hold meanwhile; --release it first"
            raise Refused(msg) from None
        self._forget(deletion)
        patiently(self._run, lambda: erasing.purged(key))
        self.letters()
        self._unlink_disclosures()
        patiently(self._run, lambda: erasing.forget_publications(key))
        courses = [state.course_id for state in deletion.states]
        for kind in _ROOMS:
            patiently(self._run, lambda kind=kind: self._office.classes.drop(kind, courses))
        if self._run.stopping.asked:
            return
        patiently(self._run, lambda: erasing.unname(key))
        self._prove(deletion)

    def letters(self) -> None:
        """Open every dead letter, remove the student's; a dry run only counts them."""
        erasing, run = self._office.erasing, self._run
        sieve = Sieve(
            self._office.vault,
            self._office.identity,
            self._realm,
            self._name.keys | self._subject.keys,
            self._name.student_id,
        )
        found = unreadable = self._mixed = 0
        with run.show.progress("dead letters", patiently(run, erasing.count_letters)) as advance:
            after: LetterPlace | None = None
            while not run.stopping.asked:
                page = patiently(run, lambda after=after: erasing.letters(after, _PAGE))
                if not page:
                    break
                gone: list[LetterPlace] = []
                for letter in page:
                    mention = patiently(run, lambda letter=letter: sieve.mention(letter))
                    unreadable += mention is None
                    if mention is None or not mention.found:
                        continue
                    if mention.alone or self._drop_mixed:
                        gone.append(letter.place)
                    else:
                        self._mixed += 1
                found += len(gone)
                if gone and not run.dry_run:
                    patiently(run, lambda gone=gone: erasing.remove_letters(gone))
                after = page[-1].place
                advance(len(page))
        run.report.figure("dead letters of the student", found)
        run.report.figure("dead letters with others' events too", self._mixed)
        run.report.figure("dead letters nobody can read", unreadable)
        if unreadable:
            run.show.say("letters that nobody can read may be anybody's; they stay, and expire by themselves")

    def _forget(self, deletion: Deletion) -> None:
        """Redis: the states, else a sweep, by whoever has the turn."""
        ledger, projection = self._office.ledger, self._office.projection
        if patiently(self._run, lambda: projection.unlink(deletion.number, deletion.states)):
            return
        self._run.show.say("Redis is behind the deletions: sweeping")
        chance = random.Random()
        with self._run.show.progress("pages swept", None) as advance:
            while not patiently(self._run, lambda: heal(ledger, projection, lambda: advance(1))):
                if self._run.stopping.wait(chance.uniform(0.1, 1.0)):
                    raise KeyboardInterrupt

    def _unlink_disclosures(self) -> None:
        erasing, key = self._office.erasing, self._subject.key
        unlinked = 0
        with self._run.show.progress("disclosures", self._subject.disclosures) as advance:
            while not self._run.stopping.asked:
                done = patiently(self._run, lambda: erasing.unlink_disclosures(key, _PAGE))
                if not done:
                    break
                unlinked += done
                advance(done)
        self._run.report.figure("disclosures unlinked", unlinked)

    def _prove(self, deletion: Deletion) -> None:
        """Look once more, everywhere the student could be."""
        report, key = self._run.report, self._subject.key
        left = dict(patiently(self._run, lambda: self._office.erasing.remains(key)))
        tombstones = left.pop("tombstones", 0)
        detail = ", ".join(f"{count:,} {kind}" for kind, count in left.items())
        report.verdict("nothing of the student is left in the ledger", good=not any(left.values()), detail=detail)
        report.verdict("a tombstone keeps replays from bringing them back", good=tombstones == 1)
        states = self._states(deletion.states)
        report.verdict("no state of the student is left in Redis", good=not states, detail=states)
        report.verdict(
            "no dead letter of the student is left that could be told",
            good=not self._mixed,
            detail="" if not self._mixed else f"{self._mixed:,} hold others' events too; --drop-mixed",
        )
        self._run.show.say(
            "not reached from here: backups and snapshots of PostgreSQL and Redis, which expire; the stream's"
            " own records, which expire with its retention and are refused; exports given to people"
        )

    def _states(self, states: "list[StateKey] | tuple[StateKey, ...] | object") -> int:
        keys = list(states)  # type: ignore[call-overload]
        try:
            return sum(value is not None for value in self._office.projection.states(keys))
        except ProjectionUnavailable:
            return -1
