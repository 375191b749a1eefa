"""Drills that change what servers and clocks are: passwords rotate, a disk fills up, two clocks disagree.

They need more of the machine than a signal does: a mount for the disk, libfaketime for the clocks. Where it
has not got that, the drill says so.
"""

import errno
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
import redis
from psycopg import sql

from tests.faults.stage import Stage, family, held
from worker.local.cloud import aws_client
from worker.local.process import StackError, packaged_file
from worker.local.session import SHARDS, Task
from worker.local.watching import wait_for

_DATABASE_SECRET = "edu/drill/postgres"
_REDIS_SECRET = "edu/drill/redis"
_ROTATES_SECONDS = 5.0
"""How long the secrets are behind the servers: a rotation that is slow and in the bad order."""

DISK_MIB = 512
_DISK_FULL_SECONDS = 20.0

SKEW_SECONDS = 600


def rotate_passwords(stage: Stage) -> None:
    """First in the good order, then in the bad one, in which the servers know the new passwords first."""
    keeper = Keeper(stage)
    keeper.admit("edu_blue")
    keeper.publish()
    task = replace_task(stage, "a", "rotated", keeper.settings)

    stage.observer.fault()
    keeper.admit("edu_green")
    keeper.publish()
    keeper.expel("edu_blue")
    stage.hold(3)
    stage.await_recovery()
    stage.say(f"the secrets first: longest pause {stage.observer.longest_pause:.1f} s")

    stage.observer.fault()
    keeper.change_passwords()
    keeper.cut("edu_green")
    _await_word(stage, task, "LedgerUnavailable: OperationalError (password authentication failed")
    stage.hold(_ROTATES_SECONDS)
    keeper.publish_database()
    _await_word(stage, task, "ProjectionUnavailable: AuthenticationError")
    stage.hold(_ROTATES_SECONDS)
    keeper.publish_redis()


class Keeper:
    """Who keeps the passwords of both servers, and the two secrets that tell the worker."""

    settings: Mapping[str, str] = {
        "DATABASE_URL": "",
        "DATABASE_SECRET_ID": _DATABASE_SECRET,
        "REDIS_URL": "",
        "REDIS_SECRET_ID": _REDIS_SECRET,
    }

    def __init__(self, stage: Stage) -> None:
        endpoints = stage.session.stack.endpoints
        self._postgres = stage.session.stack.postgres
        self._database_url = endpoints.database_url
        self._redis_url = endpoints.redis_url
        self._secrets = aws_client("secretsmanager", endpoints.aws_endpoint_url)
        self._user = ""
        self._password = ""

    def admit(self, user: str) -> None:
        """A new user of both servers; the secrets do not know it yet."""
        self._user, self._password = user, secrets.token_urlsafe()
        role, password = sql.Identifier(user), sql.Literal(self._password)
        with self._admin() as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            for right in ("ALL ON ALL TABLES IN SCHEMA public", "ALL ON ALL SEQUENCES IN SCHEMA public"):
                admin.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), role))
        self._postgres.demand_password(user)
        with self._operator() as operator:
            operator.acl_setuser(
                user, enabled=True, passwords=[f"+{self._password}"], keys=["*"], commands=["+@all"]
            )

    def change_passwords(self) -> None:
        """Another password for the user at both servers; the old one is void, the secrets still tell it."""
        old, self._password = self._password, secrets.token_urlsafe()
        role, password = sql.Identifier(self._user), sql.Literal(self._password)
        with self._admin() as admin:
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
        with self._operator() as operator:
            operator.acl_setuser(self._user, enabled=True, passwords=[f"+{self._password}", f"-{old}"])

    def expel(self, user: str) -> None:
        """The end of a user that the secrets no longer tell."""
        with self._admin() as admin:
            admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(user)))
        with self._operator() as operator:
            operator.acl_setuser(user, enabled=False)
        self.cut(user)

    def cut(self, user: str) -> None:
        """End every connection of the user: whoever comes back must say a password."""
        with self._admin() as admin:
            ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s"
            admin.execute(ended, [user])
        with self._operator() as operator:
            operator.execute_command("CLIENT", "KILL", "USER", user)

    def publish(self) -> None:
        """Both secrets tell the user and the password that hold now."""
        self.publish_database()
        self.publish_redis()

    def publish_database(self) -> None:
        with self._admin() as admin:
            info = admin.info
            where = {"host": info.host, "port": info.port, "dbname": info.dbname, "sslmode": "disable"}
        self._put(_DATABASE_SECRET, where)

    def publish_redis(self) -> None:
        with self._operator() as operator:
            where = operator.get_connection_kwargs()
        self._put(_REDIS_SECRET, {"host": where["host"], "port": where["port"], "tls": False})

    def _put(self, secret_id: str, where: Mapping[str, Any]) -> None:
        text = orjson.dumps({**where, "username": self._user, "password": self._password}).decode()
        try:
            self._secrets.put_secret_value(SecretId=secret_id, SecretString=text)
        except self._secrets.exceptions.ResourceNotFoundException:
            self._secrets.create_secret(Name=secret_id, SecretString=text)

    def _admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._database_url, autocommit=True)

    def _operator(self) -> redis.Redis:
        return redis.Redis.from_url(self._redis_url)


def no_mount() -> str | None:
    """Why no tmpfs can be mounted here, None where it can."""
    if os.geteuid() != 0:
        return "mounting a tmpfs needs root"
    with tempfile.TemporaryDirectory(prefix="edu-drill-mount-") as folder:
        try:
            _mount(Path(folder), "size=1m")
        except (OSError, subprocess.CalledProcessError) as error:
            told = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            return f"a tmpfs cannot be mounted: {told}"
        _unmount(Path(folder))
    return None


def disk_full(stage: Stage) -> None:
    """PostgreSQL's disk fills up: first commits fail, and room is enough to go on; then the server panics."""
    postgres, url = stage.session.stack.postgres, stage.session.stack.endpoints.database_url
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET max_wal_size = '96MB'")
        row = admin.execute("SHOW data_directory").fetchone()
    assert row is not None
    postgres.stop()
    data = Path(row[0])
    _onto_small_disk(stage, data)
    postgres.start()
    stage.observer.fault()
    stage.await_recovery()

    with closing(Filler(data / "filler")) as filler:
        stage.observer.fault()
        _fill_until(
            stage, filler, lambda: _says(stage, "SQLSTATE 53100"), "a commit refused for want of room"
        )
        _fill_for(stage, filler, _DISK_FULL_SECONDS)
    postgres.start()  # should it have panicked already
    stage.await_recovery()
    stage.say(f"commits refused, room made: longest pause {stage.observer.longest_pause:.1f} s")

    with closing(Filler(data / "filler")) as filler:
        stage.observer.fault()
        _fill_until(
            stage, filler, lambda: _says(stage, "SQLSTATE 53100"), "a commit refused for want of room"
        )
        _use_up_the_log(stage, filler, url)
        _fill_for(stage, filler, _DISK_FULL_SECONDS)
    postgres.stop()  # what is left of it: without room it cannot recover either
    postgres.start()


class Filler:
    """A file that takes what room there is; closed, it gives all of it back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)

    def fill(self) -> None:
        """Until no byte more can be written."""
        for size in (1 << 20, 1 << 12):
            with suppress(_DiskFull):
                while True:
                    _write(self._file.fileno(), bytes(size))

    def close(self) -> None:
        self._file.close()
        self._path.unlink()


class _DiskFull(Exception):
    pass


def _write(descriptor: int, block: bytes) -> None:
    try:
        os.write(descriptor, block)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _DiskFull from None
        raise


def _onto_small_disk(stage: Stage, data: Path) -> None:
    """Moves a stopped server's data to a small disk of their own, mounted where they were."""
    owner = data.stat()
    aside = data.with_name("data.aside")
    data.rename(aside)
    data.mkdir(mode=0o700)
    _mount(data, f"size={DISK_MIB}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}")
    stage.undo.callback(_unmount, data)
    subprocess.run(["cp", "-a", f"{aside}/.", str(data)], check=True)
    shutil.rmtree(aside)


def _mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "edu-drill", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _unmount(folder: Path) -> None:
    # lazily: also if something still has a file open there, nothing stays behind once it ends
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, text=True)


def _fill_until(stage: Stage, filler: Filler, condition: Callable[[], bool], what: str) -> None:
    def filled() -> bool:
        filler.fill()  # again and again: the server itself makes room when it recycles its log
        return condition()

    wait_for(filled, stage.any_task(), seconds=60, what=what)


def _fill_for(stage: Stage, filler: Filler, seconds: float) -> None:
    until = time.monotonic() + seconds
    _fill_until(stage, filler, lambda: time.monotonic() > until, "the end of the full disk")


def _use_up_the_log(stage: Stage, filler: Filler, url: str) -> None:
    """Begin new segments of the log until there is no room for one: the server panics."""
    log = stage.session.directory / "stack" / "log" / "postgres.log"

    def panicked() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SELECT pg_logical_emit_message(false, 'drill', 'x'), pg_switch_wal()")
        return "PANIC:" in log.read_text()

    _fill_until(stage, filler, panicked, "a server that panics over its full log")


def no_faketime() -> str | None:
    """Why no clock can be set wrong for one task alone, None where that works."""
    return None if _faketime() else "install faketime: pip install libfaketime (0.9.10 breaks Python's sleep)"


def clock_skew(stage: Stage) -> None:
    """Two tasks whose clocks are 20 minutes apart, then only the one that is left."""
    fast = _start_skewed(stage, "fast", +SKEW_SECONDS)
    slow = _start_skewed(stage, "slow", -SKEW_SECONDS)
    wait_for(lambda: fast.ports is not None, fast, seconds=60, what="the fast task")
    wait_for(lambda: slow.ports is not None, slow, seconds=60, what="the slow task")
    stage.tasks.pop("a").stop()
    stage.tasks |= {"fast": fast, "slow": slow}
    wait_for(lambda: held([fast, slow]) == SHARDS, fast, seconds=120, what="both shards held")
    stage.observer.fault()
    stage.await_recovery()
    stage.hold(60)
    processes = [p for task in (fast, slow) for kind in family(task).values() for p in kind]
    assert all(_under_faketime(process) for process in processes), "a process has kept the right time"
    stage.say(", ".join(f"{name} holds {len(stage.shards_of(name))}" for name in stage.tasks))
    stage.observer.fault()
    stage.tasks.pop("fast").kill()  # what it said last lies 20 minutes in the other's future


def _start_skewed(stage: Stage, name: str, seconds: int) -> Task:
    task = stage.session.start_task(name, skewed(seconds))
    # libfaketime shares its beginning with its children, and who is killed leaves that behind
    for shared in ("faketime_shm_{}", "sem.faketime_sem_{}"):
        stage.undo.callback(Path("/dev/shm", shared.format(task.process.pid)).unlink, missing_ok=True)
    return task


def skewed(seconds: int) -> Mapping[str, str]:
    """The environment in which a task's wall clock is wrong and its stopwatches are right."""
    library = _faketime()
    assert library is not None
    return _faked(library, seconds)


def _faked(library: Path, seconds: int) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # on by default with a recent glibc, and then Java's timed waits return at once
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def _faketime() -> Path | None:
    """A library of this machine under which a process sees another time and sleeps as long as ever."""
    return next((library for library in _candidates() if _works(library)), None)


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("FAKETIME_LIBRARY"):
        yield Path(named)
    with suppress(StackError):
        yield packaged_file("libfaketime", "vendor/libfaketime/src/libfaketime.so.1")
    for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
        yield from sorted(Path(folder).glob("**/faketime/libfaketime.so.1"))


def _works(library: Path) -> bool:
    look = "import time; a = time.monotonic(); time.sleep(0.1); print(time.monotonic() - a, time.time())"
    environment = {**os.environ, **_faked(library, SKEW_SECONDS)}
    asked = subprocess.run(
        [sys.executable, "-I", "-c", look], env=environment, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        return False
    slept, present = map(float, asked.stdout.split())
    return 0.1 <= slept < 5 and abs(present - time.time() - SKEW_SECONDS) < 30


def _under_faketime(process: psutil.Process) -> bool:
    return any("libfaketime" in mapped.path for mapped in process.memory_maps())


def replace_task(stage: Stage, old: str, new: str, settings: Mapping[str, str]) -> Task:
    """A task with other settings takes over, as in a deploy; returns once it has caught up."""
    task = stage.session.start_task(new, settings)
    wait_for(lambda: task.ports is not None, task, seconds=60, what="the new task")
    stage.tasks.pop(old).stop()
    stage.tasks[new] = task
    stage.observer.fault()
    stage.await_recovery()
    return task


def _await_word(stage: Stage, task: Task, word: str) -> None:
    wait_for(lambda: _says(stage, word), task, seconds=60, what=f"a shard that says {word!r}")


def _says(stage: Stage, word: str) -> bool:
    """Whether a shard of any task waits, and gives this reason."""
    told: Sequence[dict[str, str]] = [
        shard for name in stage.tasks for shard in stage.readiness(name).values()
    ]
    return any(shard["status"] == "waiting" and word in shard["detail"] for shard in told)
