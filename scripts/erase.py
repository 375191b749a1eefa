"""One student out of everything: ledger, Redis, dead letters, disclosures; or held against it.

A family that leaves a school may ask for it, and a record that somebody has asked to inspect must be kept
until then. Each step may be repeated, so a run that was killed anywhere is finished by the next.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.erasing.steps import Eraser, told
from scripts.frame import student
from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run, Script, WrongArguments, execute
from worker import wiring_jobs
from worker.upkeep import Subject
from worker.wiring_jobs import Office

_MOST_TEXT = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    student.arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--lift", action="store_true", help="lift the tombstone: new events count again")
    what.add_argument("--hold", action="store_true", help="hold the record: neither erase nor retention")
    what.add_argument("--release", action="store_true", help="release a held record")
    parser.add_argument("--by", help="who decided it, never a student; kept with the tombstone or hold")
    parser.add_argument("--reason", help="why, without a name; kept beside it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--drop-mixed",
        action="store_true",
        help="also remove dead letters that hold other students' events beside this one's",
    )
    parser.add_argument(
        "--even-if-unknown",
        action="store_true",
        help="lay a tombstone though the ledger knows no such student",
    )


def _work(run: Run, arguments: argparse.Namespace) -> None:
    if not run.dry_run and not arguments.release and not (arguments.by and arguments.reason):
        msg = "say --by whom and for what --reason; both are kept"
        raise WrongArguments(msg)
    if any(len(text or "") > _MOST_TEXT for text in (arguments.by, arguments.reason)):
        msg = f"--by and --reason have at most {_MOST_TEXT} characters"
        raise WrongArguments(msg)
    settings = run.settings()
    office = patiently(run, lambda: wiring_jobs.office(settings))
    try:
        name = student.named(arguments, settings, office.identity)
        subject = patiently(run, lambda: office.erasing.subject(name.keys))
        name = student.known_id(name, subject, office.identity)
        if subject is None:
            subject = _unknown(run, office, name, arguments)
        if arguments.hold or arguments.release or arguments.lift:
            _change(run, office, subject, name, arguments)
            return
        eraser = Eraser(run, office, name, subject, settings.realm, drop_mixed=arguments.drop_mixed)
        told(run, subject)
        if subject.hold is not None:
            msg = (
                f"the record is held since {subject.hold.since:%Y-%m-%d} by {subject.hold.held_by}: "
                f"{subject.hold.reason}; --release it first"
            )
            raise Refused(msg)
        if run.dry_run:
            eraser.letters()
            return
        _confirm(arguments, f"This erases {subject.attempts:,} attempts for good.", "erase")
        eraser.erase(arguments.by, arguments.reason)
    finally:
        office.close()


def _unknown(run: Run, office: Office, name: student.Named, arguments: argparse.Namespace) -> Subject:
    """A student of whom the ledger has nothing; a tombstone may still be wanted."""
    if not arguments.even_if_unknown or name.student_id is None or arguments.lift or arguments.hold:
        msg = (
            f"the ledger knows no such student in the realm {name.realm!r}; look at the id and --realm. "
            "Events that were all dead letters leave no student: --even-if-unknown erases those too"
        )
        raise Refused(msg)
    key = office.identity.identify(name.student_id, name.realm).student_key
    if not run.dry_run:
        patiently(run, lambda: office.erasing.entomb(key))
    return Subject(key, name.keys, None, (), 0, 0, None, None, None)


def _change(
    run: Run, office: Office, subject: Subject, name: student.Named, arguments: argparse.Namespace
) -> None:
    """Lift, hold or release: one small transaction, true already where it was done before."""
    erasing, key = office.erasing, subject.key
    run.report.figure("erased", subject.erased)
    run.report.figure("held", subject.hold is not None)
    if arguments.hold and subject.erased:
        msg = "the record is erased already; there is nothing to hold"
        raise Refused(msg)
    if run.dry_run:
        return
    if arguments.lift:
        sealed = None
        if name.student_id is not None:
            sealed = office.identity.identify(name.student_id, name.realm).sealed_id
        _confirm(arguments, "This lets new events of an erased student in again.", "lift")
        patiently(run, lambda: erasing.lift(key, arguments.by, sealed))
        if sealed is None:
            run.show.say("the id is not known again: teachers see a pseudonym until it is lifted by its id")
    elif arguments.hold:
        patiently(run, lambda: erasing.hold(key, arguments.by, arguments.reason))
    else:
        patiently(run, lambda: erasing.release(key))
    now = patiently(run, lambda: erasing.subject({key}))
    good = now is not None and (
        not now.erased if arguments.lift else (now.hold is not None) == bool(arguments.hold)
    )
    claim = "lifted" if arguments.lift else "held" if arguments.hold else "released"
    run.report.verdict(f"the record is {claim}", good=good)


def _confirm(arguments: argparse.Namespace, warning: str, word: str) -> None:
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        msg = f"{warning} Nobody can be asked here: add --yes"
        raise WrongArguments(msg)
    sys.stderr.write(f"{warning} Type {word!r} to go on: ")
    if sys.stdin.readline().strip() != word:
        msg = "not confirmed; nothing was changed"
        raise Refused(msg)


SCRIPT = Script(
    name="erase",
    summary="Erases one student everywhere, so that no replay brings them back; or holds a record.",
    examples=(
        "python -m scripts.erase --student-id-file id.txt --dry-run",
        "python -m scripts.erase --student-id-file id.txt --by 'the registrar' --reason 'request 2026-17'",
        "python -m scripts.erase --student-key UUID --hold --by 'the registrar' --reason 'asked to inspect'",
    ),
    arguments=_arguments,
    work=_work,
)


if __name__ == "__main__":
    raise SystemExit(main())
