"""Erasing in steps, each of which may be repeated; only the first must happen in one piece.

First the ledger, because a tombstone stops what is on its way; then Redis; then what merely mentions the
student; and last the sealed id, which the steps before need to recognise them.
"""

from functools import partial

from scripts.frame.healing import heal_deletions
from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run
from scripts.frame.student import Named
from worker.stream.sieving import Sieve
from worker.upkeep import Deletion, Letter, LetterPlace, OnHold, Subject
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
        self._unreadable = 0

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
            patiently(self._run, partial(self._office.classes.drop, kind, courses))
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
        found = self._mixed = self._unreadable = 0
        with run.show.progress("dead letters", patiently(run, erasing.count_letters)) as advance:
            after: LetterPlace | None = None
            while not run.stopping.asked:
                page = patiently(run, partial(erasing.letters, after, _PAGE))
                if not page:
                    break
                gone = [letter.place for letter in page if self._goes(sieve, letter)]
                found += len(gone)
                if gone and not run.dry_run:
                    patiently(run, partial(erasing.remove_letters, gone))
                after = page[-1].place
                advance(len(page))
        run.report.figure("dead letters of the student", found)
        run.report.figure("dead letters with others' events too", self._mixed)
        run.report.figure("dead letters nobody can read", self._unreadable)
        if self._unreadable:
            run.show.say("letters that nobody can read may be anybody's; they stay, and expire by themselves")

    def _goes(self, sieve: Sieve, letter: Letter) -> bool:
        mention = patiently(self._run, partial(sieve.mention, letter))
        if mention is None:
            self._unreadable += 1
            return False
        if mention.found and not mention.alone:
            self._mixed += 1
        return mention.found and (mention.alone or self._drop_mixed)

    def _forget(self, deletion: Deletion) -> None:
        """Redis: the states, else a sweep, by whoever has the turn."""
        projection = self._office.projection
        if not patiently(self._run, lambda: projection.unlink(deletion.number, deletion.states)):
            heal_deletions(self._run, self._office.ledger, projection)

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
        report.verdict(
            "nothing of the student is left in the ledger", good=not any(left.values()), detail=detail
        )
        report.verdict("a tombstone keeps replays from bringing them back", good=tombstones == 1)
        found = patiently(self._run, lambda: self._office.projection.states(deletion.states))
        states = sum(value is not None for value in found)
        report.verdict("no state of the student is left in Redis", good=not states, detail=states)
        report.verdict(
            "no dead letter of the student is left that could be told",
            good=self._drop_mixed or not self._mixed,
            detail=""
            if self._drop_mixed or not self._mixed
            else f"{self._mixed:,} hold others' events too; --drop-mixed",
        )
        self._run.show.say(
            "not reached from here: backups and snapshots of PostgreSQL and Redis, which expire; the stream's"
            " own records, which expire with its retention and are refused; exports given to people"
        )
