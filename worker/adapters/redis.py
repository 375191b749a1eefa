"""The Projection port on Redis: eight small scripts, each one atomic step of the protocol.

Cluster mode is off, so one script may touch every key of a batch. States carry a life and may be evicted
(`volatile-lru`); markers and the sweep's chain carry none. The ledger's epoch and the definition stand in
every key: raising either leaves the old states behind, unread.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from typing import Any, cast
from uuid import UUID

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.batch import DELETIONS, Resident, Source, StateKey, course_digest
from worker.domain.errors import ChainBroken, ProjectionUnavailable
from worker.domain.event import from_micros, micros
from worker.domain.position import Position, parse
from worker.domain.score import DEFINITION
from worker.domain.window import HEADER_SIZE, Version, header
from worker.ports import Loaded, Peeked, Write

CLAIM_SECONDS = 60
_AT_ONCE = 1_000
"""States one script touches outside a batch: it holds up all others for a few milliseconds."""
_STATE = b"S"


class RedisProjection:
    """Projection on one Redis primary.

    Args:
        url: gives the URL, credentials included, asked anew at every connect.
        epoch: the ledger's epoch.
        ttl_seconds: life of an untouched state.
    """

    def __init__(self, url: Callable[[], str], epoch: int, ttl_seconds: int) -> None:
        self._url = url
        self._ttl = ttl_seconds
        self._prefix = f"{epoch}{DEFINITION}:".encode()
        self._marker_prefix = f"mk{epoch}:"
        self._chain = f"chain{epoch}"
        self._watermarks = f"watermarks{epoch}"
        self._client: redis.Redis | None = None
        self._line: Any = None
        self._scripts: dict[str, Any] = {}

    def close(self) -> None:
        self._scripts.clear()  # a script remembers its client, and would go on over this one
        client, self._client, self._line = self._client, None, None
        if client is not None:
            client.close()

    def load_or_claim(self, source: Source, keys: Sequence[StateKey]) -> Loaded:
        claim, names, mark = b"T" + os.urandom(HEADER_SIZE - 1), [*map(self._key, keys)], self._marker(source)
        with self._connected() as client:
            # A script costs Redis three times as much as a plain read; it is for what a read did not find.
            *values, marker = cast("list[bytes | None]", client.mget([*names, mark]))
            missing = [at for at, value in enumerate(values) if value is None or value[:1] != _STATE]
            if missing:
                some = [names[at] for at in missing]
                *found, _ = self._run("load_or_claim", [*some, mark], [claim, CLAIM_SECONDS])
                for at, value in zip(missing, found, strict=True):
                    values[at] = value or None
        return Loaded(values, claim, _position(marker))

    def write(self, source: Source, seen: Position | None, reach: Position, writes: Sequence[Write]) -> bool:
        moved = reach if seen is None else max(seen, reach)
        arguments: list[bytes | str | int] = ["" if seen is None else str(seen), str(moved), self._ttl]
        for write in writes:
            arguments += [write.expected, _argument(write.value)]
        keys = [*(self._key(write.key) for write in writes), self._marker(source)]
        with self._connected():
            return bool(self._run("write", keys, arguments))

    def peek(self, keys: Sequence[StateKey]) -> Sequence[Peeked]:
        claim = b"T" + os.urandom(HEADER_SIZE - 1)
        with self._connected():
            found = self._values([self._key(key) for key in keys]) if keys else []
            missing = [at for at, value in enumerate(found) if value is None]
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                values = self._run("claim", [self._key(keys[at]) for at in some], [claim, CLAIM_SECONDS])
                for at, value in zip(some, values, strict=True):
                    found[at] = value or claim
        return [_peeked(value, claim) for value in found]

    def install(self, writes: Sequence[Write]) -> Sequence[bool]:
        held: list[bool] = []
        with self._connected():
            for start in range(0, len(writes), _AT_ONCE):
                some = writes[start : start + _AT_ONCE]
                arguments: list[bytes | str | int] = [self._ttl]
                for write in some:
                    arguments += [write.expected, _argument(write.value)]
                held += map(bool, self._run("install", [self._key(write.key) for write in some], arguments))
        return held

    def watermarks(self) -> Mapping[Source, datetime]:
        with self._connected() as client:
            found = cast("dict[bytes, bytes]", client.hgetall(self._watermarks))
        return {source.decode(): from_micros(int(value)) for source, value in found.items()}

    def set_watermark(self, source: Source, moment: datetime | None) -> None:
        with self._connected() as client:
            if moment is None:
                client.hdel(self._watermarks, source)
            else:
                client.hset(self._watermarks, source, str(micros(moment)))

    def residents(self, page: int) -> Iterator[Sequence[Resident]]:
        cursor = 0
        while True:
            with self._connected() as client:
                cursor, names = cast(
                    "tuple[int, list[bytes]]", client.scan(cursor, match=self._prefix + b"*", count=page)
                )
            yield [self._resident(name) for name in names]
            if cursor == 0:
                return

    def drop(self, residents: Sequence[Resident]) -> int:
        with self._connected() as client:
            names = [self._name(resident) for resident in residents]
            return client.unlink(*names) if names else 0

    def states(self, keys: Sequence[StateKey]) -> list[bytes | None]:
        with self._connected() as client:
            found = cast("list[bytes | None]", client.mget([self._key(key) for key in keys])) if keys else []
        return [value if value is not None and value.startswith(_STATE) else None for value in found]

    def markers(self, sources: Sequence[Source]) -> Mapping[Source, Position]:
        if not sources:
            return {}
        with self._connected() as client:
            found = cast("list[bytes | None]", client.mget([self._marker(source) for source in sources]))
        positions = {source: _position(value) for source, value in zip(sources, found, strict=True)}
        return {source: position for source, position in positions.items() if position is not None}

    def forget_marker(self, source: Source, last: Position) -> bool:
        with self._connected():
            return bool(self._run("forget_marker", [self._marker(source)], [str(last)]))

    def unlink(self, number: int, keys: Sequence[StateKey]) -> bool:
        before = "" if number == 1 else str(Position(number - 1))
        with self._connected():
            named = [self._marker(DELETIONS), *map(self._key, keys)]
            return bool(self._run("unlink", named, [before, str(Position(number))]))

    def begin_sweep(self) -> bytes:
        token = os.urandom(16).hex().encode()
        with self._connected() as client:
            client.set(self._chain, token)
        return token

    def drop_stale(
        self, chain: bytes, current: Sequence[tuple[StateKey, Version | None]]
    ) -> tuple[bytes, int]:
        token = os.urandom(16).hex().encode()
        headers = [b"" if version is None else header(version) for _, version in current]
        with self._connected():
            keys = [self._chain, *(self._key(key) for key, _ in current)]
            dropped = int(self._run("drop_stale", keys, [chain, token, *headers]))
        if dropped < 0:
            raise ChainBroken
        return token, dropped

    def end_sweep(self, chain: bytes, floors: Mapping[Source, Position]) -> None:
        sources = list(floors)
        result = 0
        while result == 0:
            seen = self.markers(sources)
            arguments: list[bytes | str] = [chain]
            for source, floor in floors.items():
                marker = seen.get(source)
                arguments += ["" if marker is None else str(marker), str(max(floor, marker or floor))]
            with self._connected():
                keys = [self._chain, *map(self._marker, sources)]
                result = int(self._run("end_sweep", keys, arguments))
        if result < 0:
            raise ChainBroken

    def eviction_policy(self) -> str | None:
        """The server's `maxmemory-policy`, None where a managed service does not tell it."""
        with self._connected() as client:
            client.ping()
            try:
                answer = cast("dict[bytes, bytes]", client.config_get("maxmemory-policy"))
            except redis.ResponseError:
                return None
        told = next(iter(answer.values()), None)
        return told.decode() if isinstance(told, bytes) else told

    def _key(self, key: StateKey) -> bytes:
        student_key, course_id = key
        return self._prefix + student_key.int.to_bytes(16) + course_digest(course_id)

    def _name(self, resident: Resident) -> bytes:
        return self._prefix + resident.student_key.bytes + resident.course_digest

    def _resident(self, name: bytes) -> Resident:
        digests = len(self._prefix) + 16
        return Resident(UUID(bytes=name[len(self._prefix) : digests]), name[digests:])

    def _marker(self, source: Source) -> str:
        return self._marker_prefix + source

    def _values(self, names: Sequence[bytes]) -> list[bytes | None]:
        """MGET on a connection that is kept: the client's own way to it costs a read more than Redis."""
        line = self._line
        if line is None:
            line = self._line = self._open().connection_pool.get_connection()
        elif line.should_reconnect() or line.can_read():
            line.disconnect()  # the server has hung up, or is about to
        line.send_command("MGET", *names)
        return cast("list[bytes | None]", line.read_response())

    def _run(self, script: str, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        if script not in self._scripts:
            text = resources.files("worker").joinpath(f"lua/{script}.lua").read_text()
            self._scripts[script] = self._open().register_script(text)
        return self._scripts[script](keys=keys, args=arguments)

    @contextmanager
    def _connected(self) -> Iterator[redis.Redis]:
        try:
            yield self._open()
        except redis.RedisError as error:
            self.close()
            raise ProjectionUnavailable(type(error).__name__) from None

    def _open(self) -> redis.Redis:
        if self._client is None:
            # One try each: how long to retry is the pipeline's policy, and it must stay alive meanwhile.
            self._client = redis.Redis.from_url(
                self._url(),
                socket_timeout=5.0,
                socket_connect_timeout=2.0,
                retry=Retry(NoBackoff(), 0),
                command_packer=_Packer(),
            )
        return self._client


class _Packer:
    """Commands as bytes; the client's own packer looks at each of a batch's thousands of arguments first."""

    def pack(self, *command: Any) -> list[bytes]:
        name, *arguments = command
        return [hiredis.pack_command((*name.split(), *arguments))]


def _peeked(value: bytes | None, claim: bytes) -> Peeked:
    if value == claim:
        return Peeked(None, claim)
    return Peeked(value if value is not None and value.startswith(_STATE) else None, None)


def _argument(value: bytes | None) -> bytes:
    if value is None:
        return b""
    return value or b"-"


def _position(marker: bytes | None) -> Position | None:
    return parse(marker.decode()) if marker else None
