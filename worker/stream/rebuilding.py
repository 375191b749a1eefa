"""Comparing the projection with the ledger, and making it right, beside live traffic.

Nothing is locked, so a state may move while it is looked at. What is found to differ is therefore looked at
again for a while: a batch on its way arrives within it, a real difference stays. Mending writes as a reader
does that finds a state missing or old, so it can no more show a wrong score than any read can.
"""

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from worker.batch import Resident, Source, StateKey, residence
from worker.domain import window
from worker.domain.window import HEADER_SIZE, UnknownFormat
from worker.ports import Ledger, LedgerState, Projection, Write
from worker.stream.projecting import state_value


class Finding(enum.StrEnum):
    """What a state in Redis is, compared with the ledger."""

    EQUAL = "equal"
    ABSENT = "absent"  # no fault: evicted, expired or never read; the next look brings it
    OLD = "old"  # of another version than the ledger's
    WRONG = "wrong"  # of the ledger's version, with other contents
    GONE = "gone"  # the ledger has no such state


_NOBODY: Source = "rebuild"
"""Claims are made for a source, whose marker is not looked at here."""

DIFFERENT = frozenset((Finding.OLD, Finding.WRONG, Finding.GONE))


class Examined(NamedTuple):
    """What was found of some states, in which fields they differed, and which still do at the end."""

    findings: Counter[Finding]
    fields: Counter[str]
    differing: Sequence[StateKey]
    written: int = 0


class Rebuilding:
    """Examines and mends states.

    Args:
        ledger: the writer endpoint.
        projection: the states.
        pause: waits a moment before a second look.
        looks: how often a difference is looked at before it is believed.
    """

    def __init__(
        self, ledger: Ledger, projection: Projection, pause: Callable[[], None], looks: int = 10
    ) -> None:
        self._ledger = ledger
        self._projection = projection
        self._pause = pause
        self._looks = looks

    def examine(self, keys: Sequence[StateKey]) -> Examined:
        """Compare states with the ledger, field by field where they differ; nothing is changed.

        Raises:
            Unavailable: a server is away.
        """
        found, fields = self._compare(keys)
        for _ in range(self._looks - 1):
            suspects = _different(found)
            if not suspects:
                break
            self._pause()
            again, fields = self._compare(suspects)
            found.update(again)
        differing = _different(found)
        return Examined(Counter(found.values()), fields if differing else Counter(), differing)

    def mend(self, keys: Sequence[StateKey], *, absent: bool) -> Examined:
        """Write every state that differs, and with `absent` those that are missing.

        A state that a live writer changes meanwhile is that writer's, and is only examined again. Findings
        and fields are those from before.

        Raises:
            Unavailable: a server is away.
        """
        held: Sequence[bytes | None]
        if absent:
            # as a writer does, over anybody's claim: who left it may be dead, and a live writer loads again
            loaded = self._projection.load_or_claim(_NOBODY, keys)
            held = [loaded.claim if value is None else value for value in loaded.values]
        else:
            held = self._projection.states(keys)
        states = self._ledger.read(keys)
        findings: Counter[Finding] = Counter()
        fields: Counter[str] = Counter()
        writes: list[Write] = []
        for key, value in zip(keys, held, strict=True):
            shall = _shall(states.get(key))
            finding = _finding(value, shall)
            findings[finding] += 1
            if value is None or finding is Finding.EQUAL:
                continue
            if finding in DIFFERENT:
                fields.update(_differing_fields(value, shall))
            writes.append(Write(key, value[:HEADER_SIZE], shall))
        written = self._projection.install(writes) if writes else []
        lost = [write.key for write, as_expected in zip(writes, written, strict=True) if not as_expected]
        return Examined(findings, fields, self.examine(lost).differing if lost else [], sum(written))

    def strangers(self, residents: Sequence[Resident]) -> list[Resident]:
        """Of what stands in Redis, that of which the ledger has no state.

        Raises:
            LedgerUnavailable: PostgreSQL is away.
        """
        students = sorted({resident.student_key for resident in residents})
        known = {residence(key) for key in self._ledger.states_of(students)}
        return [resident for resident in residents if resident not in known]

    def _compare(self, keys: Sequence[StateKey]) -> tuple[dict[StateKey, Finding], Counter[str]]:
        held = self._projection.states(keys)
        states = self._ledger.read(keys)
        found: dict[StateKey, Finding] = {}
        fields: Counter[str] = Counter()
        for key, value in zip(keys, held, strict=True):
            shall = _shall(states.get(key))
            finding = found[key] = _finding(value, shall)
            if value is not None and finding in DIFFERENT:
                fields.update(_differing_fields(value, shall))
        return found, fields


def _different(found: Mapping[StateKey, Finding]) -> list[StateKey]:
    return [key for key, finding in found.items() if finding in DIFFERENT]


def _shall(state: LedgerState | None) -> bytes:
    return b"" if state is None else state_value(state)


def _finding(value: bytes | None, shall: bytes) -> Finding:
    """`value` may also be a claim, which is no state."""
    if value == shall:
        return Finding.EQUAL
    if value is None or value.startswith(b"T"):
        return Finding.ABSENT if shall else Finding.EQUAL
    if not shall:
        return Finding.GONE
    return Finding.WRONG if value[:HEADER_SIZE] == shall[:HEADER_SIZE] else Finding.OLD


def _differing_fields(value: bytes, shall: bytes) -> list[str]:
    if not shall:
        return ["all"]
    differing = ["version"] if value[:HEADER_SIZE] != shall[:HEADER_SIZE] else []
    try:
        one = window.unpack(value[HEADER_SIZE:])._asdict()
    except UnknownFormat:
        return [*differing, "format"]
    other = window.unpack(shall[HEADER_SIZE:])._asdict()
    return [*differing, *(name for name in one if one[name] != other[name])]
