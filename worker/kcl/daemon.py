"""The KCL daemon as a process group: how it is started, and how nothing of it is left behind.

The daemon (Java) starts one Python process per shard. When it dies in any way but the orderly one, those
may live on and write beside their successors; so the whole family shares one process group, apart from ours,
and a life of the daemon ends only when that group is empty. SIGTERM goes to the Java process alone: its
children must finish their batch and leave when their input ends.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from worker.kcl.init_process import reap

_MAIN_CLASS = "software.amazon.kinesis.multilang.MultiLangDaemon"
_LOGBACK = Path(__file__).with_name("logback.xml")
_LONGEST_LINE = 1 << 20
_PIPE_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.01


@dataclasses.dataclass(frozen=True)
class JavaCommand:
    """Builds the daemon's command line; calling it with a properties file gives the arguments.

    The flags keep the JVM near 200 MB; without them direct memory alone may grow to the size of the heap. The
    first compiler alone: the daemon waits more than it computes, and the second cost it a third of its CPU.

    Args:
        java: the program, Java 17 or later.
        heap_mb: most heap, MiB.
        extra: further flags, such as `-Daws.cborEnabled=false` for an emulator without CBOR.
        archive: the daemon's classes (`archive.make`), taken where it is there and fits.

    Raises:
        RuntimeError: amazon_kclpy's jars are missing, which no restart mends.
    """

    java: str = "java"
    heap_mb: int = 288
    extra: tuple[str, ...] = ()
    archive: Path | None = None

    def __call__(self, properties_file: Path) -> list[str]:
        return [
            self.java,
            "-Xms64m",
            f"-Xmx{self.heap_mb}m",
            "-XX:MaxDirectMemorySize=64m",
            "-XX:MaxMetaspaceSize=128m",
            "-XX:ReservedCodeCacheSize=64m",
            "-Xss512k",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlogback.configurationFile={_LOGBACK}",
            *((f"-XX:SharedArchiveFile={self.archive}",) if self.archive and self.archive.exists() else ()),
            *self.extra,
            "-cp",
            _class_path(),
            _MAIN_CLASS,
            "--properties-file",
            str(properties_file),
        ]


def shard_executable(command: Sequence[str], state_dir: Path) -> str:
    """A shard process's command as the daemon takes it, which splits on spaces and knows no quotes.

    A command with a space inside an argument is wrapped in a script of `state_dir`.

    Raises:
        ValueError: `state_dir` holds a space too.
    """
    if not any(" " in argument for argument in command):
        return " ".join(command)
    script = state_dir / "shard.sh"
    if " " in str(script):
        raise ValueError(f"the state directory must not hold a space: {state_dir}")
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(script, f"exec {shlex.join(command)}\n")
    return f"/bin/sh {script}"


def replace_file(path: Path, text: str) -> None:
    """Write a small file so that a reader finds the old text or the new one, never a part."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


class Daemon:
    """One life of the daemon, from start to empty process group.

    Start it from a thread that lives as long as the supervisor: Linux kills the daemon when the *thread* that
    started it ends, and so it never outlives a killed supervisor.

    Args:
        command: program and arguments.
        environment: the whole environment of the daemon and its shard processes.
        on_stdout: takes each line of its stdout, on a thread of its own; must not raise.
        on_stderr: the same for stderr.

    Raises:
        OSError: the program could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_stdout: Callable[[str], None],
        on_stderr: Callable[[str], None],
    ) -> None:
        self._process = subprocess.Popen(
            [*_dies_with_us(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # glibc's per-thread arenas cost a JVM of 60 threads a hundred megabytes
            env={"MALLOC_ARENA_MAX": "2", **environment},
            start_new_session=True,
        )
        self._readers = [_reading(self._process.stdout, on_stdout), _reading(self._process.stderr, on_stderr)]

    @property
    def pid(self) -> int:
        """The Java process, and the number of the group."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the daemon runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the Java process, and it alone, for an orderly end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def tell(self, pid: int, number: int) -> None:
        """Send a signal to one member of the family; a process that is not of it is spared."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == self.pid:
                os.kill(pid, number)

    def end(self, patience_seconds: float = 10.0) -> bool:
        """Kill whatever is left of the group and wait until it is gone.

        Returns:
            False if a process survived SIGKILL for that long (stuck in the kernel).
        """
        deadline = time.monotonic() + patience_seconds
        while self._kill_group():
            if self._process.poll() is not None:
                reap(self.pid)
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        self._process.wait()
        for reader in self._readers:
            reader.join(_PIPE_PATIENCE_SECONDS)
        return True

    def _kill_group(self) -> bool:
        # a group of unreaped zombies still counts as one; macOS answers EPERM for it
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _class_path() -> str:
    package = importlib.util.find_spec("amazon_kclpy")
    places = package.submodule_search_locations if package else None
    jars = sorted(Path(places[0], "jars").glob("*.jar")) if places else []
    if not jars:
        raise RuntimeError("amazon_kclpy is not installed with its jars")
    return os.pathsep.join(str(jar) for jar in jars)


@functools.cache
def _dies_with_us() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "KILL")
    # busybox has a setpriv without this option
    tried = subprocess.run([*prefix, "true"], check=False, capture_output=True)
    return prefix if tried.returncode == 0 else ()


def _reading(pipe: IO[bytes] | None, on_line: Callable[[str], None]) -> threading.Thread:
    if pipe is None:
        raise ValueError("not a pipe")
    thread = threading.Thread(target=_read, args=(pipe, on_line), name="daemon-output", daemon=True)
    thread.start()
    return thread


def _read(pipe: IO[bytes], on_line: Callable[[str], None]) -> None:
    with pipe:
        # bounded, so that output without a line end cannot eat the task's memory
        while line := pipe.readline(_LONGEST_LINE):
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
