"""The PastEpochs port on Redis: every key of ours begins with the epoch it belongs to."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.domain.errors import ProjectionUnavailable

_PAGE = 1_000
# states, class figures; then markers, the sweep's chain, watermarks and wanted courses
_OURS = re.compile(rb"\A(?:(?:class)?(\d+)v\d+:|mk(\d+):|(?:chain|watermarks|wanted)(\d+)\Z)", re.DOTALL)


class RedisEpochs:
    """PastEpochs on one Redis primary.

    Args:
        url: gives the URL, credentials included, asked anew at every connect.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._client: redis.Redis | None = None

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def count(self, advance: Callable[[int], None]) -> Mapping[int, int]:
        with self._connected() as client:
            found: Counter[int] = Counter()
            for page in _pages(client):
                found.update(epoch for name in page if (epoch := _epoch(name)) is not None)
                advance(len(page))
            return found

    def drop_all_but(self, epoch: int, advance: Callable[[int], None]) -> int:
        dropped = 0
        with self._connected() as client:
            for page in _pages(client):
                past = [name for name in page if _epoch(name) not in (None, epoch)]
                if past:
                    client.unlink(*past)
                dropped += len(past)
                advance(len(page))
        return dropped

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


def _pages(client: redis.Redis) -> Iterator[Sequence[bytes]]:
    page: list[bytes] = []
    for name in client.scan_iter(count=_PAGE):
        page.append(name)
        if len(page) == _PAGE:
            yield page
            page = []
    yield page


def _epoch(name: bytes) -> int | None:
    found = _OURS.match(name)
    return None if found is None else int(next(group for group in found.groups() if group))
