"""The same events in every form that a peer reads, drawn from one seed.

As a learning platform sends them: plain JSON, one event a record, which is what the documentation of each
peer reads. As our edge sends them: envelopes of many events. And both as the KCL daemon hands them to a
child, which spares every child the emulator: it walks its whole shard at each poll and would be what is
measured.
"""

import base64
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from scripts.loading.plan import Crowd, Plan
from scripts.loading.profiles import Schedule
from worker.domain import envelope
from worker.domain.identity import Identity
from worker.domain.position import Position

RATE = 5_000
ENVELOPE = 125
"""What 5,000 events a second on two shards put into an envelope that is closed every 50 ms."""
CALL = 2_000
"""Events in one call of the daemon, whatever their form."""
SMALL_CALL = 500
"""The same for who works record by record: nothing depends on it but how long the first call takes."""
SEED = 7
_FIRST = 49590338271490256608559692538361571095921575989136588898
"""A sequence number as long as Kinesis gives them."""
_encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """One processRecords message, and the position of its last record."""

    line: bytes
    high: Position
    events: int


class Events:
    """The first `count` events of a run; two runs differ in the names of their courses alone.

    Args:
        run: two letters or so, part of every course's name.
        count: how many.
        identity: makes the pseudonyms of the envelopes.
        realm: who issued the student ids.
    """

    def __init__(self, run: str, count: int, identity: Identity, realm: str) -> None:
        schedule = Schedule("steady", RATE, count / RATE)
        self.plan = Plan(run, schedule, Crowd(), seed=SEED, identity=identity, realm=realm)
        self.plan.begin(time.time_ns() // 1000 - 3_600_000_000)
        self.natives = self.plan.natives(0, len(self.plan))

    def __len__(self) -> int:
        return len(self.plan)

    def plain(self) -> list[bytes]:
        """One JSON object an event."""
        return [_encode(native) for native in self.natives]

    def lists(self) -> list[bytes]:
        """JSON lists of as many events as an envelope holds."""
        return [_encode(self.natives[n : n + ENVELOPE]) for n in range(0, len(self), ENVELOPE)]

    def envelopes(self) -> list[bytes]:
        """As our edge packs them."""
        return [
            envelope.seal(self.plan.events(n, min(n + ENVELOPE, len(self))))
            for n in range(0, len(self), ENVELOPE)
        ]


def calls(records: Sequence[bytes], events_a_record: int, events_a_call: int = CALL) -> list[Call]:
    """The records as the daemon hands them over, so many events at a time."""
    return list(_calls(records, max(1, events_a_call // events_a_record), events_a_record))


def _calls(records: Sequence[bytes], each: int, events_a_record: int) -> Iterator[Call]:
    for start in range(0, len(records), each):
        numbered = list(enumerate(records[start : start + each], _FIRST + start))
        yield Call(_message(numbered), Position(numbered[-1][0], 0), len(numbered) * events_a_record)


def _message(numbered: Sequence[tuple[int, bytes]]) -> bytes:
    now = time.time_ns() // 1_000_000
    records = [
        {
            "action": "record",
            "data": base64.b64encode(data).decode(),
            "partitionKey": "peers",
            "sequenceNumber": str(number),
            "subSequenceNumber": 0,
            "approximateArrivalTimestamp": now,
        }
        for number, data in numbered
    ]
    message = {"action": "processRecords", "millisBehindLatest": 60_000, "records": records}
    return _encode(message) + b"\n"


def empty() -> Call:
    """A call without a record, as the daemon makes when a poll found none."""
    return Call(_message([]), Position(-1, 0), 0)
