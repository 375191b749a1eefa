"""That nothing is lost and nothing double: every register the plan leaves, compared with the ledger's.

The plan knows of each distinct attempt who the last writer was. The ledger is read state by state, as a
rebuild reads it: each attempt that stands, with its time and its score. Attempts that were taken back stand
nowhere; that they are in the ledger is proven by the counters, which tell how many registers were begun.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scripts.loading.plan import Plan, Registers
from worker.batch import Source, StateKey
from worker.domain.accounting import Accounting, Outcome
from worker.local.recompute import attempt_key
from worker.ports import Ledger
from worker.stream.projecting import state_value

_PAGE = 1_000
_NOTHING = -(2**31)

Rows = npt.NDArray[np.int64]
"""Attempts as rows of four numbers: place of the state in the page, key, time, millionths of the maximum."""


class Proof(NamedTuple):
    """Counts of distinct attempts; `counters` are those of all sources since the run began.

    `unknown` attempts belong to events that were offered and never acknowledged: nobody can say about them.
    """

    events: int
    distinct: int
    standing: int
    voided: int
    found: int
    missing: int
    unexpected: int
    unknown: int
    states: int
    states_equal: int
    counters: Accounting
    closes: bool

    @property
    def dead_lettered(self) -> int:
        """Events that are in the dead letters, where a redrive finds them."""
        return self.counters[Outcome.DEAD_LETTERED]

    @property
    def foreign(self) -> int:
        """Events read in the same time that this run did not send: then counters prove less."""
        return max(0, self.counters.read - self.counters[Outcome.REDELIVERED] - self.events)

    @property
    def lost(self) -> int:
        """Distinct attempts that are neither in the ledger nor in dead letters."""
        if self.foreign or self.unknown:
            return max(0, self.missing - self.dead_lettered)
        begun = max(0, self.distinct - self.counters[Outcome.APPLIED])
        return max(0, max(self.missing, begun) - self.dead_lettered)

    @property
    def double(self) -> int:
        """Registers beyond those that were sent."""
        if self.foreign or self.unknown:
            return self.unexpected
        return max(self.unexpected, self.counters[Outcome.APPLIED] - self.distinct)


Counters = Mapping[Source, Accounting]


class Books(NamedTuple):
    """The ledger, and what readers find of states."""

    ledger: Ledger
    states: Callable[[Sequence[StateKey]], Sequence[bytes | None]]


def counters(ledger: Ledger) -> Counters:
    """What became of the events of each source so far."""
    return {source: progress.accounting for source, progress in ledger.progress().items()}


def prove(
    plan: Plan,
    sent: npt.NDArray[np.bool_],
    offered: int,
    books: Books,
    before: Counters,
    *,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Proof:
    """Compare every state that the run touched.

    Args:
        plan: what was to be sent.
        sent: marks the events that were acknowledged.
        offered: so many events were given to a put.
        books: what is compared with it.
        before: the counters when the run began.
        advance: is told of each attempt compared.
    """
    registers = plan.registers(sent)
    doubtful = sent.copy()
    doubtful[:offered] = ~sent[:offered]
    doubtful[offered:] = False
    unknown = plan.registers(doubtful)
    keys, unknown_keys = _keys(registers), _keys(unknown)
    pairs = _pairs(plan, registers)
    order = np.argsort(pairs, kind="stable")
    bounds = np.flatnonzero(np.append(True, pairs[order][1:] != pairs[order][:-1]))
    ends = np.append(bounds[1:], len(order))
    blurred = _blurred(_pairs(plan, unknown), unknown_keys)
    found = missing = unexpected = equal = 0
    for start in range(0, len(bounds), _PAGE):
        rows = order[bounds[start] : ends[min(start + _PAGE, len(ends)) - 1]]
        of_page = pairs[rows]
        places = np.unique(of_page)
        wanted = _expected(registers, keys, rows, np.searchsorted(places, of_page))
        names = [plan.state_key(int(p) // plan.crowd.courses, int(p) % plan.crowd.courses) for p in places]
        held, same = _held(books, names)
        equal += same
        if blurred:
            wanted, held = (_clear(side, places, blurred) for side in (wanted, held))
        common = _common(wanted, held)
        found += common
        missing += len(wanted) - common
        unexpected += len(held) - common
        advance(len(rows))
    now = counters(books.ledger)
    since = sum((now[source] - before.get(source, Accounting()) for source in now), Accounting())
    return Proof(
        events=int(sent.sum()),
        distinct=len(pairs),
        standing=int((~registers.voided).sum()),
        voided=int(registers.voided.sum()),
        found=found,
        missing=missing,
        unexpected=unexpected,
        unknown=len(unknown_keys),
        states=len(bounds),
        states_equal=equal,
        counters=since,
        closes=all(accounting.closes for accounting in now.values()),
    )


def _pairs(plan: Plan, registers: Registers) -> npt.NDArray[np.int64]:
    return registers.student * plan.crowd.courses + registers.course


def _keys(registers: Registers) -> npt.NDArray[np.int64]:
    """The attempts' keys, by the text of the protocol and not by the worker's code."""

    @cache
    def key(item: int, attempt: int) -> int:
        return attempt_key({"item_id": f"quiz-{item}", "attempt": attempt})[0]

    names = zip(registers.item.tolist(), registers.attempt.tolist(), strict=True)
    return np.fromiter((key(item, attempt) for item, attempt in names), np.int64, len(registers.item))


def _expected(
    registers: Registers, keys: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], places: Rows
) -> Rows:
    # scores are tenths of a hundred: so many thousand millionths
    ratio = np.where(registers.score[rows] < 0, _NOTHING, registers.score[rows] * 1_000)
    columns = np.stack([places, keys[rows], registers.occurred[rows], ratio], axis=1)
    return columns[~registers.voided[rows]]


def _held(books: Books, names: list[StateKey]) -> tuple[Rows, int]:
    """The attempts that stand in the ledger, and how many states readers find as the ledger says."""
    truth, seen_states = books.ledger.read(names), books.states(names)
    rows: list[tuple[int, int, int, int]] = []
    same = 0
    for place, (name, seen) in enumerate(zip(names, seen_states, strict=True)):
        state = truth.get(name)
        if state is None:
            continue
        same += seen == state_value(state)
        rows += [
            (place, key, occurred, _NOTHING if ratio is None else ratio)
            for occurred, key, ratio in state.attempts
        ]
    return np.array(rows, dtype=np.int64).reshape(-1, 4), same


def _common(expected: Rows, held: Rows) -> int:
    """How many rows both have."""
    sides = np.concatenate([np.zeros(len(expected), np.int64), np.ones(len(held), np.int64)])
    both = np.concatenate([expected, held])
    order = np.lexsort((sides, *both.T[::-1]))
    rows, sides = both[order], sides[order]
    return int(((rows[1:] == rows[:-1]).all(axis=1) & (sides[1:] > sides[:-1])).sum())


def _blurred(pairs: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]) -> set[tuple[int, int]]:
    return set(zip(pairs.tolist(), keys.tolist(), strict=True))


def _clear(rows: Rows, places: npt.NDArray[np.int64], blurred: set[tuple[int, int]]) -> Rows:
    """The rows about which something can be said."""
    kept = [(int(places[place]), key) not in blurred for place, key in rows[:, :2].tolist()]
    clear: Rows = rows[np.array(kept, dtype=bool)]
    return clear
