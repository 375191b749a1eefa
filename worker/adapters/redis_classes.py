"""The ClassStore port on Redis: derived figures with a life, evictable like the states they come from."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.domain.errors import ProjectionUnavailable
from worker.domain.score import DEFINITION

LIFE_SECONDS = 3600


class RedisClasses:
    """Class figures under the ledger's epoch and the score definition.

    Args:
        url: gives the URL, credentials included, asked anew at every connect.
        epoch: the ledger's epoch.
        clock: seconds since 1970.
    """

    def __init__(self, url: Callable[[], str], epoch: int, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._prefix = f"class{epoch}{DEFINITION}:"
        self._wanted = f"wanted{epoch}"
        self._clock = clock
        self._client: redis.Redis | None = None

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def get(self, kind: str, course_id: str) -> bytes | None:
        with self._connected() as client:
            return cast("bytes | None", client.get(self._key(kind, course_id)))

    def put(self, kind: str, course_id: str, body: bytes) -> None:
        with self._connected() as client:
            client.set(self._key(kind, course_id), body, ex=LIFE_SECONDS)

    def drop(self, kind: str, courses: Sequence[str]) -> None:
        with self._connected() as client:
            if courses:
                client.unlink(*(self._key(kind, course) for course in courses))

    def want(self, course_id: str) -> None:
        with self._connected() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.zadd(self._wanted, {course_id: self._clock()})
            pipeline.expire(self._wanted, LIFE_SECONDS)
            pipeline.execute()

    def wanted(self, within_seconds: int) -> Sequence[str]:
        since = self._clock() - within_seconds
        with self._connected() as client:
            client.zremrangebyscore(self._wanted, "-inf", f"({since}")
            return [course.decode() for course in cast("list[bytes]", client.zrange(self._wanted, 0, -1))]

    def _key(self, kind: str, course_id: str) -> str:
        return f"{self._prefix}{kind}:{hashlib.blake2b(course_id.encode(), digest_size=16).hexdigest()}"

    @contextmanager
    def _connected(self) -> Iterator[redis.Redis]:
        try:
            if self._client is None:
                self._client = redis.Redis.from_url(
                    self._url(), socket_timeout=5.0, socket_connect_timeout=2.0, retry=Retry(NoBackoff(), 0)
                )
            yield self._client
        except redis.RedisError as error:
            self.close()
            raise ProjectionUnavailable(type(error).__name__) from None
