"""The supervisor around a daemon of Python: restarts, orderly stops, and nobody left behind.

This file is also the program of every process in these tests: `python test_supervisor.py ROLE ...`. The fake
daemon starts one child that ignores every signal and the end of its input, the worst that a shard process can
do, or two that leave when they are asked to.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from worker import logs
from worker.adapters.memory import MemoryLeases
from worker.domain.errors import StreamUnavailable
from worker.kcl.fleet import FleetPatience
from worker.kcl.heartbeat import LEAVE, HeartbeatSender
from worker.kcl.init_process import adopt_orphans, reap
from worker.kcl.properties import DaemonProperties
from worker.kcl.restart import RestartPolicy
from worker.kcl.supervisor import Supervisor, SupervisorConfig
from worker.kcl.watchdog import Patience
from worker.leases import Leader, Lease

ROOT = Path(__file__).resolve().parents[2]
SHARD = "shardId-000000000000"
OTHER = "shardId-000000000001"
WORKER = "w1"
PATIENCE = 60.0
ALARM = 60
"""No process of these tests outlives its alarm, whatever the supervisor does."""


# --- the processes ---------------------------------------------------------------------------------------


def note(state_dir: str | Path, what: str) -> None:
    """Write down one effect; all processes of a test write into the same journal."""
    with Path(state_dir, "journal").open("a") as journal:
        journal.write(f"{what}\n")


def noted(state_dir: str | Path) -> list[str]:
    """What the processes of a test did, in its order."""
    journal = Path(state_dir, "journal")
    return journal.read_text().splitlines() if journal.exists() else []


class Tables(MemoryLeases):
    """KCL's tables with two leases of ours, which we also lead, and a live worker who could inherit."""

    def __init__(self, state_dir: str, behaviour: str) -> None:
        super().__init__()
        self.state_dir = state_dir
        self.rows = {shard: Lease(shard, WORKER, 7, "TRIM_HORIZON") for shard in (SHARD, OTHER)}
        self.reports = {WORKER: 1, "heir": 1}
        self.record = Leader(WORKER, "a")
        self.away = behaviour == "away"
        self.hangs = behaviour == "hanging"

    def leases(self) -> Sequence[Lease]:
        if self.hangs:
            threading.Event().wait()
        return super().leases()

    def workers(self) -> Mapping[str, int]:
        self.reports["heir"] += 1
        Path(self.state_dir, f"look-{self.reports['heir']}").touch()
        return super().workers()

    def give_back(self, lease: Lease, heir: str | None) -> bool:
        note(self.state_dir, f"{lease.shard} given to {heir}")
        return super().give_back(lease, heir)

    def forget_worker(self, worker: str) -> None:
        if worker in self.reports:
            note(self.state_dir, f"{worker} forgotten")
        super().forget_worker(worker)

    def clear_leader(self, leader: Leader) -> bool:
        note(self.state_dir, f"{leader.owner} leads no more")
        return super().clear_leader(leader)


def supervise(state_dir: str, behaviour: str, pause: str = "0.05") -> int:
    """The supervisor under test; its first pause is short unless told otherwise (seconds)."""
    logs.configure("INFO")
    config = SupervisorConfig(
        state_dir=Path(state_dir),
        environment=dict(os.environ),
        restart=RestartPolicy(crash_limit=3, first_seconds=float(pause)),
        health_host="127.0.0.1",
        health_port=0,
        metrics_port=0,
        leave_seconds=PATIENCE if behaviour == "leave" else 0.1,
        stop_margin_seconds=0.5,
        give_back_seconds=1.0,
        fleet=FleetPatience(look=0.5),
        watchdog=Patience(
            silent=0.5 if behaviour == "silent" else PATIENCE, stuck=3.0 if behaviour == "idle-away" else 1.0
        ),
        probe_seconds=0.05,
    )
    properties = DaemonProperties(
        executable_name="unused",
        application_name="app",
        stream_name="stream",
        region_name="ap-northeast-1",
        worker_id=WORKER,
        shutdown_grace_millis=500,
    )
    tables = Tables(state_dir, behaviour)

    def ask_stream() -> None:
        if behaviour == "idle-away":
            note(state_dir, "the stream did not answer")
            raise StreamUnavailable

    return Supervisor(
        config,
        properties,
        lambda file: [*ROLE, "daemon", str(file), behaviour],
        tables,
        ask_stream=ask_stream,
    ).run()


def daemon(properties_file: str, behaviour: str) -> int:
    """A daemon with one child. Its behaviour: `serve`, `stubborn`, or the exit codes of its first lives.

    `leave` has two children, which leave when they are asked to; `silent` has, in its first life, one that
    works and is silent; `idle` and `idle-away` have, in their first, one that is asked nothing.
    """
    signal.alarm(ALARM)
    state_dir = Path(properties_file).parent
    lives = state_dir / "lives"
    life = len(lives.read_text().splitlines()) if lives.exists() else 0

    def terminated(*_: object) -> None:
        note(state_dir, "daemon asked to end")
        sys.exit(143)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else terminated)
    if behaviour == "leave":
        started = [subprocess.Popen([*ROLE, "leaver", str(state_dir), shard]) for shard in (SHARD, OTHER)]
    else:
        started = [subprocess.Popen([*ROLE, "child", str(state_dir), "serve" if life else behaviour])]
    wait_for(lambda: all((state_dir / str(child.pid)).exists() for child in started))
    with lives.open("a") as file:
        file.write(f"{' '.join(str(pid) for pid in (os.getpid(), *(child.pid for child in started)))}\n")
    codes = behaviour.split(",")
    if life < len(codes) and codes[life].isdigit():
        os._exit(int(codes[life]))
    while True:
        signal.pause()


def child(state_dir: str, behaviour: str) -> int:
    """A shard process that beats once and then hears nothing."""
    signal.alarm(ALARM)
    signal.signal(LEAVE, signal.SIG_IGN)
    signalled = Path(state_dir, "child-signalled")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: signalled.touch())
    heart = HeartbeatSender(os.environ["HEARTBEAT_SOCKET"], SHARD)
    heart.count("transactions_total", 5)
    if behaviour == "silent":
        heart.beat("working")
    else:
        heart.beat("waiting", "LedgerUnavailable")
    sys.stderr.write('{"message": "from the child"}\n')
    sys.stderr.flush()
    Path(state_dir, str(os.getpid())).touch()
    for age in itertools.count() if behaviour.startswith("idle") else ():
        heart.gauge("iterator_age_seconds", age)
        heart.beat("idle")
        time.sleep(0.05)
    while True:
        signal.pause()


def leaver(state_dir: str, shard: str) -> int:
    """A shard process that leaves when asked to; that of the second shard once the first is passed on."""
    signal.alarm(ALARM)
    signal.pthread_sigmask(signal.SIG_BLOCK, [LEAVE])
    heart = HeartbeatSender(os.environ["HEARTBEAT_SOCKET"], shard)
    heart.beat("working")
    Path(state_dir, str(os.getpid())).touch()
    signal.sigwait([LEAVE])
    if shard == OTHER:
        wait_for(lambda: f"{SHARD} given to heir" in noted(state_dir))
    note(state_dir, f"{shard} left")
    heart.goodbye()
    while True:
        signal.pause()


def adopt() -> int:
    """A parent of orphans, which must collect theirs and leave its own child's exit code alone."""
    adopt_orphans()
    own = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
    for _ in range(3):
        subprocess.run(["/bin/sh", "-c", "setsid true &"], check=True)
    wait_for(lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT))
    reap(keep=own.pid)
    assert own.wait(PATIENCE) == 7

    def nobody_left() -> bool:
        reap()
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return False
        return True

    wait_for(nobody_left)
    return 0


ROLE = [sys.executable, __file__]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


# --- the tests -------------------------------------------------------------------------------------------


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process exists; a zombie counts, because nobody would be left to collect it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


class Run:
    """A supervisor process and what it leaves in its state directory."""

    def __init__(self, state_dir: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self.state_dir = state_dir
        self.log = state_dir.parent / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *ROLE, "supervise", str(state_dir), *arguments],
                env=ENVIRONMENT,
                stderr=log,
                start_new_session=True,
            )

    def lives(self) -> list[tuple[int, ...]]:
        """Process ids of each daemon and its children, in the order of their starts."""
        file = self.state_dir / "lives"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(int(pid) for pid in line.split()) for line in lines]

    def wait_for_lives(self, number: int) -> list[tuple[int, ...]]:
        wait_for(lambda: len(self.lives()) >= number)
        return self.lives()

    def get(self, server: str, path: str) -> tuple[int, str]:
        ports = json.loads((self.state_dir / "ports.json").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[server]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, message: str, **fields: object) -> bool:
        """Whether one line of the log has this message and these fields."""
        told = {"message": message, **fields}
        return [entry for entry in self.logged() if entry | told == entry] != []

    def assert_nobody_left(self) -> None:
        assert [pid for life in self.lives() for pid in life if alive(pid)] == []

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for life in self.lives():
            for pid in filter(alive, life):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, prefix: tuple[str, ...] = ()) -> Run:
            run = Run(tmp_path / "state", *arguments, prefix=prefix)
            stack.callback(run.close)
            return run

        yield start


Start = Callable[..., Run]


def test_a_killed_daemon_is_restarted_after_its_child_is_gone(start: Start) -> None:
    run = start("serve")
    ((daemon_pid, child_pid),) = run.wait_for_lives(1)
    os.kill(daemon_pid, signal.SIGKILL)
    run.wait_for_lives(2)
    assert not alive(daemon_pid)
    assert not alive(child_pid)
    assert run.stop() == 0
    run.assert_nobody_left()


def test_exit_code_0_is_restarted_too(start: Start) -> None:
    run = start("0,1")
    run.wait_for_lives(3)
    assert run.stop() == 0
    run.assert_nobody_left()


def test_a_daemon_that_keeps_dying_is_given_up(start: Start) -> None:
    run = start("1,0,1")
    assert run.process.wait(PATIENCE) == 1
    assert len(run.lives()) == 3
    run.assert_nobody_left()
    assert run.said("daemon given up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_stop(start: Start, number: int) -> None:
    run = start("serve")
    run.wait_for_lives(1)
    assert run.stop(number) == 0
    run.assert_nobody_left()
    assert run.said("stopped", code=143, orderly=True)
    assert not (run.state_dir / "child-signalled").exists()
    assert not list(run.state_dir.glob("*.sock"))


def test_a_daemon_that_does_not_end_is_killed(start: Start) -> None:
    run = start("stubborn")
    run.wait_for_lives(1)
    assert run.stop() == 1
    run.assert_nobody_left()
    assert run.said("stopped", code=-signal.SIGKILL, forced=True, orderly=False)


def test_a_stop_passes_each_lease_on_when_its_shard_has_left_and_then_ends_the_daemon(start: Start) -> None:
    run = start("leave")
    run.wait_for_lives(1)
    wait_for((run.state_dir / "look-4").exists)  # the heir's report was seen to move
    assert run.stop() == 0
    run.assert_nobody_left()
    journal = noted(run.state_dir)
    assert sorted(journal) == [
        f"{SHARD} given to heir",
        f"{SHARD} left",
        f"{OTHER} given to heir",
        f"{OTHER} left",
        f"{WORKER} forgotten",  # at once, so that nobody gives it a lease
        f"{WORKER} leads no more",
    ]
    for shard in (SHARD, OTHER):
        assert journal.index(f"{shard} left") < journal.index(f"{shard} given to heir")
    assert run.said("stopped", code=-signal.SIGKILL, orderly=True)


def test_a_shard_that_does_not_leave_is_asked_by_the_daemon_and_its_lease_is_passed_on(start: Start) -> None:
    run = start("serve")
    run.wait_for_lives(1)
    wait_for((run.state_dir / "look-4").exists)
    assert run.stop() == 0
    journal = noted(run.state_dir)
    journal.remove(f"{WORKER} forgotten")
    assert journal == [
        "daemon asked to end",
        f"{WORKER} leads no more",
        f"{SHARD} given to heir",
        f"{OTHER} given to heir",
    ]


def test_a_daemon_that_was_given_up_leaves_nothing_under_its_name(start: Start) -> None:
    run = start("1,0,1")
    assert run.process.wait(PATIENCE) == 1
    given = [line for line in noted(run.state_dir) if "given to" in line]
    assert [line.split()[0] for line in given] == [SHARD, OTHER]


def test_a_killed_daemon_leads_no_more(start: Start) -> None:
    run = start("serve")
    ((daemon_pid, _),) = run.wait_for_lives(1)
    os.kill(daemon_pid, signal.SIGKILL)
    wait_for(lambda: f"{WORKER} leads no more" in noted(run.state_dir))
    assert not alive(daemon_pid)
    assert "given" not in " ".join(noted(run.state_dir))


def test_a_silent_shard_restarts_the_daemon(start: Start) -> None:
    run = start("silent")
    ((daemon_pid, child_pid),) = run.wait_for_lives(1)
    run.wait_for_lives(2)
    assert not alive(daemon_pid)
    assert not alive(child_pid)
    assert 'edu_watchdog_restarts_total{reason="silent"}' in run.get("metrics", "/metrics")[1]
    run.stop()
    run.assert_nobody_left()


def test_a_shard_process_that_dies_takes_its_daemon_along_at_once(start: Start) -> None:
    run = start("stubborn")
    ((daemon_pid, child_pid),) = run.wait_for_lives(1)
    wait_for(lambda: SHARD in run.get("health", "/readyz")[1])
    os.kill(child_pid, signal.SIGKILL)
    run.wait_for_lives(2)
    assert not alive(daemon_pid)
    assert not alive(child_pid)
    assert 'edu_watchdog_restarts_total{reason="child"} 1.0' in run.get("metrics", "/metrics")[1]
    run.stop()
    run.assert_nobody_left()


def test_a_daemon_that_asks_its_shard_nothing_is_restarted(start: Start) -> None:
    run = start("idle")
    run.wait_for_lives(2)
    assert 'edu_watchdog_restarts_total{reason="stuck"} 1.0' in run.get("metrics", "/metrics")[1]
    run.stop()
    run.assert_nobody_left()


def test_unless_the_stream_itself_is_away(start: Start) -> None:
    run = start("idle-away")
    run.wait_for_lives(1)
    wait_for(lambda: "the stream did not answer" in noted(run.state_dir))
    looks = len(list(run.state_dir.glob("look-*")))
    wait_for((run.state_dir / f"look-{looks + 12}").exists)  # twice the watchdog's patience
    assert len(run.lives()) == 1
    assert run.get("health", "/healthz")[0] == 200
    assert json.loads(run.get("health", "/readyz")[1])["shards"][SHARD]["status"] == "idle"
    run.stop()
    run.assert_nobody_left()


@pytest.mark.parametrize("behaviour", ["away", "hanging"])
def test_nothing_waits_for_tables_that_do_not_answer(start: Start, behaviour: str) -> None:
    run = start(behaviour)
    run.wait_for_lives(1)
    wait_for(lambda: SHARD in run.get("health", "/readyz")[1])
    assert run.get("health", "/healthz")[0] == 200
    if behaviour == "away":
        wait_for(lambda: "edu_lease_table_away 1.0" in run.get("metrics", "/metrics")[1])
        assert json.loads(run.get("health", "/readyz")[1])["lease_tables"] == "away"
        # looks go on failing, and are told of once
        several = re.compile(r"^edu_lease_table_failures_total ([3-9]|\d\d+)\.0$", re.MULTILINE)
        wait_for(lambda: several.search(run.get("metrics", "/metrics")[1]))
        assert [entry["message"] for entry in run.logged()].count("lease tables away") == 1
    assert run.stop() == 0
    run.assert_nobody_left()


def test_a_stop_in_the_pause_between_two_lives(start: Start) -> None:
    run = start("1", "60")
    wait_for(lambda: "daemon ended" in run.log.read_text())
    assert run.get("health", "/healthz")[0] == 200
    assert run.get("health", "/readyz")[0] == 503
    assert run.stop() == 0
    assert len(run.lives()) == 1
    run.assert_nobody_left()


def test_health_metrics_and_log_tell_of_the_shard(start: Start) -> None:
    run = start("serve")
    ((daemon_pid, _),) = run.wait_for_lives(1)
    wait_for(lambda: SHARD in run.get("health", "/readyz")[1])
    assert run.get("health", "/healthz")[0] == 200
    status, body = run.get("health", "/readyz")
    assert status == 503
    told = json.loads(body)["shards"][SHARD]
    assert (told["status"], told["detail"]) == ("waiting", "LedgerUnavailable")
    metrics = run.get("metrics", "/metrics")[1]
    assert f'edu_transactions_total{{shard="{SHARD}"}} 5.0' in metrics
    assert "edu_daemon_up 1.0" in metrics
    assert "edu_shards_held 1.0" in metrics
    assert "edu_daemon_starts_total 1.0" in metrics
    os.kill(daemon_pid, signal.SIGKILL)
    wait_for(lambda: "edu_daemon_starts_total 2.0" in run.get("metrics", "/metrics")[1])
    wait_for(lambda: f'edu_transactions_total{{shard="{SHARD}"}} 10.0' in run.get("metrics", "/metrics")[1])
    assert run.stop() == 0
    assert {"message": "from the child"} in run.logged()
    assert json.loads((run.state_dir / "ports.json").read_text())["pid"] == run.process.pid


def test_the_properties_reach_the_daemon(start: Start) -> None:
    run = start("serve")
    run.wait_for_lives(1)
    assert "workerId = w1\n" in (run.state_dir / "w1.properties").read_text()
    run.stop()


def test_a_taken_port_ends_the_supervisor(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = SupervisorConfig(
            state_dir=tmp_path,
            environment={},
            restart=RestartPolicy(),
            health_host="127.0.0.1",
            health_port=taken.getsockname()[1],
            metrics_port=0,
        )
        properties = DaemonProperties(
            executable_name="x", application_name="x", stream_name="x", region_name="x", worker_id="x"
        )
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(OSError, match="in use"):
            Supervisor(config, properties, lambda file: [str(file)], MemoryLeases()).run()
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is of util-linux")
def test_the_daemon_dies_with_a_killed_supervisor(start: Start) -> None:
    run = start("serve")
    ((daemon_pid, _),) = run.wait_for_lives(1)
    run.process.kill()
    run.process.wait()
    # whoever inherits it here may take its time to collect the zombie
    wait_for(lambda: not alive(daemon_pid) or ") Z" in Path(f"/proc/{daemon_pid}/stat").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are of Linux")
def test_orphans_are_adopted_and_collected() -> None:
    subprocess.run([*ROLE, "adopt"], env=ENVIRONMENT, timeout=PATIENCE, check=True)


PID_1 = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*PID_1, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_unshare(), reason="needs leave to make a process namespace")
def test_as_process_1_it_stops_in_order(start: Start) -> None:
    run = start("0", prefix=PID_1)
    run.wait_for_lives(2)
    (supervisor,) = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    os.kill(int(supervisor), signal.SIGTERM)
    assert run.process.wait(PATIENCE) == 0
    assert json.loads((run.state_dir / "ports.json").read_text())["pid"] == 1


if __name__ == "__main__":
    roles: dict[str, Callable[..., int]] = {
        "supervise": supervise,
        "daemon": daemon,
        "child": child,
        "leaver": leaver,
        "adopt": adopt,
    }
    sys.exit(roles[sys.argv[1]](*sys.argv[2:]))
