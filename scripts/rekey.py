"""Another key for pseudonyms and sealed ids, when the old one may have become known to somebody.

The new key is first added to the ring beside the old one, so that everybody can read both; workers and API
know a student under either from then on. Then this moves the students over. The old key leaves the ring last,
once nothing that is sealed or named with it can come any more.
"""

import argparse
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from uuid import UUID

from scripts.frame.patience import patiently
from scripts.frame.script import Refused, Run, Script, WrongArguments, execute
from worker import wiring_jobs
from worker.domain.identity import Identified, Identity, SealBroken, kid_of
from worker.upkeep import Filed, Rekeyed
from worker.wiring_jobs import Office

_PAGE = 500


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code."""
    return execute(SCRIPT, argv)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, metavar="KID", help="the new key's id in the keyring")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="only teach the ledger the new pseudonyms, before the new key becomes the current one",
    )


def _work(run: Run, arguments: argparse.Namespace) -> None:
    settings = run.settings()
    office = patiently(run, lambda: wiring_jobs.office(settings))
    try:
        if arguments.to not in office.identity.kids:
            msg = f"the keyring has no key {arguments.to!r}; add it beside the present one and restart all"
            raise WrongArguments(msg)
        if not arguments.prepare and not run.dry_run and office.identity.current != arguments.to:
            msg = (
                f"the keyring still writes with {office.identity.current!r}: make {arguments.to!r} the "
                "current key and restart producers, API and workers first, or --prepare"
            )
            raise Refused(msg)
        rekey = Rekey(run, office, arguments.to)
        if run.dry_run:
            rekey.look(prepare=arguments.prepare)
        elif arguments.prepare:
            rekey.prepare()
        else:
            rekey.finish()
    finally:
        office.close()


class Rekey:
    """All students, page by page."""

    def __init__(self, run: Run, office: Office, kid: str) -> None:
        self._run = run
        self._office = office
        self._kid = kid
        self._taken = 0

    def look(self, *, prepare: bool) -> None:
        """What `prepare` or `finish` would do."""
        run, leaving = self._run, set[UUID]()
        added = moving = nameless = foreign = 0
        for page in self._pages():
            added += len(_new_names(page))
            moving += len(_changes(page))
            leaving |= {change.old for change in _changes(page) if change.old != change.new}
            nameless += sum(filed.sealed_id is None for filed, _ in page)
            foreign += sum(there is None and filed.sealed_id is not None for filed, there in page)
        if prepare:
            run.report.figure("pseudonyms that would be added", added)
        else:
            run.report.figure("students to move", moving)
            self._drop_former(leaving)
        self._tell(nameless, foreign)

    def prepare(self) -> None:
        """Further pseudonyms; nothing that anybody reads changes."""
        run, rekeying = self._run, self._office.rekeying
        added = 0
        for page in self._pages():
            aliases = _new_names(page)
            if aliases:
                added += len(aliases)
                self._taken += patiently(run, partial(rekeying.add_aliases, aliases))
        run.report.figure("pseudonyms added", added)
        self._prove_nobody_is_two()
        if not run.stopping.asked:
            run.show.say(
                f"next: make {self._kid!r} the current key, restart everything, run without --prepare"
            )

    def finish(self) -> None:
        """The new pseudonyms become the students' own, and their ids are sealed anew."""
        run, rekeying = self._run, self._office.rekeying
        moved = 0
        for page in self._pages():
            changes = _changes(page)
            if changes:
                moved += len(changes)
                self._taken += patiently(run, partial(rekeying.rekey, changes))
        run.report.figure("students moved", moved)
        self._drop_former()
        waiting, nameless, foreign = self._census()
        if run.stopping.asked:
            return
        self._tell(nameless, foreign)
        run.report.verdict(
            "every student is under the new key", good=not waiting, detail=f"{waiting:,} are not"
        )
        self._prove_nobody_is_two()
        run.show.say(
            "next: python -m scripts.rebuild fills Redis again; keep the old key in the ring until nothing"
            " sealed with it can come any more: the stream's retention, the dead letters' life, replays"
        )

    def _census(self) -> tuple[int, int, int]:
        """Students not moved yet, tombstones without an id, and those whose seal no key opens."""
        waiting = nameless = foreign = 0
        for page in self._pages():
            for filed, there in page:
                nameless += filed.sealed_id is None
                foreign += there is None and filed.sealed_id is not None
                waiting += there is not None and not _is_there(filed, there)
        return waiting, nameless, foreign

    def _pages(self) -> Iterator[list[tuple[Filed, Identified | None]]]:
        """Every student with what they are under the new key; None where the id cannot be had."""
        run, rekeying = self._run, self._office.rekeying
        after: UUID | None = None
        with run.show.progress("students", patiently(run, rekeying.count_students)) as advance:
            while not run.stopping.asked:
                page = patiently(run, partial(rekeying.students, after, _PAGE))
                if not page:
                    break
                after = page[-1].key
                yield [(filed, _under(self._office.identity, self._kid, filed)) for filed in page]
                advance(len(page))

    def _drop_former(self, leaving: AbstractSet[UUID] = frozenset()) -> None:
        """States under former pseudonyms: nobody reads them, and an erasure would not find them.

        A dry run counts them, and those under pseudonyms that would be former ones.
        """
        run, office = self._run, self._office
        dropped = 0
        with run.show.progress("keys in Redis", None) as advance:
            for residents in office.projection.residents(_PAGE):
                if run.stopping.asked:
                    return
                former = patiently(
                    run, partial(office.rekeying.former, {resident.student_key for resident in residents})
                )
                stale = [one for one in residents if one.student_key in former or one.student_key in leaving]
                if run.dry_run:
                    dropped += len(stale)
                else:
                    dropped += patiently(run, partial(office.projection.drop, stale))
                advance(len(residents))
        run.report.figure("states under former pseudonyms removed", dropped)

    def _tell(self, nameless: int, foreign: int) -> None:
        self._run.report.figure("erased students known by former pseudonyms alone", nameless)
        self._run.report.figure("students whose id no key of the ring opens", foreign)
        if nameless:
            self._run.show.say(
                "an erased student's id is gone, so no new pseudonym can be made: their tombstones hold only"
                " while the old key is in the ring, by which workers know them again"
            )

    def _prove_nobody_is_two(self) -> None:
        self._run.report.verdict(
            "nobody is two students", good=not self._taken, detail=f"{self._taken:,} pseudonyms are taken"
        )


def _under(identity: Identity, kid: str, filed: Filed) -> Identified | None:
    if filed.sealed_id is None:
        return None
    try:
        realm, student_id = identity.open(filed.sealed_id)
    except SealBroken:
        return None
    return identity.identify_under(kid, student_id, realm)


def _new_names(page: Sequence[tuple[Filed, Identified | None]]) -> dict[UUID, UUID]:
    """Pseudonyms of the new key that the ledger does not know yet, and whose they are."""
    return {
        there.student_key: filed.key
        for filed, there in page
        if there is not None and there.student_key not in {filed.key, *filed.aliases}
    }


def _changes(page: Sequence[tuple[Filed, Identified | None]]) -> list[Rekeyed]:
    """Whoever is not under the new key yet."""
    return [
        Rekeyed(filed.key, *there)
        for filed, there in page
        if there is not None and not _is_there(filed, there)
    ]


def _is_there(filed: Filed, there: Identified) -> bool:
    sealed = filed.sealed_id
    return filed.key == there.student_key and sealed is not None and kid_of(sealed) == kid_of(there.sealed_id)


SCRIPT = Script(
    name="rekey",
    summary="Moves every student to another key of the keyring, beside live traffic.",
    examples=(
        "python -m scripts.rekey --to k2 --prepare    # both keys are in the ring, k1 is current",
        "python -m scripts.rekey --to k2              # k2 is current",
    ),
    arguments=_arguments,
    work=_work,
)


if __name__ == "__main__":
    raise SystemExit(main())
