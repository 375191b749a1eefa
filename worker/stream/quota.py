"""A shard's read quota, shared with whoever reads the shard live.

Kinesis gives a shard five GetRecords calls and 2 MB a second for all its readers together, and one call may
take 10 MB and with them everybody's next five seconds. So a second reader must decide beforehand how much it
asks for. It calls once a second at most: KCL, at four calls a second, leaves no more than that.
"""

from worker.history import Page

CALLS_A_SECOND = 5.0
BYTES_A_SECOND = 2 * 1024 * 1024
_INTERVAL = 1.0
_MOST_RECORDS = 10_000
_FIRST_GUESS = 200 * 1024
"""Bytes of a record, before any was seen: as large as our producer packs them."""
_GROWTH = 4
_BACKOFF = 2.0
_LONGEST_BACKOFF = 16.0


class Quota:
    """When one shard may be read again, and how many records then; told the time by its caller.

    Args:
        share: how much of the shard's quota this reader takes, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self._bytes = share * BYTES_A_SECOND
        self._interval = max(_INTERVAL, 1 / (share * CALLS_A_SECOND))
        self._limit = self._fitting(_FIRST_GUESS)
        self._backoff = _BACKOFF
        self.due = 0.0
        """The monotonic second from which it may be read again."""

    @property
    def limit(self) -> int:
        """How many records to ask for."""
        return self._limit

    def spent(self, page: Page, now: float) -> None:
        """A page was read."""
        self._backoff = _BACKOFF
        self.due = now + max(self._interval, page.size / self._bytes)
        if page.fetched:
            # what one page weighs says little about the next, so that it grows in steps
            self._limit = min(self._fitting(page.size / page.fetched), self._limit * _GROWTH)

    def refused(self, now: float) -> None:
        """The shard's quota was used up, by whomever: stay away for a while, longer each time."""
        self.due = now + self._backoff
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self._limit = max(1, self._limit // 2)

    def _fitting(self, record: float) -> int:
        """How many records of so many bytes take no more than the share until the next call."""
        return int(max(1, min(_MOST_RECORDS, self._bytes * self._interval // max(1.0, record))))
