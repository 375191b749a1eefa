"""The relay passes on everything in its order, and requests late."""

import socket
import threading
import time

from benchmarks.peers.distance import Relay


def test_what_is_asked_arrives_late_and_whole() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:

        def echo() -> None:
            connection, _ = far.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        relay = Relay(0.02)
        try:
            url = relay.redis(f"redis://127.0.0.1:{far.getsockname()[1]}/1")
            assert url.endswith("/1")
            port = int(url.rpartition(":")[2].partition("/")[0])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as near:
                begun = time.perf_counter()
                asked = bytes(range(256)) * 1_000
                near.sendall(asked)
                answered = b""
                while len(answered) < len(asked):
                    answered += near.recv(1 << 16)
                assert answered == asked
                assert time.perf_counter() - begun >= 0.02
        finally:
            relay.close()
