"""The name under which this worker holds leases: stable for one worker, never shared by two.

KCL takes a lease back at once when its owner's id is its own, which makes a restart in place a matter of
seconds; for the same reason two live workers of one id would both process the same shards. So the id is the
ECS task's, or one generated and kept in the state directory; never a service name, a host name or a slot
number. A lock is held as long as the id is in use.
"""

import fcntl
import hashlib
import itertools
import json
import logging
import os
import re
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 2.0
_PAUSES = (0.2, 0.5, 1.0)
_MOST_WORKERS = 64
_LONGEST_NAME = 36
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class WorkerIdInUse(RuntimeError):
    """Another worker of this machine runs under the same id; two of them would process the same shards."""


class WorkerId:
    """An id and the lock on it; hold it, as a context manager, until the daemon has ended."""

    def __init__(self, value: str, lock: int) -> None:
        self.value = value
        self._lock = lock

    def close(self) -> None:
        """Let another worker have the id."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim(
    state_dir: Path,
    given: str | None = None,
    metadata_uri: str | None = None,
    *,
    fetch: Callable[[str], bytes] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> WorkerId:
    """Find this worker's id and lock it.

    Args:
        state_dir: where generated ids and locks are kept; created if absent.
        given: an id chosen by the operator, which wins.
        metadata_uri: the value of `ECS_CONTAINER_METADATA_URI_V4`, if the task has one.
        fetch: gets a URL; raises OSError where it cannot.
        sleep: waits between attempts, in seconds.

    Raises:
        WorkerIdInUse: the given or the task's id is locked by another worker of this state directory.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    named = given
    if named is None and metadata_uri is not None:
        named = _ecs_task_id(metadata_uri, fetch or _get, sleep)
    if named is None:
        return _generated(state_dir)
    lock = _locked(state_dir / f"worker-id.{file_name(named)}.lock")
    if lock is None:
        raise WorkerIdInUse(f"worker id {named} is in use")
    return WorkerId(named, lock)


def file_name(worker_id: str) -> str:
    """A worker id as part of a file name: itself, or its digest if it is long or strange.

    A socket's path may take 108 bytes in all.
    """
    if len(worker_id) <= _LONGEST_NAME and _PLAIN.fullmatch(worker_id):
        return worker_id
    return hashlib.sha256(worker_id.encode()).hexdigest()[:_LONGEST_NAME]


def _generated(state_dir: Path) -> WorkerId:
    for number in itertools.count(1):
        path = state_dir / ("worker-id" if number == 1 else f"worker-id.{number}")
        lock = _locked(path)
        if lock is not None:
            return WorkerId(_kept(path), lock)
        if number == _MOST_WORKERS:
            break
    raise WorkerIdInUse(f"{_MOST_WORKERS} workers already share this state directory")


def _kept(path: Path) -> str:
    worker_id = path.read_text(encoding="ascii").strip()
    if not worker_id:
        worker_id = uuid.uuid4().hex
        path.write_text(worker_id + "\n", encoding="ascii")
    return worker_id


def _locked(path: Path) -> int | None:
    # not inheritable: a child that outlives the supervisor must not keep the lock
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _ecs_task_id(
    metadata_uri: str, fetch: Callable[[str], bytes], sleep: Callable[[float], None]
) -> str | None:
    for pause in (*_PAUSES, None):
        try:
            arn = json.loads(fetch(f"{metadata_uri}/task"))["TaskARN"]
            return str(arn).rsplit("/", 1)[-1]
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log.warning("ECS task metadata not read", extra={"error": type(error).__name__})
        if pause is not None:
            sleep(pause)
    return None


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - ECS sets it
        body: bytes = answer.read()
    return body
