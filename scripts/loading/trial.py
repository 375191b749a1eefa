"""One run: send by the schedule, watch, wait until all of it is visible, prove."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from scripts.frame.showing import Show
from scripts.frame.stopping import Stopping
from scripts.loading.figures import LATE_SECONDS, Moment, Trial, latency, sustained, windows
from scripts.loading.plan import Crowd, Plan
from scripts.loading.profiles import Schedule
from scripts.loading.proof import Books, Counters, Proof, counters, prove
from scripts.loading.sending import Sending
from scripts.loading.targets import Target
from scripts.loading.watching import Watcher, arrived, shard_of
from worker.domain.accounting import Accounting, Outcome
from worker.domain.errors import Unavailable
from worker.local.edges import Edges
from worker.local.watching import VisibilityProbe

_SAMPLE_SECONDS = 0.04
_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.2
_QUIET_SECONDS = 1.0
_UNSEEN_SECONDS = 10.0


class Order(NamedTuple):
    """What a run shall be: `drain` is how many seconds the system may take to catch up at the end."""

    run: str
    profile: str
    rate: float
    seconds: float
    crowd: Crowd
    seed: int
    drain: float


def run_trial(target: Target, order: Order, show: Show, stopping: Stopping) -> Trial:
    """Carry out one run.

    Raises:
        StackError: the system under load has ended.
        Unavailable: a dependency was away at the start, or stays away.
        Refused: the way in refuses what it is given.
    """
    with ExitStack() as opened:
        edges, watching, looking = (_connected(opened, target) for _ in range(3))
        schedule = Schedule(order.profile, order.rate, order.seconds)
        show.say(f"{len(schedule):,} events: {order.profile}, {order.rate:,.0f}/s for {order.seconds:,.0f} s")
        plan = Plan(
            order.run,
            schedule,
            order.crowd,
            seed=order.seed,
            identity=edges.identity,
            realm=edges.realm,
        )
        return _Trial(target, order, plan, edges, (show, stopping)).carried_out(watching, looking)


def _connected(opened: ExitStack, target: Target) -> Edges:
    edges = target.connect()
    opened.callback(edges.close)
    return edges


class _Trial:
    def __init__(
        self, target: Target, order: Order, plan: Plan, edges: Edges, told: tuple[Show, Stopping]
    ) -> None:
        self._target = target
        self._order = order
        self._plan = plan
        self._edges = edges
        self._show, self._stopping = told

    def carried_out(self, watching: Edges, looking: Edges) -> Trial:
        target, plan = self._target, self._plan
        before = counters(self._edges.ledger)
        probe = VisibilityProbe(looking.projection, _POLL_SECONDS)
        way = target.entrance.way(plan, self._edges)
        sampler = _Sampler(plan, probe, lambda: sending.begun)
        sending = Sending(plan, way, sampler.about_to_put, lambda: self._stopping.asked)
        watcher = Watcher(watching, target.tasks, lambda: probe.waiting, before)
        cpu, retries, begun = target.cpu(), target.tasks.counted(), time.monotonic()
        probe.start()
        sending.start()
        watcher.start()
        try:
            self._send(sending)
            drained = self._drain(sending, before, probe)
            cpu = {name: used - cpu.get(name, 0.0) for name, used in target.cpu().items()}
            cpu_over = time.monotonic() - begun
        finally:
            watcher.stop()
            probe.stop()
        retried = {n: total - retries.get(n, 0.0) for n, total in target.tasks.counted().items()}
        unseen, sights = probe.waiting, [(at - sending.begun, took) for at, took in probe.sights]
        proving = time.monotonic()
        proof = self._prove(sending, before)
        first_acks = sending.per_second()
        puts = np.asarray(sending.put_seconds)
        taken = sending.ended - sending.begun
        over = min(plan.schedule.seconds, taken)
        return Trial(
            run=plan.run,
            profile=self._order.profile,
            way=way.name,
            peak_rate=self._order.rate,
            seconds=over,
            planned=sending.claimed if self._stopping.asked else len(plan),
            sent=sending.sent,
            interrupted=self._stopping.asked,
            rate=sending.sent / max(over, taken - LATE_SECONDS, 0.001),
            peak_seen=sustained(first_acks),
            late_seconds=sending.late_seconds,
            refusals=sending.refusals,
            put_p50=float(np.quantile(puts, 0.5)) if len(puts) else 0.0,
            put_p99=float(np.quantile(puts, 0.99)) if len(puts) else 0.0,
            drain_seconds=drained,
            latency=latency([took for _, took in sights], unseen),
            latencies=sorted(round(took, 5) for _, took in sights),
            windows=windows(sights),
            offered=plan.schedule.per_second(),
            acknowledged=first_acks,
            moments=[
                Moment(look.at, dict(look.committed), dict(look.ages), dict(look.behind))
                for look in watcher.looks
            ],
            retries=retried,
            balance=self._balance(before),
            cpu_seconds=cpu,
            cpu_over=cpu_over,
            throttled=target.throttled(),
            distinct=proof.distinct,
            standing=proof.standing,
            voided=proof.voided,
            found=proof.found,
            missing=proof.missing,
            unexpected=proof.unexpected,
            unknown=proof.unknown,
            foreign=proof.foreign,
            lost=proof.lost,
            double=proof.double,
            outcomes={outcome.value: proof.counters[outcome] for outcome in Outcome},
            read=proof.counters.read,
            closes=proof.closes,
            states=proof.states,
            states_equal=proof.states_equal,
            proof_seconds=time.monotonic() - proving,
        )

    def _send(self, sending: Sending) -> None:
        told = 0
        with self._show.progress("events", len(self._plan)) as advance:
            while sending.running:
                self._target.check()
                sent = sending.sent
                advance(sent - told)
                told = sent
                time.sleep(_LOOK_SECONDS)
            sending.join()
            advance(sending.sent - told)
        if self._stopping.asked:
            self._show.say(f"asked to stop: {sending.sent:,} events were sent, and are proven now")

    def _drain(self, sending: Sending, before: Counters, probe: VisibilityProbe) -> float:
        """Until everything is read and projected; how long that took from the last acknowledgement."""
        deadline = sending.ended + self._order.drain
        done_at: float | None = None
        while True:
            self._target.check()
            now = time.monotonic()
            if not self._done(sending.sent, before):
                done_at = None
            elif done_at is None:
                done_at = now
            seen = probe.waiting == 0 or (done_at is not None and now - done_at > _UNSEEN_SECONDS)
            if done_at is not None and seen and now - done_at > _QUIET_SECONDS:
                return done_at - sending.ended
            if now > deadline:
                self._show.say(f"not all is visible after {self._order.drain:,.0f} s; proving what is")
                return now - sending.ended
            time.sleep(_LOOK_SECONDS)

    def _done(self, sent: int, before: Counters) -> bool:
        try:
            found = self._edges.ledger.progress()
        except Unavailable:
            return False
        since = [p.accounting - before.get(source, Accounting()) for source, p in found.items()]
        projected = all(p.committed <= p.projected for p in found.values())
        return projected and sum(map(arrived, since)) >= sent

    def _prove(self, sending: Sending, before: Counters) -> Proof:
        registers = int(self._plan.registers(sending.acknowledged).student.size)
        with self._show.progress("attempts compared with the ledger", registers) as advance:
            return prove(
                self._plan,
                sending.acknowledged,
                sending.claimed,
                Books(self._edges.ledger, self._edges.projection.states),
                before,
                advance=advance,
            )

    def _balance(self, before: Counters) -> dict[str, int]:
        return {
            shard_of(source): arrived(accounting - before.get(source, Accounting()))
            for source, accounting in counters(self._edges.ledger).items()
        }


class _Sampler:
    """Watches, of the events about to be put, those that the plan has chosen."""

    def __init__(self, plan: Plan, probe: VisibilityProbe, begun: Callable[[], float]) -> None:
        self._plan = plan
        self._probe = probe
        self._chosen = np.asarray(plan.samples(_SAMPLE_SECONDS), dtype=np.int64)
        self._begun = begun

    def about_to_put(self, first: int, last: int) -> None:
        low, high = np.searchsorted(self._chosen, (first, last))
        for number in self._chosen[low:high].tolist():
            due = self._begun() + int(self._plan.schedule.due[number]) / 1_000_000
            self._probe.watch(self._plan.events(number, number + 1)[0], due)
