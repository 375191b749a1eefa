"""The ASGI application: routes, refusals, request ids and metrics around one `Service`."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins.prometheus import PrometheusConfig
from litestar.types import ASGIApp, Message, Receive, Send

from worker import __version__
from worker.api import problems
from worker.api.bodies import MOST_BYTES
from worker.api.page import SECURITY_HEADERS
from worker.api.routes import ROUTES
from worker.api.service import Service
from worker.domain.errors import Unavailable

_EVERYWHERE = {
    name: value
    for name, value in SECURITY_HEADERS.items()
    if name in ("X-Content-Type-Options", "Referrer-Policy")
}


def build(make: Callable[[], Service]) -> ASGIApp:
    """The application; `make` is called when it starts, in the process that serves."""

    @asynccontextmanager
    async def life(app: Litestar) -> Any:
        service = make()
        app.state.service = service
        async with service.running():
            yield

    app = Litestar(
        route_handlers=[Router("/", route_handlers=ROUTES)],
        lifespan=[life],
        state=State(),
        middleware=[_metrics().middleware],
        exception_handlers={
            problems.Problem: problems.on_problem,
            Unavailable: problems.on_unavailable,
            HTTPException: problems.on_http,
            Exception: problems.on_anything,
        },
        openapi_config=_schema(),
        request_max_body_size=MOST_BYTES,
        logging_config=None,
    )
    return RequestIds(app)


class RequestIds:
    """Every request gets an id for its answer, and every answer the headers that none goes without.

    Around the whole application: the framework's middleware does not see what finds no route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        added = [(b"x-request-id", request_id.encode())]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *added]
                present = {name.lower() for name, _ in headers}
                headers += [
                    (name.lower().encode(), value.encode())
                    for name, value in _EVERYWHERE.items()
                    if name.lower().encode() not in present
                ]
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_id)


def _metrics() -> PrometheusConfig:
    return PrometheusConfig(app_name="edu_api", prefix="edu_api", group_path=True)


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
