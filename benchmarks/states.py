"""What states take in Redis: of real scores, of full rings, and of a hundred thousand students at once.

A size counts only where a real server keeps the state, written by the product's own code: with the key, the
entry in the table, the expiry, and what the allocator rounds up.
"""

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar, cast
from uuid import UUID

import redis

from worker.adapters.redis import RedisProjection
from worker.batch import StateKey
from worker.domain.window import DAY_MICROS, RING, Attempt, Version
from worker.ports import LedgerState
from worker.stream.projecting import rebuilt

OULAD = (2_520, 1_853, 1_701, 2_757, 2_834, 922, 2_613, 777, 2_658, 857, 2_211, 3_655, 117, 368)
"""So many pairs of student and course have 1, 2, ... 14 attempts in data of the Open University (OULAD)."""
_TERM_DAYS = 240
_TERM_BEGAN = 20_000 * DAY_MICROS
_AT_ONCE = 1_000

T = TypeVar("T")
Made = tuple[StateKey, LedgerState]
Maker = Callable[[int, int], Iterator[Made]]
"""Makes the states of so many students in so many courses each."""


class Sizes(NamedTuple):
    """Bytes of states in Redis: all of each by MEMORY USAGE, and of the values alone."""

    states: int
    mean: float
    p50: int
    p99: int
    most: int
    value_mean: float

    @classmethod
    def of(cls, whole: Sequence[int], values: Sequence[int]) -> "Sizes":
        """The figures of these states, at least one."""
        ordered = sorted(whole)
        p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
        return cls(len(ordered), statistics.mean(ordered), p50, p99, ordered[-1], statistics.mean(values))

    @property
    def figures(self) -> dict[str, float]:
        """By name and unit."""
        return {
            "states": self.states,
            "mean_B": round(self.mean, 1),
            "p50_B": self.p50,
            "p99_B": self.p99,
            "most_B": self.most,
            "value_mean_B": round(self.value_mean, 1),
        }


def names(client: redis.Redis) -> set[bytes]:
    """The keys of all states."""
    found = [name for name in client.scan_iter(count=_AT_ONCE, _type="string") if isinstance(name, bytes)]
    states: set[bytes] = set()
    for some in _pages(found):
        values = cast("list[bytes | None]", client.mget(some))
        states |= {name for name, value in zip(some, values, strict=True) if value and value[:1] == b"S"}
    return states


def sizes(client: redis.Redis, of: Iterable[bytes]) -> Sizes:
    """What these keys take."""
    whole: list[int] = []
    values: list[int] = []
    for some in _pages(sorted(of)):
        with client.pipeline(transaction=False) as asked:
            for name in some:
                asked.memory_usage(name)
                asked.strlen(name)
            answers = asked.execute()
        whole += answers[::2]
        values += answers[1::2]
    return Sizes.of(whole, values)


def install(projection: RedisProjection, states: Iterable[Made]) -> int:
    """Write states as a rebuild does; how many stand."""
    held = 0
    for some in _pages(states):
        keys = [key for key, _ in some]
        looks = projection.peek(keys)
        truth = dict(some)
        writes = [
            rebuilt(k, look.value, look.claim or b"", truth) for k, look in zip(keys, looks, strict=True)
        ]
        held += sum(projection.install(writes))
    return held


def used(client: redis.Redis) -> int:
    """Bytes that the server uses, all of it."""
    return int(client.info("memory")["used_memory"])


def typical(students: int, courses: int) -> Iterator[Made]:
    """States of as many attempts as OULAD's pairs have, at any time of a term."""
    chance = random.Random(1)
    for key in _keys(students, courses, chance):
        count = chance.choices(range(1, len(OULAD) + 1), OULAD)[0]
        moments = sorted(chance.randrange(_TERM_DAYS * DAY_MICROS) for _ in range(count))
        yield key, _state(moments, chance)


def full(students: int, courses: int) -> Iterator[Made]:
    """States at their largest but for the days without a place in the ring: 20 attempts, one a day."""
    chance = random.Random(1)
    for key in _keys(students, courses, chance):
        yield key, _state([turn * DAY_MICROS + chance.randrange(DAY_MICROS) for turn in range(RING)], chance)


def _keys(students: int, courses: int, chance: random.Random) -> Iterator[StateKey]:
    for _ in range(students):
        student = UUID(int=chance.getrandbits(128))
        yield from (StateKey(student, f"course-{course}") for course in range(courses))


def _state(moments: Sequence[int], chance: random.Random) -> LedgerState:
    attempts = [
        Attempt(_TERM_BEGAN + moment, chance.getrandbits(63), chance.randrange(1_000_001))
        for moment in moments
    ]
    return LedgerState(Version(1, len(attempts)), attempts)


def _pages(things: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(things)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some
