"""Naming one student to a script without showing the id to anybody else.

An id on a command line stands in the process list and in the shell's history. So it is read from a file, from
standard input, or typed unseen; a pseudonym may be given openly.
"""

import argparse
import getpass
import sys
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from scripts.frame.script import Refused, WrongArguments
from worker.domain.identity import Identity, SealBroken
from worker.settings import Settings
from worker.upkeep import Subject


class Named(NamedTuple):
    """A student as the operator named them; the id is None where only a pseudonym is known."""

    keys: frozenset[UUID]
    student_id: str | None
    realm: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name a student."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--student-id-file",
        metavar="FILE",
        help="file that holds the student id and nothing else, - for standard input (default: it is asked)",
    )
    who.add_argument("--student-key", type=UUID, metavar="UUID", help="the student's pseudonym instead")
    parser.add_argument("--realm", help="who issued the student id (default: the REALM of the environment)")


def named(given: argparse.Namespace, settings: Settings, identity: Identity) -> Named:
    """The student that the arguments name, asked for where they name none.

    Raises:
        WrongArguments: there is no id to be had.
    """
    realm = given.realm or settings.realm
    if given.student_key is not None:
        return Named(frozenset({given.student_key}), None, realm)
    student_id = _read(given.student_id_file)
    return Named(identity.pseudonyms(student_id, realm), student_id, realm)


def known_id(name: Named, subject: Subject | None, identity: Identity) -> Named:
    """The same with all pseudonyms, and with the id where the ledger has it sealed."""
    if subject is None:
        return name
    student_id, realm = name.student_id, name.realm
    if student_id is None and subject.sealed_id is not None:
        try:
            realm, student_id = identity.open(subject.sealed_id)
        except SealBroken:
            msg = "no key of the keyring opens the sealed id; give the ring that has its key"
            raise Refused(msg) from None
    others = frozenset() if student_id is None else identity.pseudonyms(student_id, realm)
    return Named(name.keys | subject.keys | others, student_id, realm)


def _read(file: str | None) -> str:
    if file == "-":
        text = sys.stdin.read()
    elif file is not None:
        text = Path(file).read_text()
    elif sys.stdin.isatty():
        text = getpass.getpass("student id (not shown): ")
    else:
        msg = "name the student: --student-id-file FILE, - for standard input, or --student-key UUID"
        raise WrongArguments(msg)
    student_id = text.removesuffix("\n").removesuffix("\r")
    if not student_id or "\n" in student_id:
        msg = "one student id is wanted, alone on one line"
        raise WrongArguments(msg)
    return student_id
