"""The protocol under every interleaving, crash, outage and loss that a machine can think of.

Owners of sources and a reader run on real PostgreSQL and Valkey, one port call at a time: each runs in its
own thread, but only the one that holds the baton moves, and a schedule passes it on at every call. At given
steps a fault strikes. Nothing is random but what Hypothesis chooses, so a failure shrinks and repeats.

After every step, whatever is half done: no floor is ahead of the ledger, no checkpoint ahead of its floor,
and every state in Redis is what the ledger held at that version. At the end, when all owners have finished
and the guard has looked once: the ledger is the last-writer-wins result of the input, every state in Redis is
the ledger's own words, and every account closes.
"""

import dataclasses
import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, cast

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from tests.conftest import NOW, minutes, score_event
from tests.doubles import DECODER, Time, key_of, record, tap
from worker.adapters.aurora.ledger import AuroraLedger
from worker.adapters.memory import MemoryLedger, MemoryMetrics, MemoryProjection, MemoryVault
from worker.adapters.redis import RedisProjection
from worker.batch import Record, Source, StateKey
from worker.domain.accounting import Outcome
from worker.domain.errors import CheckpointUnavailable, LeaseLost, LedgerUnavailable, ProjectionUnavailable
from worker.domain.event import ScoreEvent, order_of, register_of
from worker.domain.position import ORIGIN, Position
from worker.domain.window import Version, version_of
from worker.local.stack import Stack
from worker.ports import Ledger, LedgerState, Progress, Projection
from worker.stream.checkpointing import CheckpointPolicy
from worker.stream.decoding import Limits
from worker.stream.pipeline import Pipeline, Policy, World
from worker.stream.projecting import state_value
from worker.stream.reading import ScoreReader
from worker.stream.retrying import Backoff

LEDGER = frozenset(
    {"open_source", "intern", "commit", "read", "floors", "versions", "erased", "advance_floor", "sweep_turn"}
)
REDIS = frozenset(
    {"load_or_claim", "write", "peek", "install", "markers", "begin_sweep", "drop_stale", "end_sweep"}
)
STEP = 0.01
"""Seconds that pass by the pipelines' clock while a call is made."""
PATIENCE = 20.0
"""Seconds after which a step that does not end is a deadlock."""


class Crash(BaseException):
    """The process ends here; nobody hears of it."""


class Fault(NamedTuple):
    """What strikes when a call of that name is about to be made for the n-th time, so many times in a row.

    `choice` picks the victim.
    """

    call: str
    nth: int
    times: int
    kind: str
    choice: int


class Turn(NamedTuple):
    """Who moves, and for how many calls."""

    choice: int
    calls: int


class History(NamedTuple):
    """Records of each source, how they are delivered, who moves when, and what goes wrong."""

    sources: Sequence[Sequence[Sequence[ScoreEvent]]]
    delivery: int
    limits: Limits
    reads: Sequence[int]
    schedule: Sequence[Turn]
    faults: Sequence[Fault]
    at_the_end: Sequence[Fault]


class Actor(threading.Thread):
    """A process that moves only while it holds the baton: from one port call to the next."""

    def __init__(self, slot: int, body: Callable[["Actor"], None]) -> None:
        super().__init__(daemon=True)
        self.slot = slot
        self.body = body
        self.at = "start"
        self.ended = False
        self.sleeps_until = NOW
        self.error: BaseException | None = None
        self.strikes: tuple[BaseException | None, BaseException | None] = (None, None)
        """What the call that it waits to make meets before it is made, and after."""
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        self._go.acquire()
        try:
            self.body(self)
        except (Crash, LeaseLost) as end:
            self.error = end
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._back.release()

    def step(self) -> None:
        """Let it make its next call, up to the call after that."""
        self._go.release()
        assert self._back.acquire(timeout=PATIENCE), f"stuck in {self.at}"
        if self.error is not None and not isinstance(self.error, Crash | LeaseLost):
            raise self.error

    def wait(self, name: str) -> None:
        """Give the baton back, and go on when it comes again."""
        self.at = name
        self._back.release()
        assert self._go.acquire(timeout=10 * PATIENCE)

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        self.wait(name)
        before, after = self.strikes
        self.strikes = (None, None)
        if before is not None:
            raise before
        yield
        if after is not None:
            raise after


@dataclasses.dataclass
class Owner:
    """Who has a source's lease now, or had it and does not know yet."""

    source: str
    actor: Actor
    pipeline: Pipeline | None = None


Rows = dict[tuple[StateKey, int], tuple[Any, ...]]


class Lab(Protocol):
    """A ledger and a projection, seen by processes, by an operator and by fate."""

    def ports(self, slot: int) -> tuple[Ledger, Projection]: ...
    def reset(self) -> None: ...
    def progress(self) -> Mapping[Source, Progress]: ...
    def read(self, keys: Sequence[StateKey]) -> Mapping[StateKey, LedgerState]: ...
    def states(self, keys: Sequence[StateKey]) -> Sequence[bytes | None]: ...
    def rows(self) -> Rows: ...
    def revisions(self) -> int: ...
    def kill_session(self, slot: int) -> None: ...
    def evict(self, keys: Sequence[StateKey]) -> None: ...
    def dump(self) -> Any: ...
    def restore(self, dump: Any) -> None: ...
    def flush(self) -> None: ...


class TwinLab:
    """The twins: thousands of histories in the time of a few."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.ledger, self.projection = MemoryLedger(), MemoryProjection()
        self.progress, self.read = self.ledger.progress, self.ledger.read
        self.states, self.dump = self.projection.states, self.projection.snapshot
        self.restore = self.projection.restore

    def ports(self, slot: int) -> tuple[Ledger, Projection]:
        return self.ledger, self.projection

    def rows(self) -> Rows:
        return {
            (key, attempt): (
                *order_of(row.event, row.register),
                *(row.event.score, row.event.max_score, row.event.occurred_at),
            )
            for key, rows in self.ledger._rows.items()
            for attempt, row in rows.items()
        }

    def revisions(self) -> int:
        return sum(progress.accounting[Outcome.REVISED] for progress in self.progress().values())

    def kill_session(self, slot: int) -> None:
        """There is none."""

    def evict(self, keys: Sequence[StateKey]) -> None:
        for key in keys:
            self.projection.values.pop(key, None)

    def flush(self) -> None:
        self.restore(({}, {}, None))


class ServerLab:
    """PostgreSQL and Valkey, with connections that are kept from one history to the next."""

    def __init__(self, database: str, redis_url: str) -> None:
        self._database, self._redis_url = database, redis_url
        self._admin: psycopg.Connection[Any] = psycopg.connect(database, autocommit=True)
        self._server = redis.Redis.from_url(redis_url)
        self._slots: list[tuple[AuroraLedger, RedisProjection]] = []
        observer, self._shown = self.ports(99)
        self.progress, self.read, self.states = observer.progress, observer.read, self._shown.states

    def flush(self) -> None:
        self._server.flushdb()

    def ports(self, slot: int) -> tuple[AuroraLedger, RedisProjection]:
        while len(self._slots) <= slot:
            projection = RedisProjection(lambda: self._redis_url, 1, 3600)
            self._slots.append((AuroraLedger(lambda: self._database, MemoryVault()), projection))
        return self._slots[slot]

    def reset(self) -> None:
        self.flush()
        with self._admin.transaction():
            for table in (
                "attempts",
                "course_scores",
                "source_progress",
                "dead_letters",
                "students",
                "courses",
            ):
                self._admin.execute(f"DELETE FROM {table}".encode())

    def rows(self) -> Rows:
        rows = self._admin.execute("""
            SELECT student_key, course_id, attempt_key,
                   graded_at, kind, event_key, rev, digest, score, max_score, occurred_at
            FROM attempts JOIN students USING (student_ref) JOIN courses USING (course_ref)
        """).fetchall()
        return {(StateKey(row[0], row[1]), row[2]): tuple(row[3:]) for row in rows}

    def revisions(self) -> int:
        (count,) = self._admin.execute("SELECT coalesce(sum(revision), 0) FROM attempts").fetchone() or (0,)
        return int(count)

    def kill_session(self, slot: int) -> None:
        connection = self.ports(slot)[0]._session._connection
        if connection is not None:
            self._admin.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    def evict(self, keys: Sequence[StateKey]) -> None:
        self._server.delete(*map(self._shown._key, keys))

    def dump(self) -> Any:
        names = self._server.keys()
        values = self._server.mget(names) if names else []
        # watermarks are no text, and nothing of the protocol rests on them
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def restore(self, dump: Any) -> None:
        self.flush()
        if dump:
            self._server.mset(dump)

    def close(self) -> None:
        for ledger, projection in self._slots:
            ledger.close()
            projection.close()
        self._server.close()
        self._admin.close()


class Run:
    """One history from its first delivery to its end."""

    def __init__(self, lab: Lab, history: History) -> None:
        self.lab = lab
        self.history = history
        self.time = Time()
        self.metrics = MemoryMetrics()
        self.policy = Policy(
            limits=history.limits,
            checkpoint=CheckpointPolicy(timedelta(seconds=3 * STEP)),
            guard_every=timedelta(seconds=15 * STEP),
            redis_patience=timedelta(seconds=30 * STEP),
            backoff=Backoff(5 * STEP, 20 * STEP),
        )
        self.records: dict[str, list[Record]] = {
            f"source-{number}": [
                record(*events, sequence=(number + 1) * 1000 + at) for at, events in enumerate(records)
            ]
            for number, records in enumerate(history.sources)
        }
        events = [found for source in history.sources for found in itertools.chain(*source)]
        self.keys = sorted({key_of(found) for found in events})
        self.stored: dict[str, Position] = {}
        self.leases: dict[str, Owner] = {}
        self.actors: list[Actor] = []
        self.truth: dict[tuple[StateKey, Version], bytes] = {}
        self.dumps: list[Any] = []
        self.redis_away_until = self.ledger_away_until = 0
        self.steps = 0
        self.calls: Counter[str] = Counter()
        self._slots = itertools.count()

    # Actors.

    def start_owner(self, source: str) -> None:
        """Give the lease of a source to a fresh process, whoever had it."""

        def body(actor: Actor) -> None:
            pipeline = self.pipeline(actor, source)
            at = self.stored.get(source)
            pipeline.open(at)
            left = [found for found in self.records[source] if found.position > (at or ORIGIN)]
            for start in range(0, len(left), self.history.delivery):
                pipeline.process(left[start : start + self.history.delivery])
                pipeline.settle(_Checkpoints(self, source, actor))
            pipeline.process([])
            pipeline.finish()
            while self.stored.get(source, ORIGIN) < self.records[source][-1].position:
                pipeline.settle(_Checkpoints(self, source, actor), at_once=True)
            owner.pipeline = pipeline

        actor = Actor(next(self._slots), body)
        owner = Owner(source, actor)
        self.leases[source] = owner
        self.actors.append(actor)

    def start_reader(self) -> None:
        def body(actor: Actor) -> None:
            ledger, projection = self.ports(actor)
            reader = ScoreReader(ledger, projection)
            for choice in self.history.reads:
                key = self.keys[choice % len(self.keys)]
                try:
                    known = ledger.read([key]).get(key) if choice % 2 else None
                    found = reader.read(key, known and known.version)
                except LedgerUnavailable:
                    continue
                if found is not None and known is not None:
                    assert found.version >= known.version, "a reader shows what it knows to be stale"

        self.actors.append(Actor(next(self._slots), body))

    def ports(self, actor: Actor) -> tuple[Ledger, Projection]:
        ledger, projection = self.lab.ports(actor.slot)
        return tap(ledger, actor.call), tap(projection, actor.call)

    def pipeline(self, actor: Actor, source: str) -> Pipeline:
        ledger, projection = self.ports(actor)

        def pause(seconds: float, because: Exception) -> None:
            actor.sleeps_until = self.time.now() + timedelta(seconds=seconds)
            actor.wait("pause")

        world = World(
            ledger, projection, self.metrics, self.time.now, pause, chance=random.Random(actor.slot)
        )
        return Pipeline(source, DECODER, world, self.policy)

    # The schedule.

    def run(self) -> None:
        for source in self.records:
            self.start_owner(source)
        self.start_reader()
        turns = itertools.chain(self.history.schedule, (Turn(n, 3) for n in itertools.count()))
        for turn in turns:
            self.restart_the_crashed()
            alive = [actor for actor in self.actors if not actor.ended]
            if not alive:
                break
            self.move(self.pick(alive, turn.choice), turn.calls)
        for fault in self.history.at_the_end:
            self.strike(self.actors[0], fault)
        self.finish()

    def move(self, actor: Actor, calls: int) -> None:
        """Let one process go on, until it ends, sleeps or has made its calls."""
        for _ in range(calls):
            self.steps += 1
            assert self.steps < 3000, [(actor.slot, actor.at) for actor in self.actors if not actor.ended]
            self.meet(actor)
            made = actor.at
            actor.step()
            self.time.pass_by(STEP)
            self.check(made)
            if actor.ended or actor.sleeps_until > self.time.present:
                return

    def meet(self, actor: Actor) -> None:
        """Let what is due strike the call that the process is about to make."""
        nth = self.calls[actor.at]
        self.calls[actor.at] += 1
        self.outages(actor)
        for fault in self.history.faults:
            if fault.call == actor.at and fault.nth <= nth < fault.nth + fault.times:
                self.strike(actor, fault)

    def pick(self, alive: Sequence[Actor], choice: int) -> Actor:
        """One that is awake; time passes where all sleep."""
        self.time.present = max(self.time.present, min(actor.sleeps_until for actor in alive))
        awake = [actor for actor in alive if actor.sleeps_until <= self.time.present]
        return awake[choice % len(awake)]

    def restart_the_crashed(self) -> None:
        for source, owner in [*self.leases.items()]:
            if owner.actor.ended and owner.actor.error is not None:
                self.start_owner(source)

    def outages(self, actor: Actor) -> None:
        if actor.at in LEDGER and self.steps < self.ledger_away_until:
            actor.strikes = (LedgerUnavailable("away"), None)
        elif actor.at in REDIS and self.steps < self.redis_away_until:
            actor.strikes = (ProjectionUnavailable("away"), None)

    def strike(self, actor: Actor, fault: Fault) -> None:
        note(f"step {self.steps}: {fault.kind} ({fault.choice}) at {actor.at} of process {actor.slot}")
        event(fault.kind)
        getattr(self, f"_{fault.kind}")(actor, fault.choice)

    def _crash(self, actor: Actor, choice: int) -> None:
        if actor.at in LEDGER | REDIS | {"checkpoint"}:
            actor.strikes = (Crash(), None) if choice % 2 else (None, Crash())

    def _lose_answer(self, actor: Actor, choice: int) -> None:
        """The call is made, and its answer is lost."""
        if actor.at in LEDGER:
            actor.strikes = (None, LedgerUnavailable("no answer"))
        elif actor.at in REDIS:
            actor.strikes = (None, ProjectionUnavailable("no answer"))
        elif actor.at == "checkpoint":
            actor.strikes = (None, CheckpointUnavailable())

    def _kill_session(self, actor: Actor, choice: int) -> None:
        self.lab.kill_session(actor.slot)

    def _steal(self, actor: Actor, choice: int) -> None:
        self.start_owner([*self.records][choice % len(self.records)])

    def _redis_away(self, actor: Actor, choice: int) -> None:
        self.redis_away_until = self.steps + 1 + choice

    def _ledger_away(self, actor: Actor, choice: int) -> None:
        self.ledger_away_until = self.steps + 1 + choice

    def _flush(self, actor: Actor, choice: int) -> None:
        self.lab.flush()

    def _evict(self, actor: Actor, choice: int) -> None:
        """Some of the states, never a marker."""
        self.lab.evict(self.keys[choice % 2 :: 1 + choice % 3] or self.keys)

    def _fail_over(self, actor: Actor, choice: int) -> None:
        """To a replica that had got only so far."""
        if self.dumps:
            self.dumps = self.dumps[: len(self.dumps) - choice % len(self.dumps)]
            self.lab.restore(self.dumps[-1])

    # What holds at every moment.

    def check(self, made: str) -> None:
        """After the call that was made."""
        if made in ("commit", "advance_floor", "checkpoint"):
            self.check_ledger()
        if made in REDIS - {"markers"}:
            self.check_redis()

    def check_ledger(self) -> None:
        for source, progress in self.lab.progress().items():
            assert progress.accounting.closes
            assert progress.projected <= progress.committed
            assert self.stored.get(source, ORIGIN) <= progress.projected
        for key, state in self.lab.read(self.keys).items():
            self.truth.setdefault((key, state.version), state_value(state))

    def check_redis(self) -> None:
        for key, value in zip(self.keys, self.lab.states(self.keys), strict=True):
            if value is not None:
                assert value == self.truth[key, version_of(value)]
        self.dumps.append(self.lab.dump())

    # The end.

    def finish(self) -> None:
        """All faults are over; every owner looks once more."""
        self.redis_away_until = self.ledger_away_until = 0
        for owner in self.leases.values():
            assert owner.pipeline is not None
            self.last_look(owner.pipeline)
        self.check_ledger()
        self.check_redis()
        assert self.lab.rows() == self.expected()
        states = self.lab.read(self.keys)
        for key, value in zip(self.keys, self.lab.states(self.keys), strict=True):
            assert value is None or value == state_value(states[key]), "stale after the guard has looked"
        found = self.lab.progress()
        for source, records in self.records.items():
            progress = found[source]
            assert progress.committed == progress.projected == self.stored[source] == records[-1].position
            assert progress.accounting.read >= sum(
                len(DECODER.decode(one)[0]) + len(DECODER.decode(one)[1]) for one in records
            )
        assert sum(p.accounting[Outcome.APPLIED] for p in found.values()) == len(self.lab.rows())
        assert sum(p.accounting[Outcome.REVISED] for p in found.values()) == self.lab.revisions()
        assert sum(p.accounting[Outcome.DEAD_LETTERED] for p in found.values()) == 0

    def last_look(self, pipeline: Pipeline) -> None:
        self.time.pass_by(60)
        for port in (pipeline._ledger, pipeline._projection):
            cast("Any", port)._around = _at_once
        pipeline._waiting._pause = self.time.pause
        pipeline.process([])
        pipeline.finish()

    def expected(self) -> Rows:
        """The last writer of each attempt, computed from the input alone."""
        best: Rows = {}
        for found in itertools.chain(*itertools.chain(*self.history.sources)):
            register = register_of(found)
            attempt = (key_of(found), register.key)
            order = (found.graded_at, int(found.kind), found.event_id or "", register.rev, register.digest)
            writer = (*order, found.score, found.max_score, found.occurred_at)
            if attempt not in best or order > best[attempt][:5]:
                best[attempt] = writer
        return best


@contextmanager
def _at_once(_: str) -> Iterator[None]:
    yield


class _Checkpoints:
    """The lease table, as one owner's daemon guards it."""

    def __init__(self, run: Run, source: str, actor: Actor) -> None:
        self._run, self._source, self._actor = run, source, actor

    def checkpoint(self, position: Position) -> None:
        with self._actor.call("checkpoint"):
            if self._run.leases[self._source].actor is not self._actor:
                raise LeaseLost
            assert position >= self._run.stored.get(self._source, ORIGIN), "KCL refuses to go back"
            assert position in {found.position for found in self._run.records[self._source]}
            self._run.stored[self._source] = position


events = st.builds(
    score_event,
    student=st.sampled_from(["ada", "ben", "eve"]),
    course=st.sampled_from(["algebra", "biology"]),
    attempt=st.integers(1, 2),
    score=st.none() | st.integers(0, 3),
    graded=st.integers(0, 2).map(lambda n: NOW + minutes(n)),
    event_id=st.sampled_from([None, "a", "b"]),
    void=st.sampled_from([False, False, False, True]),
)


TO_PROCESSES = ("crash", "lose_answer", "kill_session", "steal", "redis_away", "ledger_away")
TO_REDIS = ("flush", "evict", "evict", "fail_over", "fail_over")
# where a fault is likely to meet something half done
CALLS = (*("load_or_claim", "commit", "read", "write") * 3, *sorted(LEDGER | REDIS), "checkpoint", "pause")

faults = st.builds(
    Fault,
    st.sampled_from(CALLS),
    st.integers(0, 9),
    st.integers(1, 2),
    st.sampled_from(TO_PROCESSES) | st.sampled_from(TO_REDIS),
    st.integers(0, 60),
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    pool = draw(st.lists(events, min_size=3, max_size=9))
    some = st.lists(st.sampled_from(pool), min_size=1, max_size=3)
    log = st.lists(some, min_size=2, max_size=5)
    return History(
        sources=draw(st.lists(log, min_size=1, max_size=2)),
        delivery=draw(st.integers(1, 3)),
        limits=draw(st.sampled_from([Limits(), Limits(3, 2), Limits(1, 1), Limits(2, 9)])),
        reads=draw(st.lists(st.integers(0, 7), max_size=4)),
        schedule=draw(
            st.lists(st.builds(Turn, st.integers(0, 5), st.integers(1, 12)), min_size=4, max_size=40)
        ),
        faults=draw(st.lists(faults, min_size=draw(st.integers(0, 8)), max_size=12)),
        at_the_end=draw(
            st.lists(
                st.builds(
                    Fault,
                    st.just("end"),
                    st.just(0),
                    st.just(1),
                    st.sampled_from(TO_REDIS),
                    st.integers(0, 60),
                ),
                max_size=1,
            )
        ),
    )


@pytest.fixture(scope="module")
def servers(stack: Stack, migrated: str) -> Iterator[ServerLab]:
    admin = stack.endpoints.database_url
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE properties TEMPLATE {migrated}".encode())
        connection.execute(b"ALTER DATABASE properties SET synchronous_commit = off")
    lab = ServerLab(make_conninfo(admin, dbname="properties"), stack.endpoints.redis_url.replace("/0", "/5"))
    yield lab
    lab.close()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(b"DROP DATABASE properties WITH (FORCE)")


MORE = int(os.environ.get("PROTOCOL_EXAMPLES", "0"))
"""For a longer search than the gate's: so many examples on the servers, ten times as many on the twins."""


def examples(count: int, more: int) -> settings:
    return settings(
        max_examples=more or count,
        derandomize=not more,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@examples(600, 10 * MORE)
@given(histories())
def test_the_protocol_holds_on_the_twins(history: History) -> None:
    Run(TwinLab(), history).run()


@examples(60, MORE)
@given(histories())
def test_the_protocol_holds_on_the_servers(servers: ServerLab, history: History) -> None:
    servers.reset()
    Run(servers, history).run()
