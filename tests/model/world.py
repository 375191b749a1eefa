"""A configuration of the model, its guards, and what follows from them once."""

from typing import NamedTuple, TypeVar

from tests.model.state import (
    Batch,
    Budget,
    Deletion,
    Event,
    Ledger,
    Mark,
    Order,
    Redis,
    State,
    Token,
    Worker,
)

T = TypeVar("T")


class Guards(NamedTuple):
    """Every part of the protocol that can be left out; the comment is what then happens instead."""

    claims: bool = True  # a state that is missing when loaded may be set over absence
    claim_first: bool = True  # states are loaded and claimed after the commit
    marker: bool = True  # no markers, no sweep
    marker_compared: bool = True  # the final script sets the marker whatever it is
    marker_in_parts: bool = True  # the marker moves only when a record is complete
    asserts: bool = True  # states that are right already are not compared in the final script
    verifies: bool = True  # only keys that the transaction changed are looked at
    exact_predecessor: bool = True  # whatever state was loaded is folded into
    corrections_rebuild: bool = True  # revisions and voids are folded like new attempts
    births: bool = True  # a row that is born again counts its versions from 1 again
    floor_in_ledger: bool = True  # what is projected is known to its process and the checkpoint alone
    floor_in_memory: bool = True  # a process looks only at the floor in the ledger
    chain: bool = True  # a sweep does not notice that Redis changed under it
    floors_first: bool = True  # a sweep reads the floors at its end
    one_snapshot: bool = True  # a rebuild reads version and attempts in two statements
    writer_only: bool = True  # a reader rebuilds from a replica of PostgreSQL that lags
    merges_all: bool = True  # positions at or below the progress are skipped
    named_by_creation: bool = True  # a stream that is created again continues its namesake's positions
    digest_tie: bool = True  # at equal times the first comer stays
    tombstone: bool = True  # an erase only deletes
    erase_lock: bool = True  # tombstones are read before the merge, no lock keeps an erase out
    lifted_are_swept: bool = True  # a sweep looks at rows and tombstones alone
    deletions_counted: bool = True  # a deletion marks itself done whatever was done before it
    adrift_stands_still: bool = True  # the floor follows commits that Redis has not seen
    lands_by_sweep: bool = True  # after an outage of Redis work goes on as if nothing had been
    landing_raises_floor: bool = True  # a process forgets what its own sweep promised
    counters_inside: bool = True  # counters are written after the commit
    closes_late: bool = True  # a job is closed at once


class Configuration(NamedTuple):
    """What is delivered to whom, and what may go wrong."""

    name: str
    events: tuple[Event, ...]
    streams: tuple[tuple[tuple[int, ...], ...], ...]  # per source its records, each some events
    workers: tuple[int, ...] = (0,)  # the source that each reads; the first one of a source owns it
    budget: Budget = Budget()
    records_a_call: int = 2
    events_a_transaction: int = 9
    deletions: tuple[str, ...] = ()  # "erase", "lifted" (an erase whose tombstone is lifted), "retain"
    parents: tuple[tuple[int, int], ...] = ()  # (child, parent): delivered only after the parent's end
    jobs: tuple[int, ...] = ()  # sources that are closed when done
    mortal: tuple[int, ...] = ()  # sources whose job may die for ever
    namesake: int = 0  # the position that an earlier stream of the same name had reached
    guards: Guards = Guards()

    def without(self, guard: str) -> "Configuration":
        return self._replace(guards=self.guards._replace(**{guard: False}))


class World:
    """A configuration with its lookups."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.guards = configuration.guards
        self.events = (Event(-1, -1, 0), *configuration.events)
        self.streams = configuration.streams
        self.sources = range(len(self.streams))
        self.deletions = len(self.streams)  # the place of deletions among floors and markers
        self.keys = range(1 + max(event.key for event in configuration.events))
        self.attempts = range(1 + max(event.attempt for event in configuration.events))
        self.attempts_of = [
            tuple(sorted({e.attempt for e in configuration.events if e.key == key})) for key in self.keys
        ]
        self.orders: list[Order] = [(e.graded_at, int(e.void), e.digest) for e in self.events]
        mortal = configuration.mortal
        self.lasting = sorted(  # a mortal source repeats events of another one
            {e for source in self.sources if source not in mortal for r in self.streams[source] for e in r}
        )
        self.parent = dict(configuration.parents)

    def outranks(self, event: int, other: int) -> bool:
        """Whether the ledger lets an event replace another of its attempt."""
        mine, theirs = self.orders[event], self.orders[other]
        return mine > theirs if self.guards.digest_tie else mine[:2] > theirs[:2]

    def registers_of(self, ledger: Ledger, key: int) -> tuple[int, ...]:
        return tuple(ledger.registers[attempt] for attempt in self.attempts_of[key])

    def scored(self, registers: tuple[int, ...]) -> tuple[int, ...]:
        """The content of a state: the events that stand and are no voids."""
        return tuple(sorted(event for event in registers if event and not self.events[event].void))

    def refused(self, ledger: Ledger, event: int) -> bool:
        """Whether an event belongs to an erased student or to deleted times."""
        key = self.events[event].key
        return ledger.erased[key] or self.orders[event] <= ledger.horizons[key]

    def batches(self, source: int, after: int, count: int) -> tuple[Batch, ...]:
        """Cut the next records into transactions, as `stream.decoding.batches` does."""
        found: list[Batch] = []
        events: list[tuple[int, int]] = []
        high = 0
        for position in range(after + 1, after + count + 1):
            for number, event in enumerate(self.streams[source][position - 1]):
                if len(events) >= self.configuration.events_a_transaction:
                    reach = Mark(position - 1, number) if self.guards.marker_in_parts else Mark(high)
                    found.append(Batch(high, reach, tuple(events)))
                    events = []
                events.append((position, event))
            high = position
        return (*found, Batch(high, Mark(high), tuple(events)))

    def keys_of(self, batch: Batch) -> tuple[int, ...]:
        return tuple(sorted({self.events[event].key for _, event in batch.events}))

    def start(self) -> State:
        """Nothing is delivered; each source's first worker has opened it."""
        configuration, sources = self.configuration, len(self.streams)
        owners = tuple(configuration.workers.index(source) for source in self.sources)
        place = 0 if self.guards.named_by_creation else configuration.namesake
        opened = Worker("idle", floor=Mark(place))
        ledger = Ledger(
            registers=(0,) * len(self.attempts),
            versions=(None,) * len(self.keys),
            births=0,
            progress=(place,) * sources,
            floors=(place,) * sources + (0,),
            closed=(False,) * (sources + 1),
            erased=(False,) * len(self.keys),
            lifted=(False,) * len(self.keys),
            horizons=((),) * len(self.keys),
            applied=0,
            deleted=0,
        )
        redis = Redis((None,) * len(self.keys), (Mark(place),) * sources + (Mark(),))
        return State(
            ledger=ledger,
            redis=redis,
            replica=redis if configuration.budget.failover else None,
            flying=None,
            checkpoints=(0,) * sources,
            owners=owners,
            workers=tuple(opened if w in owners else Worker() for w in range(len(configuration.workers))),
            reader=None,
            deletions=tuple(Deletion() for _ in configuration.deletions),
            proven=(place,) * sources,
            budget=configuration.budget,
        )


def replaced(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    """The tuple with one item changed."""
    return (*items[:place], item, *items[place + 1 :])


def put(state: State, w: int, worker: Worker) -> State:
    """The state with one worker changed."""
    return state._replace(workers=replaced(state.workers, w, worker))


def fresh(state: State, holder: str) -> Token:
    """Random bytes that stand nowhere yet; the smallest such number, so that states can be equal."""
    number = 0
    while _stands(state, Token(holder, number)):
        number += 1
    return Token(holder, number)


def _stands(state: State, token: Token) -> bool:
    for redis in (state.redis, state.replica):
        if redis is not None and (redis.chain == token or token in redis.values):
            return True
    if any(worker.sweep is not None and worker.sweep.chain == token for worker in state.workers):
        return True
    return state.flying is not None and _mentions(state.flying.arguments, token)


def _mentions(arguments: object, token: Token) -> bool:
    if arguments == token:
        return True
    return isinstance(arguments, tuple) and any(_mentions(item, token) for item in arguments)
