"""One student's record in a file: what is known of them, how each score comes about, and who has looked.

Whoever runs it sees the record, so that look is written down first, as every other is. The file is for its
owner's eyes alone; only who may see the record should be able to run this.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec

from scripts.exporting.files import OwnersFiles
from scripts.exporting.record import Course, as_csv, courses, document, doubtful
from scripts.frame import student
from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run, Script, WrongArguments, execute
from worker import wiring, wiring_jobs
from worker.batch import StateKey
from worker.domain.window import HEADER_SIZE, header, rebuild
from worker.reads import Disclosed, Disclosure
from worker.upkeep import Subject
from worker.wiring_jobs import Office

_PAGE = 1_000
_MOST_TEXT = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    student.arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the record goes as JSON, mode 0600")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the attempts go as a table as well")
    parser.add_argument("--for", dest="whom", metavar="WHO", help="who is given the record; written down")
    parser.add_argument("--purpose", help="what for; written down, and the student can read it")


def _work(run: Run, arguments: argparse.Namespace) -> None:
    if not run.dry_run:
        _check(arguments)
    files = OwnersFiles(arguments.out, arguments.csv)
    settings = run.settings()
    office = patiently(run, lambda: wiring_jobs.office(settings))
    try:
        name = student.named(arguments, settings, office.identity)
        subject = patiently(run, lambda: office.erasing.subject(name.keys))
        if subject is None:
            msg = f"the ledger knows no such student in the realm {name.realm!r}; look at the id and --realm"
            raise Refused(msg)
        if subject.erased:
            msg = f"the record was erased on {subject.erased_at:%Y-%m-%d}; nothing is left to export"
            raise Refused(msg)
        name = student.known_id(name, subject, office.identity)
        run.report.figure("courses", len(subject.courses))
        run.report.figure("attempts", subject.attempts)
        run.report.figure("disclosures", subject.disclosures)
        if run.dry_run:
            return
        _end_if_asked(run)
        now = wiring.now()
        _write_down(run, office, subject, arguments, now)
        found = courses(patiently(run, lambda: office.dossiers.dossier(subject.key)))
        seen = _seen(run, office, subject)
        _prove(run, office, subject, found, now)
        _end_if_asked(run)
        body = msgspec.json.encode(document(subject, name, found, seen, now))
        files.write(msgspec.json.format(body, indent=2), as_csv(found))
    finally:
        office.close()


def _check(arguments: argparse.Namespace) -> None:
    """What a dry run need not be told.

    Raises:
        WrongArguments: it is not said where to, for whom or what for.
    """
    if arguments.out is None or not (arguments.whom and arguments.purpose):
        msg = "say where to with --out, whom it is --for and for what --purpose"
        raise WrongArguments(msg)
    if any(len(text) > _MOST_TEXT for text in (arguments.whom, arguments.purpose)):
        msg = f"--for and --purpose have at most {_MOST_TEXT} characters"
        raise WrongArguments(msg)


def _end_if_asked(run: Run) -> None:
    """Before a look is written down, or a file: over one that is there the same command would be refused."""
    if run.stopping.asked:
        raise KeyboardInterrupt


def _write_down(
    run: Run, office: Office, subject: Subject, arguments: argparse.Namespace, now: datetime
) -> None:
    """The look that this export is; a look that cannot be recorded does not happen."""
    look = Disclosure(now, arguments.whom, "operator", "export", None, arguments.purpose, [subject.key])
    patiently(run, lambda: office.disclosures.record([look]))
    patiently(run, office.disclosures.anchor)


def _seen(run: Run, office: Office, subject: Subject) -> list[Disclosed]:
    found: list[Disclosed] = []
    before: tuple[datetime, UUID, int] | None = None
    with run.show.progress("disclosures", subject.disclosures + 1) as advance:
        while page := patiently(run, partial(office.disclosures.of_student, subject.key, before, _PAGE)):
            found += page
            before = page[-1].at, *page[-1].place
            advance(len(page))
    return found


def _prove(run: Run, office: Office, subject: Subject, found: Sequence[Course], now: datetime) -> None:
    """That the file explains itself, and that readers are shown the same."""
    wrong = [f"{name} in {course.course_id}" for course in found for name in doubtful(course, now)]
    run.report.verdict(
        "every score follows from the attempts named for it", good=not wrong, detail=", ".join(wrong)
    )
    keys = [StateKey(subject.key, course.course_id) for course in found]
    shown = patiently(run, lambda: office.projection.states(keys))
    differing = 0
    for course, state in zip(found, shown, strict=True):
        head = header(course.entries[0].version)
        if state is not None and state[:HEADER_SIZE] == head:
            differing += state[HEADER_SIZE:] != rebuild(course.attempts)
    run.report.verdict("readers are shown what the file says", good=not differing, detail=differing)


SCRIPT = Script(
    name="export",
    summary="Writes one student's record, each score with the attempts that make it, for its owner's eyes.",
    examples=(
        "python -m scripts.export --student-id-file id.txt --dry-run",
        "python -m scripts.export --student-id-file id.txt --out r.json --for parents --purpose inspection",
        "python -m scripts.export --student-key UUID --out r.json --csv attempts.csv --for ... --purpose ...",
    ),
    arguments=_arguments,
    work=_work,
)


if __name__ == "__main__":
    raise SystemExit(main())
