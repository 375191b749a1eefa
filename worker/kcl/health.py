"""What the outside may ask a worker task: is it alive, is it ready, what did it count.

Alive and ready are different questions. A shard that waits for a database, or that is given nothing because
Kinesis is away, is alive (killing the task would only move the wait to another one) and not ready; a shard
that fell silent, or a supervisor that gave its daemon up, is neither, and the task should be replaced.
Holding no shard is a healthy state: a spare worker, or a start.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from worker.kcl.listener import Heard

SILENT_SECONDS = 30.0
"""A held shard unheard for longer is taken for stuck."""
_CLOSE_SECONDS = 0.1

Phase: TypeAlias = Literal["starting", "running", "restarting", "stopping", "given_up"]
"""Where the supervisor stands with its daemon; `restarting` is the pause before the next start."""


class Answer(NamedTuple):
    """What a route says: an HTTP status, a content type and a body."""

    status: int
    content_type: str
    body: bytes


def silent(heard: Heard, now: float) -> bool:
    """Whether a shard's process has not been heard for too long; `now` in monotonic seconds."""
    return now - heard.at > SILENT_SECONDS


def healthz(phase: Phase, shards: Mapping[str, Heard], now: float) -> Answer:
    """200 while the daemon lives or will be restarted, and every held shard is heard; else 503."""
    unheard = sorted(shard for shard, heard in shards.items() if silent(heard, now))
    healthy = phase != "given_up" and not unheard
    return _json(healthy, {"healthy": healthy, "daemon": phase, "silent_shards": unheard})


def readyz(phase: Phase, shards: Mapping[str, Heard], now: float, *, tables_away: bool = False) -> Answer:
    """200 while the daemon runs, every held shard works and KCL's tables answer; else 503.

    The body tells each shard's state.
    """
    told = {
        shard: {
            "status": "silent" if silent(heard, now) else heard.status,
            "detail": heard.detail,
            "heard_seconds_ago": round(max(0.0, now - heard.at), 3),
        }
        for shard, heard in sorted(shards.items())
    }
    working = all(state["status"] == "working" for state in told.values())
    ready = phase == "running" and working and not tables_away
    tables = "away" if tables_away else "answer"
    return _json(ready, {"ready": ready, "daemon": phase, "lease_tables": tables, "shards": told})


def exposition(registry: CollectorRegistry) -> Answer:
    """All metrics in Prometheus' text format."""
    return Answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))


def _json(good: bool, body: Mapping[str, Any]) -> Answer:
    return Answer(200 if good else 503, "application/json", json.dumps(body).encode())


class HttpServer:
    """A few GET routes on a port of their own, each request on its own thread.

    Args:
        host: address to bind.
        port: 0 picks a free one, see `port`.
        routes: by path, what gives the answer.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, host: str, port: int, routes: Mapping[str, Callable[[], Answer]]) -> None:
        self._server = _Server((host, port), routes)
        # the interval is how long `close` may take
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_CLOSE_SECONDS,), name="http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(
    host: str,
    health_port: int,
    probes: Mapping[str, Callable[[], Answer]],
    metrics_port: int,
    registry: CollectorRegistry,
) -> Iterator[dict[str, int]]:
    """Probes and Prometheus, each on a port of its own; the ports by what they serve.

    Raises:
        OSError: a port is taken.
    """
    scrapes = {"/metrics": lambda: exposition(registry)}
    with (
        closing(HttpServer(host, health_port, probes)) as probed,
        closing(HttpServer(host, metrics_port, scrapes)) as scraped,
    ):
        yield {"health": probed.port, "metrics": scraped.port}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Callable[[], Answer]]) -> None:
        self.routes = routes
        super().__init__(address, _Request)

    def server_bind(self) -> None:
        # HTTPServer looks its own name up here, which without DNS takes seconds of the start
        socketserver.TCPServer.server_bind(self)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        answer = route() if route else Answer(404, "application/json", b'{"error": "no such path"}')
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Probes ask every few seconds; their access log tells nothing."""
