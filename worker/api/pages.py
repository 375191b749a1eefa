"""What a browser asks for: the page and its files, and the way to the identity provider and back."""

import asyncio
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.params import QueryParameter

from worker.api.page import SECURITY_HEADERS, Asset, assets, entrance
from worker.api.problems import BadRequest, NotFound
from worker.api.service import Service
from worker.api.signing_in import COOKIE, COOKIE_SECONDS

Call = Request[Any, Any, Any]
_NEVER_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@get(["/", "/definitions", "/static/{name:str}"], include_in_schema=False)
async def page(request: Call) -> Response[Any]:
    """The page and its files."""
    path = request.scope["path"]
    asset: Asset | None = assets().get(path)
    if path == "/":
        asset = entrance(sign_in=_service(request).signing_in.offered)
    if asset is None:
        raise NotFound("no such file")
    headers = {**SECURITY_HEADERS, "ETag": asset.etag}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(None, status_code=304, headers=headers)
    # the framework adds the charset itself
    return Response(asset.body, media_type=asset.content_type.partition(";")[0], headers=headers)


@get("/sign-in", include_in_schema=False)
async def sign_in(request: Call) -> Response[Any]:
    """Off to the identity provider."""
    signing_in = _service(request).signing_in
    departure = signing_in.leave()
    cookie = Cookie(
        COOKIE,
        value=departure.cookie,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=signing_in.secure,
    )
    return _see(departure.location, cookie)


@get("/signed-in", include_in_schema=False)
async def signed_in(
    request: Call,
    *,
    code: Annotated[str | None, QueryParameter(name="code", max_length=4096)] = None,
    given: Annotated[str | None, QueryParameter(name="state", max_length=256)] = None,
) -> Response[Any]:
    """Back from the identity provider: on to the page, with the token where no server sees it."""
    if code is None or given is None:
        raise BadRequest("the identity provider did not sign you in; go back to the page and try again")
    signing_in = _service(request).signing_in
    location = await asyncio.to_thread(signing_in.arrive, code, given, request.cookies.get(COOKIE))
    return _see(location, Cookie(COOKIE, value="", max_age=0, httponly=True, samesite="lax"))


PAGES = [page, sign_in, signed_in]


def _see(location: str, cookie: Cookie) -> Response[Any]:
    return Response(None, status_code=303, headers={**_NEVER_KEPT, "Location": location}, cookies=[cookie])


def _service(request: Call) -> Service:
    service: Service = request.app.state.service
    return service
