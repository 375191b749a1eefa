"""The ASGI application: routes, refusals, request ids and metrics around one `Service`."""

import functools
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp, Message, Receive, Send
from prometheus_client import Counter, Histogram

from worker import __version__
from worker.api import problems
from worker.api.bodies import MOST_BYTES
from worker.api.counting import REQUEST_SECONDS, REQUESTS
from worker.api.express import Express
from worker.api.page import SECURITY_HEADERS
from worker.api.pages import PAGES
from worker.api.routes import ROUTES
from worker.api.service import Service

_EVERYWHERE = [
    (name.lower().encode(), value.encode())
    for name, value in SECURITY_HEADERS.items()
    if name in ("X-Content-Type-Options", "Referrer-Policy")
]

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def build(make: Callable[[], Service]) -> ASGIApp:
    """The application; `make` is called when it starts, in the process that serves."""

    @asynccontextmanager
    async def life(app: Litestar) -> Any:
        service = make()
        app.state.service = service
        async with service.running():
            yield

    app = Litestar(
        route_handlers=[Router("/", route_handlers=[*ROUTES, *PAGES])],
        lifespan=[life],
        state=State(),
        exception_handlers={**problems.HANDLERS},
        openapi_config=_schema(),
        request_max_body_size=MOST_BYTES,
        logging_config=None,
    )
    return Framing(Express(app))


class Framing:
    """What every request gets: an id for its answer, the headers that no answer goes without, and a count.

    Around the whole application, because the framework's middleware does not see what finds no route; and of
    our own, because the framework's middleware for Prometheus costs a sixth of a request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                present = dict(headers)
                message["headers"] = [
                    *headers,
                    (b"x-request-id", request_id.encode()),
                    *[header for header in _EVERYWHERE if header[0] not in present],
                ]
                _count(scope.get("path_template"), scope["method"], message["status"], begun)
            await send(message)

        await self._app(scope, receive, send_framed)


def _count(route: str | None, method: str, status: int, begun: float) -> None:
    # a path that is no route is counted without its name, and so is an odd method: they may be anything
    requests, seconds = _counters(route or "none", method if route and method in _METHODS else "any", status)
    requests.inc()
    seconds.observe(time.perf_counter() - begun)


@functools.cache
def _counters(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once; there are as many as routes, methods and statuses of ours."""
    return REQUESTS.labels(route, method, str(status)), REQUEST_SECONDS.labels(route)


def _schema() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Student analytics",
        version=__version__,
        description="Graded attempts in, rolling scores out. Every figure is defined in docs/scores.md.",
        path="/schema",
        render_plugins=[JsonRenderPlugin(path="/")],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"token": []}],
    )
