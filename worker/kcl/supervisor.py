"""PID 1 of a worker task: keeps one KCL daemon alive, hears its shard processes, and answers for both.

KCL stops a whole worker for any child's failure, sometimes with exit code 0, and a worker that comes back
under its own id takes its leases back at once. So every exit is answered with a restart in place, and only a
daemon that keeps dying is given up, for the platform to replace the task. Between two lives nothing of the
first may be left: a shard process that outlived its daemon would write beside its successor.

Everything happens on one thread, in `_attend`: heartbeats, signals, ended children, deadlines. Only the
daemon's output and the HTTP routes have threads of their own, so that a slow probe holds nothing up.
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
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from worker.kcl import daemon_log, health
from worker.kcl.daemon import Daemon, replace_file
from worker.kcl.init_process import Signals, adopt_orphans, reap
from worker.kcl.listener import HeartbeatListener, socket_folder
from worker.kcl.properties import DaemonProperties, render
from worker.kcl.restart import RestartPolicy
from worker.kcl.totals import ShardTotals
from worker.kcl.worker_id import file_name

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_AS_ASKED = (None, 0, 128 + signal.SIGTERM, -signal.SIGTERM)
"""Exit codes after SIGTERM: never started, Java's 143, and the bare signal before Java's handler stood."""


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
        stop_margin_seconds: how long past the daemon's own grace it may take to end before it is killed.
    """

    state_dir: Path
    environment: Mapping[str, str]
    restart: RestartPolicy
    health_host: str = "0.0.0.0"  # noqa: S104 - the platform's probes come from outside the container
    health_port: int = 8080
    metrics_port: int = 9102
    stop_margin_seconds: float = 15.0


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
        registry: gets the metrics; a new one by default.
        clock: monotonic seconds, the same as the shard processes'.
        jitter: a random number in [0, 1).
    """

    def __init__(
        self,
        config: SupervisorConfig,
        properties: DaemonProperties,
        command: Callable[[Path], Sequence[str]],
        *,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._properties = properties
        self._command = command
        self._registry = registry or CollectorRegistry()
        self._clock = clock
        self._jitter = jitter
        name = file_name(properties.worker_id)
        self._properties_file = config.state_dir / f"{name}.properties"
        self._socket_name = f"{name}.sock"
        self._phase: health.Phase = "starting"
        self._daemon: Daemon | None = None
        self._totals = ShardTotals({"daemon_up": self._up, "shards_held": self._shards_held})
        self._registry.register(self._totals)

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
            self._listener = HeartbeatListener(self._socket_file, self._totals, self._clock)
            opened.callback(self._listener.close)
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._selector.register(self._signals, selectors.EVENT_READ, self._signals.drain)
            self._selector.register(self._listener, selectors.EVENT_READ, self._listener.receive)
            self._serve(opened)
            opened.callback(self._leave_nothing)
            return self._supervise()

    def _serve(self, opened: contextlib.ExitStack) -> None:
        questions = {
            "/healthz": lambda: health.healthz(self._phase, self._listener.heard, self._clock()),
            "/readyz": lambda: health.readyz(self._phase, self._listener.heard, self._clock()),
        }
        host = self._config.health_host
        probes = health.HttpServer(host, self._config.health_port, questions)
        opened.callback(probes.close)
        scrapes = health.HttpServer(
            host, self._config.metrics_port, {"/metrics": lambda: health.exposition(self._registry)}
        )
        opened.callback(scrapes.close)
        ports = {"health": probes.port, "metrics": scrapes.port, "pid": os.getpid()}
        replace_file(self._config.state_dir / "ports.json", json.dumps(ports))
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
        self._attend(lambda: self._signals.stop or daemon.poll() is not None)
        forced = daemon.poll() is None and not self._stop(daemon)
        cleared = daemon.end()
        # the last words of the dead still count, and only then are their shards free
        self._listener.receive()
        self._listener.forget_all()
        self._daemon = None
        return _Ending(daemon.poll(), forced, cleared)

    def _start(self) -> Daemon:
        # again at each start: a directory of temporary files may have been swept
        replace_file(self._properties_file, render(self._properties))
        environment = {**self._config.environment, "HEARTBEAT_SOCKET": str(self._socket_file)}
        daemon = Daemon(
            self._command(self._properties_file), environment, daemon_log.take_stdout, daemon_log.take_stderr
        )
        self._phase = "running"
        self._totals.count("daemon_starts_total")
        _log.info("daemon started", extra={"daemon_pid": daemon.pid})
        return daemon

    def _stop(self, daemon: Daemon) -> bool:
        """Ask the daemon to end and wait as long as it may take; whether it did."""
        self._phase = "stopping"
        patience = self._properties.shutdown_grace_millis / 1000 + self._config.stop_margin_seconds
        _log.info("stopping", extra={"patience_seconds": patience})
        daemon.terminate()
        return self._attend(lambda: daemon.poll() is not None, patience)

    def _stopped(self, ending: _Ending) -> int:
        orderly = ending.cleared and not ending.forced and ending.code in _AS_ASKED
        _log.log(
            logging.INFO if orderly else logging.ERROR,
            "stopped",
            extra={"orderly": orderly, **ending._asdict()},
        )
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

    def _leave_nothing(self) -> None:
        # only after an error of our own: a life that was seen to its end has cleared itself
        if self._daemon is not None:
            self._daemon.end()

    def _up(self) -> float:
        return float(self._daemon is not None)

    def _shards_held(self) -> float:
        now = self._clock()
        return sum(not health.silent(heard, now) for heard in self._listener.heard.values())
