"""Our shard process in the same place as the peers: the command the daemon starts, and its full proof.

It reads our envelopes, or the peers' plain JSON, and does all of its work: pseudonyms where there are none,
registers, dead letters, progress, versions, rolling windows, checkpoints. Whether all of it stands where it
must is compared attempt by attempt with the ledger and state by state with Redis, as the load test does.
"""

import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.peers.events import Events
from scripts.loading.proof import Books, counters, prove
from worker import wiring
from worker.kcl.heartbeat import Beat
from worker.local.edges import Edges
from worker.settings import load

_SILENCE_SECONDS = 60.0
COMMAND = (sys.executable, "-u", "-m", "worker", "shard")


def environment(session: Mapping[str, str], name: str, heartbeats: Path) -> dict[str, str]:
    """What the child sees; each name is a stream of its own, so that positions begin anew.

    It checkpoints as often as in production, every three seconds, and not each second as a demo does.
    """
    kept = {key: value for key, value in session.items() if key != "CHECKPOINT_SECONDS"}
    return {**kept, "SOURCE_PREFIX": f"kinesis:peers:{name}", "HEARTBEAT_SOCKET": str(heartbeats)}


class Heartbeats(threading.Thread):
    """The supervisor's ear: without one, a child would save itself the telling.

    Ends with a child's goodbye.
    """

    def __init__(self, inbox: socket.socket) -> None:
        super().__init__(name="heartbeats", daemon=True)
        self._inbox = inbox
        self.stages: dict[str, float] = defaultdict(float)
        """Seconds spent so far in each stage of a batch's journey, as the child told."""

    def run(self) -> None:
        with suppress(OSError):  # silence, or the socket was taken away
            while self._heard().status != "goodbye":
                pass

    def _heard(self) -> Beat:
        beat = msgspec.json.decode(self._inbox.recv(1 << 16), type=Beat)
        for name, labels, _, total in beat.histograms:
            if name == "stage_seconds":
                self.stages[labels["stage"]] += total
        return beat


@contextmanager
def heard(path: Path) -> Iterator[Heartbeats]:
    """A socket for one child's heartbeats, and who listens to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.settimeout(_SILENCE_SECONDS)
        inbox.bind(str(path))
        try:
            yield Heartbeats(inbox)
        finally:
            path.unlink()


class Ledger:
    """Ledger and projection, looked at from outside."""

    def __init__(self, session: Mapping[str, str]) -> None:
        self.edges: Edges = wiring.edges(load(session))
        self._before = counters(self.edges.ledger)

    def begin(self) -> None:
        """What is counted counts from now."""
        self._before = counters(self.edges.ledger)

    def missing(self, events: Events) -> str:
        """What is not as it must be after these events; "" if all is."""
        books = Books(self.edges.ledger, self.edges.projection.states)
        sent = np.ones(len(events), dtype=bool)
        proof = prove(events.plan, sent, len(events), books, self._before)
        if proof.lost or proof.double:
            return f"{proof.lost:,} attempts are lost and {proof.double:,} double"
        if not proof.closes or proof.states_equal != proof.states:
            return f"{proof.states_equal:,} of {proof.states:,} states in Redis are the ledger's"
        return ""

    def close(self) -> None:
        """Give the connections back."""
        self.edges.close()
