"""The images, built once for all tests, and the way from a container's user to the stack's PostgreSQL."""

import os
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from deploy.image import PACKAGES, Image, build
from worker.local.stack import Stack


def _needs() -> None:
    """Skip where nothing can be built."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    # CI never skips: there a machine that cannot build is a failure
    if "CI" not in os.environ:
        if os.geteuid() != 0:
            pytest.skip("building the image needs root")
        if missing:
            pytest.skip(f"building the image needs {', '.join(missing)}; run `make image`")


@pytest.fixture(scope="session")
def image() -> Image:
    """The image of this source; built if it is not there."""
    _needs()
    return build()


@pytest.fixture(scope="session")
def load_image() -> Image:
    """The load test's, which holds all that the other holds."""
    _needs()
    return build(load=True)


class _Relay(socketserver.BaseRequestHandler):
    """Carries bytes between a client and the server's Unix socket until either hangs up."""

    server: "_Door"

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as inside:
            inside.connect(self.server.socket_path)
            back = threading.Thread(target=_carry, args=(inside, self.request), daemon=True)
            back.start()
            _carry(self.request, inside)
            back.join()


class _Door(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, socket_path: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.socket_path = socket_path


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def postgres_port(stack: Stack) -> Iterator[int]:
    """The stack's PostgreSQL on loopback: its socket lets in nobody but root, which a container is not."""
    where = conninfo_to_dict(stack.endpoints.database_url)
    with _Door(f"{where['host']}/.s.PGSQL.{where['port']}") as door:
        serving = threading.Thread(target=door.serve_forever, daemon=True)
        serving.start()
        yield int(door.server_address[1])
        door.shutdown()
        serving.join()
