"""The relay passes on everything in its order, and requests late; it leaves nothing open."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.peers.distance import Relay

SECONDS = 0.02
ASKED = bytes(range(256)) * 1_000


@contextmanager
def echo() -> Iterator[int]:
    """A server of one connection that says what it hears; its port."""
    with socket.create_server(("127.0.0.1", 0)) as far:

        def run() -> None:
            connection, _ = far.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield far.getsockname()[1]
        thread.join(5)
        assert not thread.is_alive(), "the relay left its connection open"


def answered(near: socket.socket) -> bytes:
    near.sendall(ASKED)
    got = b""
    while len(got) < len(ASKED):
        got += near.recv(1 << 16)
    return got


@pytest.mark.parametrize("hangs_up", [True, False])
def test_what_is_asked_arrives_late_and_whole(hangs_up: bool) -> None:
    with echo() as far:
        relay = Relay(SECONDS)
        try:
            url = relay.redis(f"redis://127.0.0.1:{far}/1")
            assert url.endswith("/1")
            port = int(url.rpartition(":")[2].partition("/")[0])
            near = socket.create_connection(("127.0.0.1", port), timeout=5)
            with near:
                begun = time.perf_counter()
                assert answered(near) == ASKED
                assert time.perf_counter() - begun >= SECONDS
                if not hangs_up:
                    relay.close()
                    assert near.recv(1) == b""
        finally:
            if hangs_up:
                relay.close()
