"""PID 1 of a worker task: keeps one KCL daemon alive, hears its shard processes, and answers for both.

KCL stops a whole worker for any child's failure, sometimes with exit code 0, and a worker that comes back
under its own id takes its leases back at once. So every exit is answered with a restart in place, and only a
daemon that keeps dying is given up, for the platform to replace the task. After a child's death KCL waits its
whole grace for an answer of the dead, so that daemon is ended at once. Between two lives nothing of the
first may be left: a shard process that outlived its daemon would write beside its successor.

At a stop KCL would let the leases expire and wait seconds for nothing. So the shard processes are asked to
leave, each checkpoints and says goodbye, its lease is passed on at that moment, and with the last goodbye
Java has nothing left to do and is ended. Only shards that do not say goodbye are left to KCL's own way.

Everything happens on one thread, in `_attend`: heartbeats, signals, ended children, deadlines. Only the
daemon's output, the HTTP routes, KCL's tables and the question whether Kinesis answers have threads of their
own, so that nothing slow holds the rest up.
"""

import contextlib
import dataclasses
import json
import logging
import os
import random
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from worker.kcl import daemon_log, health
from worker.kcl.daemon import Daemon, replace_file
from worker.kcl.fleet import Fleet, FleetPatience
from worker.kcl.heartbeat import LEAVE
from worker.kcl.init_process import Signals, adopt_orphans, gone, reap
from worker.kcl.lease_desk import LeaseDesk
from worker.kcl.listener import HeartbeatListener, socket_folder
from worker.kcl.properties import DaemonProperties, render
from worker.kcl.restart import RestartPolicy
from worker.kcl.stream_probe import StreamProbe
from worker.kcl.totals import ShardTotals
from worker.kcl.watchdog import Patience, Watchdog
from worker.kcl.worker_id import file_name
from worker.leases import LeaseTable

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_AS_ASKED = (None, 0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes at a stop: never started, Java's 143, the bare signal before Java's handler stood, and ours
after the last goodbye."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisorConfig:
    """What the supervisor needs to know.

    Args:
        state_dir: for the properties file, the heartbeat socket and `ports.json`; created if absent.
        environment: the daemon's and its shard processes'; `HEARTBEAT_SOCKET` is added.
        restart: when to restart and when to give up.
        health_host: address of both HTTP servers.
        health_port: `/healthz` and `/readyz`; 0 picks a free port.
        metrics_port: Prometheus' `/metrics`; 0 picks a free port.
        leave_seconds: how long shard processes may take to leave by themselves before KCL asks them too.
        stop_margin_seconds: how long past the daemon's own grace it may take to end before it is killed.
        give_back_seconds: how long a stop may wait for KCL's tables once the daemon has ended.
        fleet: how often to look at KCL's tables, and when other workers and their leader count as dead.
        watchdog: when our own daemon counts as not working.
        probe_seconds: how often the stream is asked for a sign of life while a shard process is idle.
    """

    state_dir: Path
    environment: Mapping[str, str]
    restart: RestartPolicy
    health_host: str = "0.0.0.0"  # noqa: S104 - the platform's probes come from outside the container
    health_port: int = 8080
    metrics_port: int = 9102
    leave_seconds: float = 2.0
    stop_margin_seconds: float = 15.0
    give_back_seconds: float = 5.0
    fleet: FleetPatience = dataclasses.field(default_factory=FleetPatience)
    watchdog: Patience = dataclasses.field(default_factory=Patience)
    probe_seconds: float = 5.0


class _Ending(NamedTuple):
    """How a life of the daemon ended: its exit code (None: never started), by force, and nothing left."""

    code: int | None
    forced: bool
    cleared: bool


class Supervisor:
    """Runs the daemon until a signal says stop, or until it has died too often.

    It needs a process of its own: it takes over SIGTERM, SIGINT and SIGCHLD, adopts orphans, and as PID 1
    collects every child. `run` must be called on the main thread.

    Args:
        config: what it needs to know.
        properties: what the daemon is told.
        command: gives the daemon's command line for a properties file (see `daemon.JavaCommand`).
        leases: KCL's tables.
        registry: gets the metrics; a new one by default.
        clock: monotonic seconds, the same as the shard processes'.
        jitter: a random number in [0, 1).
        ask_stream: any call to the stream; raises StreamUnavailable where it does not answer.
    """

    def __init__(
        self,
        config: SupervisorConfig,
        properties: DaemonProperties,
        command: Callable[[Path], Sequence[str]],
        leases: LeaseTable,
        *,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        ask_stream: Callable[[], object] = lambda: None,
    ) -> None:
        self._config = config
        self._properties = properties
        self._command = command
        self._leases = leases
        self._registry = registry or CollectorRegistry()
        self._clock = clock
        self._jitter = jitter
        self._stream = StreamProbe(ask_stream, self._any_idle, config.probe_seconds)
        name = file_name(properties.worker_id)
        self._properties_file = config.state_dir / f"{name}.properties"
        self._socket_name = f"{name}.sock"
        self._phase: health.Phase = "starting"
        self._daemon: Daemon | None = None
        self._totals = ShardTotals(
            {
                "daemon_up": lambda: float(self._daemon is not None),
                "lease_table_away": lambda: float(self._desk.away),
                "shards_held": self._shards_held,
            }
        )
        self._registry.register(self._totals)
        self._watchdog = Watchdog(properties.worker_id, self._fleet(), config.watchdog)

    def run(self) -> int:
        """Keep the daemon running.

        Returns:
            0 after an orderly stop, 1 if the daemon was given up or had to be killed.

        Raises:
            OSError: a port is taken or the state directory is not writable.
        """
        self._config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        adopt_orphans()
        with contextlib.ExitStack() as opened:
            self._signals = opened.enter_context(Signals())
            folder = opened.enter_context(socket_folder(self._config.state_dir, self._socket_name))
            self._socket_file = folder / self._socket_name
            hearing = HeartbeatListener(self._socket_file, self._totals, self._clock, self._said_goodbye)
            self._listener = opened.enter_context(closing(hearing))
            self._desk = LeaseDesk(
                self._leases,
                self._properties.worker_id,
                self._fleet(),
                self._totals.count,
                look_seconds=self._config.fleet.look,
                clock=self._clock,
                wake=self._signals.wake,
            )
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._selector.register(self._signals, selectors.EVENT_READ, self._signals.drain)
            self._selector.register(self._listener, selectors.EVENT_READ, self._listener.receive)
            self._serve(opened)
            # only after an error of our own: a life that was seen to its end has cleared itself
            opened.callback(lambda: self._daemon and self._daemon.end())
            self._desk.start()
            opened.callback(self._desk.close)
            self._stream.start()
            opened.callback(self._stream.close)
            code = self._supervise()
            self._desk.settle()
            self._attend(lambda: self._desk.settled, self._config.give_back_seconds)
            return code

    def _serve(self, opened: contextlib.ExitStack) -> None:
        probes = {
            "/healthz": lambda: health.healthz(self._phase, self._listener.heard, self._clock()),
            "/readyz": lambda: health.readyz(
                self._phase, self._listener.heard, self._clock(), tables_away=self._desk.away
            ),
        }
        config, registry = self._config, self._registry
        serving = health.serving(
            config.health_host, config.health_port, probes, config.metrics_port, registry
        )
        ports = {**opened.enter_context(serving), "pid": os.getpid()}
        replace_file(config.state_dir / "ports.json", json.dumps(ports))
        _log.info("supervisor listens", extra={"ports": ports, "worker_id": self._properties.worker_id})

    def _supervise(self) -> int:
        policy = self._config.restart
        while True:
            started = self._clock()
            ending = self._live()
            if self._signals.stop:
                return self._stopped(ending)
            policy = policy.after_exit(started, self._clock())
            if policy.gives_up or not ending.cleared:
                self._phase = "given_up"
                _log.error("daemon given up", extra={"exits": len(policy.exits), **ending._asdict()})
                return 1
            pause = policy.pause_seconds(self._jitter())
            self._phase = "restarting"
            _log.warning("daemon ended", extra={"restart_in_seconds": round(pause, 3), **ending._asdict()})
            if self._attend(lambda: self._signals.stop, pause):
                return 0

    def _live(self) -> _Ending:
        """One life of the daemon: start, wait for its end or for the order to stop, leave nothing behind."""
        try:
            self._daemon = daemon = self._start()
        except OSError as error:
            _log.error("daemon not started", extra={"error": str(error)})
            return _Ending(None, forced=False, cleared=True)
        self._attend(
            lambda: self._signals.stop or daemon.poll() is not None or self._bereaved() or self._bitten()
        )
        forced = self._signals.stop and daemon.poll() is None and not self._stop(daemon)
        cleared = daemon.end()
        # the last words of the dead still count, and only then are their shards free
        self._listener.receive()
        self._listener.forget_all()
        self._daemon = None
        if cleared:
            self._desk.daemon_ended()
        return _Ending(daemon.poll(), forced, cleared)

    def _start(self) -> Daemon:
        # again at each start: a directory of temporary files may have been swept
        replace_file(self._properties_file, render(self._properties))
        environment = {**self._config.environment, "HEARTBEAT_SOCKET": str(self._socket_file)}
        daemon = Daemon(
            self._command(self._properties_file), environment, daemon_log.take_stdout, daemon_log.take_stderr
        )
        self._phase = "running"
        self._watchdog.begin(self._clock())
        self._totals.count("daemon_starts_total")
        _log.info("daemon started", extra={"daemon_pid": daemon.pid})
        return daemon

    def _stop(self, daemon: Daemon) -> bool:
        """Ask every shard process to leave and wait as long as it may take; whether the daemon may end."""
        self._phase = "stopping"
        patience = self._properties.shutdown_grace_millis / 1000 + self._config.stop_margin_seconds
        _log.info("stopping", extra={"patience_seconds": patience})
        self._desk.leave()
        for heard in self._listener.heard.values():
            daemon.tell(heard.pid, LEAVE)

        def nobody_left() -> bool:
            return daemon.poll() is not None or not self._listener.heard

        if self._attend(nobody_left, self._config.leave_seconds):
            return True
        # a shard that is given no records does not come to leave: KCL has another way to ask
        daemon.terminate()
        return self._attend(nobody_left, patience)

    def _said_goodbye(self, shard: str) -> None:
        if self._phase == "stopping":
            self._desk.give_back(shard)

    def _bereaved(self) -> bool:
        """Whether a shard process is gone that has not said goodbye."""
        dead = [shard for shard, heard in self._listener.heard.items() if gone(heard.pid)]
        if not dead:
            return False
        # its last words may still wait, a goodbye among them
        self._listener.receive()
        dead = [shard for shard in dead if shard in self._listener.heard]
        if dead:
            self._totals.count("watchdog_restarts_total", reason="child")
            _log.error("shard process died", extra={"shards": dead})
        return bool(dead)

    def _bitten(self) -> bool:
        """Whether the watchdog wants the daemon restarted."""
        bite = self._watchdog.bite(
            self._listener.heard, self._desk.look, self._clock(), stream_away=self._stream.away
        )
        if bite is None:
            return False
        self._totals.count("watchdog_restarts_total", reason=bite.reason)
        _log.error("daemon does not work", extra=bite._asdict())
        return True

    def _stopped(self, ending: _Ending) -> int:
        orderly = ending.cleared and not ending.forced and ending.code in _AS_ASKED
        level = logging.INFO if orderly else logging.ERROR
        _log.log(level, "stopped", extra={"orderly": orderly, **ending._asdict()})
        return 0 if orderly else 1

    def _attend(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Serve heartbeats, signals and orphans until `until()` holds; False if the time was over before."""
        deadline = None if seconds is None else self._clock() + seconds
        while not until():
            left = _TICK_SECONDS if deadline is None else min(_TICK_SECONDS, deadline - self._clock())
            if left <= 0:
                return False
            for key, _ in self._selector.select(left):
                key.data()
            if os.getpid() == 1:
                reap(keep=self._daemon.pid if self._daemon else None)
        return True

    def _any_idle(self) -> bool:
        return any(heard.status == "idle" for heard in self._listener.heard.values())

    def _fleet(self) -> Fleet:
        return Fleet(self._properties.worker_id, self._properties.max_leases, self._config.fleet)

    def _shards_held(self) -> float:
        now = self._clock()
        return sum(not health.silent(heard, now) for heard in self._listener.heard.values())
