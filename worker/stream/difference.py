"""What merging events would change, found without writing: the dry run of a replay.

The ledger is a set of registers whose last writer wins, so the outcome of any number of events is known from
the order of the domain alone. Only what would win is kept in memory; it is held against the ledger once more
at the end, because live traffic goes on meanwhile.
"""

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.batch import DeadLetter, Delivered, StateKey
from worker.domain import window
from worker.domain.event import Kind, micros, order_of, ratio_micros
from worker.domain.score import scores
from worker.domain.window import Attempt
from worker.registers import AttemptId, Registers, Standing, refuses

PAGE = 1_000


class Change(NamedTuple):
    """The mean of a student's last attempts in a course, before and after; None where there is none."""

    student_key: UUID
    course_id: str
    before: float | None
    after: float | None

    @property
    def size(self) -> float:
        """How much the mean moves; a mean that comes or goes counts from nothing."""
        return abs((self.after or 0.0) - (self.before or 0.0))


class Found(NamedTuple):
    """The difference: every event read is in exactly one of the counts above `states`.

    `erased` are those that a tombstone, also a lifted one, or a horizon refuses.
    `sizes` are the changes of the mean, ascending, of every state whose mean would be another.
    """

    read: int
    new: int
    revised: int
    without_effect: int
    erased: int
    dead_letters: Mapping[str, int]
    states: int
    students: int
    sizes: Sequence[float]
    largest: Sequence[Change]

    @property
    def changes(self) -> int:
        """Attempts that would be other than they are."""
        return self.new + self.revised


class Difference:
    """Gathers events, then tells what they would change."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._winners: dict[StateKey, dict[int, Standing]] = defaultdict(dict)
        self._read = 0
        self._erased = 0
        self._letters: Counter[str] = Counter()

    @property
    def states(self) -> int:
        """How many states are to be concluded about."""
        return len(self._winners)

    def take(self, events: Sequence[Delivered], letters: Iterable[DeadLetter] = ()) -> None:
        """Hold some events, at most a few thousand, against the ledger.

        Raises:
            LedgerUnavailable: nothing was taken; taking them again is safe.
        """
        reasons = Counter(letter.reason.value for letter in letters)
        known = self._registers.known({one.event.student_key for one in events})
        horizons = self._registers.horizons({one.event.course_id for one in events})
        erased, offered = 0, list[tuple[AttemptId, Standing]]()
        for one in events:
            student = known.get(one.event.student_key)
            if refuses(student, horizons.get(one.event.course_id), one.event):
                erased += 1
                continue
            key = one.key if student is None else StateKey(student.student_key, one.event.course_id)
            offered.append((AttemptId(key, one.register.key), _standing(one)))
        standing = self._registers.writers({attempt for attempt, _ in offered})
        self._read += len(events) + reasons.total()
        self._erased += erased
        self._letters += reasons
        for attempt, offer in offered:
            self._offer(attempt, offer, standing.get(attempt))

    def conclude(
        self, as_of: datetime, largest: int = 10, advance: Callable[[int], None] = lambda _: None
    ) -> Found:
        """The difference as the ledger is now; `advance` is told how many states were looked at.

        Raises:
            LedgerUnavailable: concluding again is safe.
        """
        new = revised = states = 0
        students: set[UUID] = set()
        sizes = array("d")
        top: list[Change] = []
        keys = list(self._winners)
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            held = self._registers.standing(page)
            advance(len(page))
            for key in page:
                before = held.get(key, {})
                wins = _winning(self._winners[key], before)
                if not wins:
                    continue
                states += 1
                students.add(key.student_key)
                revised += sum(attempt in before for attempt in wins)
                new += sum(attempt not in before for attempt in wins)
                change = Change(*key, _mean(before, as_of), _mean({**before, **wins}, as_of))
                if change.before != change.after:
                    sizes.append(change.size)
                    top = heapq.nlargest(largest, [*top, change], key=lambda one: one.size)
        without = self._read - self._erased - self._letters.total() - new - revised
        return Found(
            self._read,
            new,
            revised,
            without,
            self._erased,
            dict(sorted(self._letters.items())),
            states,
            len(students),
            sorted(sizes),
            top,
        )

    def _offer(self, attempt: AttemptId, offer: Standing, standing: Standing | None) -> None:
        held = self._winners.get(attempt.state, {}).get(attempt.key) or standing
        if held is not None and held.check != offer.check:
            self._letters["key_collision"] += 1
        elif held is None or offer.order > held.order:
            self._winners[attempt.state][attempt.key] = offer


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """The value below which this share of the values lies; None of nothing."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else None


def _standing(one: Delivered) -> Standing:
    event, register = one.event, one.register
    attempt = Attempt(micros(event.occurred_at), register.key, ratio_micros(event.score, event.max_score))
    scored = event.kind is Kind.SCORED
    return Standing(register.check, order_of(event, register), attempt if scored else None)


def _winning(offers: Mapping[int, Standing], held: Mapping[int, Standing]) -> dict[int, Standing]:
    return {key: offer for key, offer in offers.items() if key not in held or _beats(offer, held[key])}


def _beats(offer: Standing, held: Standing) -> bool:
    return offer.check == held.check and offer.order > held.order


def _mean(held: Mapping[int, Standing], as_of: datetime) -> float | None:
    attempts = [one.attempt for one in held.values() if one.attempt is not None]
    return scores(window.unpack(window.rebuild(attempts)), as_of).mean_last_n
