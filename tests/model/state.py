"""What the three stores and the processes hold. Positions and events count from 1; 0 is "none yet".

Everything is a tuple, so that a state can be looked up among those already seen. Fields called a ghost are
read by the invariants alone: no step of the protocol looks at them.
"""

from typing import NamedTuple, TypeAlias

Order: TypeAlias = tuple[int, ...]
"""Where an event stands among the writers of its attempt; the greatest wins."""


class Event(NamedTuple):
    """A graded attempt, or the void of one. `key` is a student in a course; keys count from 0."""

    key: int
    attempt: int
    graded_at: int
    void: bool = False
    digest: int = 0


class Version(NamedTuple):
    birth: int
    number: int

    def __str__(self) -> str:
        return f"v{self.number}" if self.birth in (0, 1) else f"v{self.number} of birth {self.birth}"


class Mark(NamedTuple):
    """A marker in Redis: the last record that is done, and how many events of the next one are."""

    position: int = 0
    events: int = 0

    def __str__(self) -> str:
        return f"{self.position} and {self.events} of the next" if self.events else f"{self.position}"


class Token(NamedTuple):
    """Random bytes: a claim on a state, or a link of a sweep's chain."""

    holder: str
    number: int

    def __str__(self) -> str:
        return f"a claim of {self.holder}"


class Held(NamedTuple):
    """A state in Redis: the scored attempts that it was computed from."""

    version: Version
    content: tuple[int, ...]
    truth: tuple[int, ...]
    """Ghost: the registers of the key in the ledger at that version."""

    def __str__(self) -> str:
        return str(self.version)


Value: TypeAlias = Held | Token | None
Header: TypeAlias = Version | Token | None
"""What a script compares: the first 17 bytes."""


def header(value: Value) -> Header:
    return value.version if isinstance(value, Held) else value


class Ledger(NamedTuple):
    """PostgreSQL."""

    registers: tuple[int, ...]  # per attempt the event that stands
    versions: tuple[Version | None, ...]  # per key
    births: int
    progress: tuple[int, ...]  # per source
    floors: tuple[int, ...]  # per source, then the deletions
    closed: tuple[bool, ...]
    erased: tuple[bool, ...]  # per key: its tombstone
    lifted: tuple[bool, ...]  # per key: its tombstone was lifted
    horizons: tuple[Order, ...]  # per key: events up to here are refused
    applied: int  # the counter that the software keeps
    deleted: int


class Redis(NamedTuple):
    """One primary."""

    values: tuple[Value, ...]  # per key
    markers: tuple[Mark, ...]  # per source, then the deletions
    chain: Token | None = None


class Script(NamedTuple):
    """One call to Redis: the name of a function in `redis`, and its arguments."""

    name: str
    arguments: tuple[object, ...]


class Batch(NamedTuple):
    """One ledger transaction: the last record it completes, how far it reaches, (position, event) pairs."""

    high: int
    reach: Mark
    events: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return ", ".join(f"e{event}" for _, event in self.events)


class Row(NamedTuple):
    """A key and its version, as a sweep reads it; None where the key has no row."""

    key: int
    version: Version | None

    def __str__(self) -> str:
        return f"key {self.key} at {self.version}" if self.version else f"key {self.key} without a row"


class Touched(NamedTuple):
    """What a transaction found of a key; `inserts` None demands a rebuild."""

    key: int
    version: Version | None
    bumped: bool
    inserts: tuple[int, ...] | None
    truth: tuple[int, ...]

    def __str__(self) -> str:
        return str(Row(self.key, self.version))


class Planned(NamedTuple):
    """What the final script shall do with a key: set, assert, delete; `rebuild` asks the ledger before."""

    key: int
    expected: Header
    act: str
    value: Held | None = None

    def __str__(self) -> str:
        return f"{self.act} key {self.key}" + (f" to {self.value}" if self.value else "")


class Sweep(NamedTuple):
    """A sweep under way; `back` is the phase that it interrupted."""

    back: str
    targets: tuple[Mark, ...] = ()
    chain: Token | None = None
    page: int = 0
    rows: tuple[Row, ...] = ()


class Worker(NamedTuple):
    """One process that reads one source: the fields of `Pipeline`, and what its journey carries."""

    phase: str = "off"
    committed: int = 0
    projected: int = 0
    floor: Mark = Mark()
    adrift: bool = False
    batches: tuple[Batch, ...] = ()  # the rest of this call; the first is under way
    seen: Mark = Mark()
    loaded: tuple[Value, ...] = ()
    plan: tuple[Planned, ...] = ()
    sweep: Sweep | None = None
    # only where a guard is missing
    touched: tuple[Touched, ...] = ()
    glimpse: tuple[bool, ...] = ()
    uncounted: int = 0


class Reader(NamedTuple):
    """One read by the API that found no state, or one older than the reader has seen in the ledger."""

    phase: str
    key: int
    expected: Header = None
    value: Held | None = None


class Deletion(NamedTuple):
    """An erase or retention job on the key of its own number; `number` is its place among deletions."""

    phase: str = "waiting"
    number: int = 0


class Budget(NamedTuple):
    """How many faults of each kind may still happen."""

    crash: int = 0
    lease: int = 0  # a second worker takes the source over while the first lives on
    evict: int = 0
    flush: int = 0
    failover: int = 0
    away: int = 0  # a call to Redis fails, its outcome unknown
    answer: int = 0  # the answer to a COMMIT is lost
    turn: int = 0  # a sweeping worker's session is cut, and another one gets the turn
    schedule: int = 0  # a sweep that nothing called for
    read: int = 0


class Call(NamedTuple):
    """A script with its reply and the phase it led to, for telling a trace."""

    script: Script
    reply: object
    phase: str

    def __str__(self) -> str:
        if isinstance(self.reply, tuple):
            behind = ", and its marker is behind its floor: a sweep comes first"
            return self._found() + (behind if self.phase == "sweep floors" else "")
        told = _CALLS[self.script.name][0 if self.reply else 1]
        return f"{told} ({_told(self.script.arguments[-1])})" if self.script.name == "write" else told

    def _found(self) -> str:
        assert isinstance(self.reply, tuple)
        looks = self.script.name == "look"
        values, keys = self.reply[0] if looks else self.reply, self.script.arguments[1 if looks else 0]
        assert isinstance(keys, tuple)
        pairs = zip(keys, values, strict=True)
        found = ", ".join(f"key {key} ({_told(value)})" for key, value in pairs)
        return f"loads {found} and marker {self.reply[1]}" if looks else f"claims {found}"


_CALLS = {
    "write": ("runs the final script, all holds", "runs the final script, something has changed"),
    "begin_sweep": ("begins the chain of a sweep", ""),
    "drop_stale": ("drops what is not of that version", "finds the chain of its sweep broken"),
    "end_sweep": ("ends its sweep and raises the markers", "finds the chain of its sweep broken"),
}


class State(NamedTuple):
    """Everything at one moment."""

    ledger: Ledger
    redis: Redis
    replica: Redis | None
    flying: Script | None  # sent, given up, and not yet executed
    checkpoints: tuple[int, ...]  # per source
    owners: tuple[int, ...]  # per source the worker that holds its lease
    workers: tuple[Worker, ...]
    reader: Reader | None
    deletions: tuple[Deletion, ...]
    proven: tuple[int, ...]  # ghost: per source how far a final script or a sweep has come
    budget: Budget


class Step(NamedTuple):
    """A way on, told as a template and what fills it; faults are not needed to come to rest."""

    after: State
    template: str
    details: tuple[object, ...] = ()
    fault: bool = False

    def __str__(self) -> str:
        return self.template.format(*(_told(detail) for detail in self.details))


def _told(detail: object) -> str:
    if type(detail) is tuple:
        return ", ".join(map(_told, detail)) or "nothing"
    return "nothing" if detail is None else str(detail)
