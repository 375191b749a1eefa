"""The chain of disclosures: what a row's digest covers, and how a change or a gap is found.

Each writer chains its own rows; anchors tie the ends of all chains together, in one order. Pure, so that
whoever holds an exported copy can check it without the system.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.domain.event import length_prefixed, micros

START = b"\x00" * 32
"""The digest before the first row of a chain, and before the first anchor."""


class Link(NamedTuple):
    """One row of a chain: who saw which students' records; `subjects` is the digest over the students."""

    chain: UUID
    number: int
    at: datetime
    who: str
    role: str
    what: str
    course_id: str | None
    purpose: str | None
    subjects: bytes
    digest: bytes
    students: Sequence[UUID]
    redacted: bytes | None = None
    """Where a student was taken out with the record: the digest over those who are left."""


class Anchor(NamedTuple):
    """The digest of a chain at one of its rows, bound to the anchor before."""

    anchor: int
    chain: UUID
    number: int
    head: bytes
    digest: bytes


def linked(
    head: bytes,
    chain: UUID,
    number: int,
    *,
    at: datetime,
    who: str,
    role: str,
    what: str,
    course_id: str | None,
    purpose: str | None,
    students: Iterable[UUID],
) -> Link:
    """The next row, with its digests, of a chain that ends in `head`."""
    keys = sorted(set(students))
    link = Link(chain, number, at, who, role, what, course_id, purpose, subjects(keys), b"", keys)
    return link._replace(digest=_digest(head, link))


def anchored(before: bytes, chain: UUID, number: int, head: bytes) -> bytes:
    """The digest of an anchor after another."""
    return hashlib.sha256(length_prefixed(before, chain.bytes, str(number).encode(), head)).digest()


def broken(links: Iterable[Link], anchors: Iterable[Anchor]) -> list[str]:
    """A sentence for whatever was changed or taken out.

    Args:
        links: all rows, those of a chain in their order, the students of each sorted.
        anchors: all anchors in their order.
    """
    chains: dict[UUID, list[Link]] = defaultdict(list)
    for link in links:
        chains[link.chain].append(link)
    heads: dict[tuple[UUID, int], bytes] = {}
    problems = [problem for rows in chains.values() for problem in _in_chain(rows, heads)]
    return [*problems, *_in_anchors(anchors, heads)]


def _in_chain(rows: Sequence[Link], heads: dict[tuple[UUID, int], bytes]) -> Iterator[str]:
    head = START
    for expected, link in enumerate(rows, 1):
        if link.number != expected:
            yield f"chain {link.chain}: row {expected} is missing"
            return
        if (link.redacted or link.subjects) != subjects(link.students):
            yield f"chain {link.chain}: the students of row {link.number} were changed"
        head = _digest(head, link)
        if head != link.digest:
            yield f"chain {link.chain}: row {link.number} was changed"
            return
        heads[link.chain, link.number] = head


def _in_anchors(anchors: Iterable[Anchor], heads: dict[tuple[UUID, int], bytes]) -> Iterator[str]:
    before = START
    for anchor, chain, number, head, digest in anchors:
        before = anchored(before, chain, number, head)
        if digest != before:
            yield f"anchor {anchor} was changed, or one before it taken out"
            return
        if heads.get((chain, number)) != head:
            yield f"anchor {anchor}: row {number} of chain {chain} is not as it was"


def _digest(head: bytes, link: Link) -> bytes:
    texts = (link.who, link.role, link.what, link.course_id, link.purpose)
    # an absent text is told from an empty one
    parts = [b"" if text is None else b"=" + text.encode() for text in texts]
    place = (head, link.chain.bytes, str(link.number).encode(), str(micros(link.at)).encode())
    return hashlib.sha256(length_prefixed(*place, *parts, link.subjects)).digest()


def subjects(students: Sequence[UUID]) -> bytes:
    """The digest over the students of a row, given sorted."""
    return hashlib.sha256(b"".join(key.bytes for key in students)).digest()
