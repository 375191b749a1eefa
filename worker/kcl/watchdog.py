"""When a daemon that lives must be restarted because it does not work.

KCL 3.1 can stand still without dying: a renewer that stopped, a leader that assigns nothing, a shard whose
iterator gives nothing though the stream has data, a shard process that hangs. Each has its sign, and the
answer is always the same: the daemon is restarted in place and takes its leases back under its own id.

Which sign catches what, where the processes seem to live:

- a shard process that hangs in a call says nothing more, whatever it said before: `silent`;
- a Java process that hangs as a whole renews no lease: `unrenewed`;
- a Java process that renews its leases but has ceased to read a shard, and so asks its process nothing: the
  process says that it is idle, and lets its iterator age grow with the time: `stuck`;
- the same while Kinesis itself does not answer: nothing, because KCL goes on by itself once it does, and a
  daemon that is started meanwhile cannot;
- a leader that does not lead: `unassigned`, `leaderless`.

Nothing here looks at a clock or at the world. A shard that says why it waits is never bitten: what it waits
for would not come sooner.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from worker.kcl.fleet import Fleet, Look
from worker.kcl.listener import Heard

_ASLEEP_SECONDS = 10.0
"""Asked after a longer time than this, the watchdog was asleep itself (a paused machine), and saw nothing."""

_AT_WORK = ("working", "idle")
"""The words of a process that waits for nothing but the daemon."""

Reason: TypeAlias = Literal["silent", "stuck", "unrenewed", "unassigned", "leaderless"]
"""`silent`: a shard process says nothing. `stuck`: it is given nothing while its iterator age grows.
`unrenewed`: a lease of ours is not renewed. `unassigned`: we lead, and leave leases without a live owner.
`leaderless`: we lead by the record, and do not keep it."""


class Bite(NamedTuple):
    """Why the daemon must be restarted, what shows it (mostly a shard), and for how many seconds so far."""

    reason: Reason
    what: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long each sign may last, in seconds.

    Args:
        silent: no beat of a held shard that works, or waits for the daemon.
        stuck: nothing read while the iterator age grows by more than half of that time.
        lease: a lease is not renewed; KCL renews every third of the failover time.
        leader: our own Leader record stands still; KCL beats every 30 s, and others clear it sooner.
        start: how long after the start of a daemon its leases are not looked at.
    """

    silent: float = 90.0
    stuck: float = 300.0
    lease: float = 60.0
    leader: float = 90.0
    start: float = 60.0


class _Mark(NamedTuple):
    """Where a shard stood when it was last seen to get on."""

    at: float
    read: float
    age: float


class Watchdog:
    """Judges one daemon at a time; all times in monotonic seconds.

    Args:
        own: this worker's id.
        fleet: draws the conclusions from looks at KCL's tables; no one else may use it.
        patience: how long each sign may last.
    """

    def __init__(self, own: str, fleet: Fleet, patience: Patience | None = None) -> None:
        self._own = own
        self._fleet = fleet
        self._patience = patience or Patience()
        self._marks: dict[str, _Mark] = {}
        self._look: Look | None = None
        self._judged_from = 0.0
        self._asked_at = 0.0
        self._awake_from = 0.0

    def begin(self, now: float) -> None:
        """A daemon has been started: what was known of the one before does not count."""
        self._marks = {}
        self._asked_at = self._awake_from = now
        self._judged_from = now + self._patience.start

    def bite(
        self, shards: Mapping[str, Heard], look: Look | None, now: float, *, stream_away: bool = False
    ) -> Bite | None:
        """Whether to restart the daemon now; to be asked every second or so.

        Args:
            shards: the last word of each held shard's process.
            look: the last look at KCL's tables; the same one again says nothing new.
            now: the present.
            stream_away: the stream does not answer us either.
        """
        if now - self._asked_at > _ASLEEP_SECONDS:
            self._marks = {}
            self._awake_from = now
        self._asked_at = now
        if look is not None and look is not self._look:
            self._fleet.see(look)
            self._look = look
        given = {} if stream_away else shards
        return self._silent(shards, now) or self._stuck(given, now) or self._leases() or self._leader()

    def _silent(self, shards: Mapping[str, Heard], now: float) -> Bite | None:
        for shard, heard in shards.items():
            seconds = now - max(heard.at, self._awake_from)
            if heard.status in _AT_WORK and seconds >= self._patience.silent:
                return Bite("silent", shard, seconds)
        return None

    def _stuck(self, shards: Mapping[str, Heard], now: float) -> Bite | None:
        self._marks = {shard: self._marked(shard, heard, now) for shard, heard in shards.items()}
        for shard, mark in self._marks.items():
            grown = shards[shard].age - mark.age
            if now - mark.at >= self._patience.stuck and grown > self._patience.stuck / 2:
                return Bite("stuck", shard, now - mark.at)
        return None

    def _marked(self, shard: str, heard: Heard, now: float) -> _Mark:
        mark = self._marks.get(shard)
        if mark is None or heard.status not in _AT_WORK or heard.read != mark.read or heard.age <= mark.age:
            return _Mark(now, heard.read, heard.age)
        return mark

    def _leases(self) -> Bite | None:
        look = self._look
        if look is None or look.at < self._judged_from + self._patience.lease:
            return None
        leads = look.leader is not None and look.leader.owner == self._own
        for shard, seconds in self._fleet.unrenewed().items():
            if seconds < self._patience.lease:
                continue
            if look.leases[shard].holder == self._own:
                return Bite("unrenewed", shard, seconds)
            # without a worker that has room the leader has no choice but to wait
            if leads and self._fleet.has_room():
                return Bite("unassigned", shard, seconds)
        return None

    def _leader(self) -> Bite | None:
        look, seconds = self._look, self._fleet.leads_for()
        if look is None or look.at < self._judged_from or seconds < self._patience.leader:
            return None
        return Bite("leaderless", self._own, seconds)
