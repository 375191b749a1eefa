"""One server of the local stack as a child process that cannot outlive us.

A fault drill must be able to kill any server and start it again, and nothing may run on after the demo ends,
however it ends.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from pwd import struct_passwd

CLEAN_ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""What a server sees: PG*, GRANIAN_*, LD_* and the like in the user's shell must not change the stack."""

# The kernel ends a child when the *thread* that created it ends, so a drill that restarts a server from a
# short-lived thread would lose it again at once. This one thread creates them all and lasts until we exit.
_LAUNCHER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-stack-launcher")

# Runs in the new process before the server does. The order matters: a change of user clears the death signal.
_TIED_TO_PARENT = """
import ctypes, os, sys
parent, uid, gid, *command = sys.argv[1:]
if int(uid):
    os.setgroups([]), os.setgid(int(gid)), os.setuid(int(uid))
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(parent):
    sys.exit("the process that asked for this server has ended")
os.execv(command[0], command)
"""


class StackError(RuntimeError):
    """The local stack cannot go on; the message says why and what to do next."""


class ServerProcess:
    """One server as a child process in a session of its own, so that Ctrl-C in the terminal passes it by.

    The server's output goes to `log`. It dies with this process, even if this process is killed.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is stopped."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str] = CLEAN_ENVIRONMENT,
        account: struct_passwd | None = None,
    ) -> None:
        """Starts `command` in `directory`, as `account` if one is given; does not wait until it answers."""
        self.kill()  # of a server that crashed, a part may still hold the port
        user = (str(account.pw_uid), str(account.pw_gid)) if account else ("0", "0")
        tie = [sys.executable, "-I", "-S", "-c", _TIED_TO_PARENT, str(os.getpid()), *user]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = _LAUNCHER.submit(
                subprocess.Popen,
                [*tie, *command],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Returns once `ready` is true; a StackError with the end of the log if it ends or stays silent."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                code = self._process.returncode if self._process else None
                raise self._failure(f"ended with code {code} before it answered")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"did not answer within {seconds:.0f} s")
            time.sleep(0.02)

    def stop(self, *, by: signal.Signals = signal.SIGTERM, grace: float = 10) -> None:
        """Asks the server to end with signal `by`; kills it if it still runs after `grace` seconds."""
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(by)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(grace)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the server and its process group; returns when they are gone. May be repeated."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        wait_until_gone(lambda: _group_members(process.pid), what=self.name)

    def _failure(self, what: str) -> StackError:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()[-20:]
        return StackError("\n".join([f"{self.name} {what}. The end of {self.log}:", *lines]))


def wait_until_gone(survivors: Callable[[], list[int]], *, what: str, seconds: float = 10) -> None:
    """Returns when `survivors` names no process any more; a StackError with their ids after `seconds`."""
    deadline = time.monotonic() + seconds
    while pids := survivors():
        if time.monotonic() > deadline:
            raise StackError(f"{what}: the processes {pids} do not end; end them with kill -9")
        time.sleep(0.01)


def process_ids() -> Iterator[int]:
    """Every process of this machine that we can see."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _group_members(group: int) -> list[int]:
    """The live processes of a group; one that has ended and waits for its parent to notice does not count."""
    members = []
    for pid in process_ids():
        with suppress(OSError):
            state, _parent, its_group, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                members.append(pid)
    return members


@contextmanager
def reserved_port() -> Iterator[int]:
    """A free TCP port of 127.0.0.1 which the system gives to nobody else inside the context.

    The reservation is a socket that is bound but never listens: a server that sets SO_REUSEADDR, as ours do,
    binds beside it, also again after a restart, while the kernel no longer offers the port to anyone.
    """
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        yield int(reservation.getsockname()[1])


def packaged_file(package: str, path: str) -> Path:
    """A file inside an installed package, which is not imported: some start things or warn when they are."""
    found = importlib.util.find_spec(package)
    for location in (found.submodule_search_locations or ()) if found else ():
        if (file := Path(location) / path).exists():
            return file
    raise StackError(
        f"{package} with {path} is not installed; run: pip install 'edu-analytics-worker[local]'"
    )
